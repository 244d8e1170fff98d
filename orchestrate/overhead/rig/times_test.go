// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
)

const guestLines = "ukprobe-reference: start tsc=1000\nukprobe-reference: counts boot=pvh pio=4 cpuid=0 hlt=0 pages=0 frames-out=0 console=1 port-io=9 mmio=0\n" +
	"ukprobe-reference: ready tsc=3500\n"

func TestReadLines(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		ticks      uint64
		err        string
	}{
		{"whole", guestLines, 2500, ""},
		{"another task", strings.Replace(guestLines, "pio=4", "pio=5", 1), 0, "did not do its task"},
		{"not ready", strings.ReplaceAll(guestLines, "ready", "rea"), 0, "it was not ready"},
		{"backwards", strings.Replace(guestLines, "3500", "999", 1), 0, "from 1000 to 999: it was not ready"},
		{"firmware first", "SeaBIOS\r\n" + guestLines, 2500, ""},
		{"silent", "", 0, "it was not ready"},
		{"a counter too large", strings.Replace(guestLines, "1000", "99999999999999999999", 1), 0, "out of range"},
		{"a line too long", strings.Repeat("x", 1<<20), 0, "token too long"},
	} {
		got, err := readLines(strings.NewReader(tt.text), reference.Cmdline{PIO: 4}, time.Now().Add(-time.Second))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || got.Ticks != tt.ticks || got.Boot < time.Second || got.Pipe < 0 || got.Pipe > time.Second {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
}

// TestTicksPerNs: the median of the runs counts, and a guest that fails ends it.
func TestTicksPerNs(t *testing.T) {
	runs := []Times{{Ticks: 3000, Pipe: 1000}, {Ticks: 8000, Pipe: 1000}, {Ticks: 2000, Pipe: 1000}}
	n := 0
	got, err := TicksPerNs(func() (Times, error) { n++; return runs[n-1], nil })
	if err != nil || got != 3 || n != len(runs) {
		t.Errorf("%v ticks per ns of %d guests, %v", got, n, err)
	}
	why := errors.New("no guest")
	if _, err := TicksPerNs(func() (Times, error) { return Times{}, why }); !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
}
