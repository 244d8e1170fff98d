// SPDX-License-Identifier: Apache-2.0

package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// TestLupineDescribe: the same app everywhere, and what only one platform has.
func TestLupineDescribe(t *testing.T) {
	const common = "console=ttyS0 quiet panic=-1 reboot=t tsc=reliable no_timer_check printk.time=1 "
	ping := &Service{Port: 6379, Request: []byte("PING\r\n")}
	tests := []struct {
		want Want
		boot Boot
	}{
		{Want{App: "redis", Platform: "qemu1nic"},
			Boot{Platform: "qemu1nic", Kernel: Unbuilt, Initrd: Unbuilt, Cmdline: common + "pci=lastbus=0", Service: ping}},
		{Want{App: "redis", Platform: "firecracker"},
			Boot{Platform: "firecracker", Kernel: Unbuilt, Initrd: Unbuilt, Cmdline: common + "pci=off loglevel=3", Service: ping}},
		{Want{App: "hello", Platform: "qemumicrovm", Settings: matrix.Settings{Kernel: "/k", Disk: "/d", Args: "init=/bin/sh"}},
			Boot{Platform: "qemumicrovm", Kernel: "/k", Disks: []Disk{{Path: "/d", Format: "raw"}}, Ready: "^ukprobe-hello: ready",
				Cmdline: common + "pci=off loglevel=3 root=/dev/vda rw", Args: "init=/bin/sh"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.boot, find(t, Env{}, "lupine").Describe(tt.want)); diff != "" {
			t.Errorf("%s on %s (-want +got):\n%s", tt.want.App, tt.want.Platform, diff)
		}
	}
}

// TestLupineOwnFiles: a kernel, initramfs or disk that is not there is told by its
// name, and nothing is built.
func TestLupineOwnFiles(t *testing.T) {
	kernel := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(kernel, reference.Image(), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]matrix.Settings{
		"kernel": {Kernel: "/nowhere/kernel", Initrd: kernel},
		"initrd": {Kernel: kernel, Initrd: "/nowhere/initrd"},
		"disk":   {Kernel: kernel, Disk: "/nowhere/disk"},
	} {
		_, err := find(t, Env{}, "lupine").Prepare(t.Context(), Want{App: "hello", Platform: "qemu", Settings: s})
		if err == nil || !strings.Contains(err.Error(), "/nowhere/"+name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
