// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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
