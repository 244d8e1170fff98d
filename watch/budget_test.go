// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"strings"
	"testing"
)

func TestBudget(t *testing.T) {
	const mib = 1 << 20
	const manyCPUs = 256 * 227512 // bytes of a VM's maps with 256 possible CPUs
	tests := []struct {
		memory, perVM uint64
		ask, want     int
	}{
		{256 * mib, mib / 2, 0, 128},
		{1024 * mib, mib / 2, 0, defaultVMs},
		{256 * mib, 12 * mib, 0, 14}, // 64 CPUs
		{256 * mib, 12 * mib, 100, 100},
		{256 * mib, 1, 1024, 1024},
		{512 * mib, manyCPUs, 0, 7},
		{256 * mib, manyCPUs, 0, 3},
		{baseBytes + manyCPUs + keptBytes, manyCPUs, 0, 1},
	}
	for _, tt := range tests {
		b, err := NewBudget(tt.memory, tt.perVM, tt.ask)
		if err != nil || b.VMs != tt.want {
			t.Errorf("%+v: %+v, %v", tt, b, err)
		}
		if few := tt.ask == 0 && tt.want < 8; few != (b.Warning != "") {
			t.Errorf("%+v: %d VMs, warning %q", tt, b.VMs, b.Warning)
		}
		if need := baseBytes + uint64(b.VMs)*(tt.perVM+keptBytes); b.Memory < need || b.GoLimit <= baseBytes/2 {
			t.Errorf("%+v: %+v: needs %d", tt, b, need)
		}
	}
	for want, tt := range map[string]struct {
		memory uint64
		ask    int
	}{"--memory 64 MiB: too little": {64 * mib, 0}, "--max-vms 2000": {mib, 2000}, "--max-vms -1": {mib, -1}} {
		if b, err := NewBudget(tt.memory, mib, tt.ask); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, %v: want %q", b, err, want)
		}
	}
	if m := DefaultMemory(mib); m < 256*mib || m > 1024*mib {
		t.Errorf("%d", m)
	}
	// The default suffices whatever a VM takes: 8,192 CPUs.
	if b, err := NewBudget(DefaultMemory(32*manyCPUs), 32*manyCPUs, 0); err != nil || b.VMs != 1 || b.Warning == "" {
		t.Errorf("%+v, %v: want room for one", b, err)
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]uint64{"1": 1, "512K": 512 << 10, "256M": 256 << 20, "2G": 2 << 30, "2GiB": 2 << 30, "100MB": 100 << 20} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "M", "-1M", "1.5G", "1T", "99999999999G"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%s: %d", text, got)
		}
	}
}

func FuzzParseBytes(f *testing.F) {
	f.Add("12M")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseBytes(text); err == nil && n == 0 {
			t.Errorf("%q is 0", text)
		}
	})
}
