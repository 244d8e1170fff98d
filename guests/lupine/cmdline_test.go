// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"slices"
	"testing"

	"github.com/ukprobe/ukprobe/guests/linux"
)

func TestCommandLine(t *testing.T) {
	const common = "console=ttyS0 quiet panic=-1 reboot=t tsc=reliable no_timer_check printk.time=1 "
	if got := CommandLine(true, "ip=x"); got != common+"pci=lastbus=0 ip=x" {
		t.Errorf("with PCI: %q", got)
	}
	if got := CommandLine(false); got != common+"pci=off loglevel=3" {
		t.Errorf("without PCI: %q", got)
	}
	for _, k := range kept {
		if !slices.ContainsFunc(linux.Words(), func(w linux.Word) bool { return w.Text == k }) {
			t.Errorf("%q is none of linux's words", k)
		}
	}
}

// TestApps: lupine has every app of linux, and no other.
func TestApps(t *testing.T) {
	if !slices.Equal(Apps(), linux.Apps()) {
		t.Errorf("lupine has %v, linux %v", Apps(), linux.Apps())
	}
}
