// SPDX-License-Identifier: Apache-2.0

package system

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/internal/qcow2"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// TestDiskOfTwoFiles: QEMU, as root, would open whatever file a qcow2 image names, so
// no system takes one that names any, of a cell or of the catalogue. Its other features
// are QEMU's matter.
func TestDiskOfTwoFiles(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("no qemu-img")
	}
	dir, kernel := t.TempDir(), write(t, reference.Image())
	secret := write(t, make([]byte, 1<<20))
	for name, tt := range map[string]struct {
		options []string
		ok      bool
	}{
		"backing":   {options: []string{"-b", secret, "-F", "raw"}},
		"backing2":  {options: []string{"-b", secret, "-F", "raw", "-o", "compat=0.10"}},
		"data_file": {options: []string{"-o", "data_file=" + filepath.Join(dir, "data")}},
		"zstd":      {options: []string{"-o", "compression_type=zstd,extended_l2=on"}, ok: true},
	} {
		disk := filepath.Join(dir, name)
		args := append(append([]string{"create", "-q", "-f", "qcow2"}, tt.options...), disk, "1M")
		if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
			t.Fatalf("qemu-img %q: %v: %s", args, err, out)
		}
		e, _ := images(t, "  - {name: c, system: linux, app: hello, platform: qemu, path: "+kernel+", disks: [{path: "+disk+", format: qcow2}]}\n")
		own := matrix.Settings{Kernel: kernel, Disk: disk}
		for where, prepared := range map[string]func() (Boot, error){
			"linux": func() (Boot, error) {
				return find(t, Env{}, "linux").Prepare(t.Context(), want(Hello, qemuPlatform, own))
			},
			"lupine": func() (Boot, error) {
				return find(t, Env{}, "lupine").Prepare(t.Context(), want(Hello, qemuPlatform, own))
			},
			"entry": func() (Boot, error) {
				return find(t, e, "linux").Prepare(t.Context(), want(Hello, qemuPlatform, matrix.Settings{}))
			},
		} {
			_, err := prepared()
			switch {
			case tt.ok && err != nil:
				t.Errorf("%s, %s: %v", name, where, err)
			case !tt.ok && (!errors.Is(err, qcow2.ErrOtherFile) || !strings.Contains(err.Error(), disk) || !strings.Contains(err.Error(), "qemu-img convert")):
				t.Errorf("%s, %s: error %v", name, where, err)
			}
		}
	}
}
