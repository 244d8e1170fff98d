// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnitHasRoomForVMs: on a host with 256 possible CPUs too, and systemd does not
// kill what keeps to its budget.
func TestUnitHasRoomForVMs(t *testing.T) {
	text, err := os.ReadFile("../packaging/ukprobe-watch.service")
	if err != nil {
		t.Fatal(err)
	}
	setting := func(name string) (bytes uint64) {
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
				if bytes, err = ParseBytes(value); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		return bytes
	}
	const perVM = 256 * 227512
	// What each memory can be that the daemon comes to: the unit's, or its own default.
	least, most := setting("Environment=UKPROBE_WATCH_MEMORY"), setting("Environment=UKPROBE_WATCH_MEMORY")
	if least == 0 {
		least, most = 256<<20, 1<<30
	}
	if b, err := NewBudget(least, perVM, 0); err != nil {
		t.Errorf("on a small host: %+v, %v", b, err)
	}
	if b, err := NewBudget(most, perVM, 0); err != nil || b.VMs < fewVMs {
		t.Errorf("on a large host: %+v, %v: want at least %d VMs", b, err, fewVMs)
	}
	if limit := setting("MemoryMax"); limit < most+most/2 {
		t.Errorf("MemoryMax=%s: want half as much again as the %s that it plans with", Bytes(limit), Bytes(most))
	}
}

// TestUnitFile: systemd itself finds nothing wrong with the unit.
func TestUnitFile(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze: apt-get install systemd")
	}
	text, err := os.ReadFile("../packaging/ukprobe-watch.service")
	if err != nil {
		t.Fatal(err)
	}
	// Its program must exist.
	unit := filepath.Join(t.TempDir(), "ukprobe-watch.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/bin/ukprobe", "/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(strings.TrimSpace(string(out))) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// 4.0 on its scale of 10, which counts root and eBPF themselves.
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=40", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
