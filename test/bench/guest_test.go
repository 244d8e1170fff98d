// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
)

const (
	startText  = "ukprobe-reference: start tsc=1000\n"
	countsText = "ukprobe-reference: counts boot=multiboot pio=5 cpuid=0 hlt=0 pages=0 frames-out=0 console=43 port-io=55 mmio=0\n"
	readyText  = "ukprobe-reference: ready tsc=4500\n"
)

func TestReadLines(t *testing.T) {
	task := reference.Cmdline{PIO: 5}
	for _, tc := range []struct {
		name, in, err string
		ticks         uint64
	}{
		{"whole", startText + countsText + readyText, "", 3500},
		{"firmware first", "SeaBIOS\n" + startText + countsText + readyText, "", 3500},
		{"never ready", startText + countsText, "it was not ready", 0},
		{"nothing", "", "it was not ready", 0},
		{"TSC goes back", startText + countsText + "ukprobe-reference: ready tsc=999\n", "from 1000 to 999", 0},
		{"other task", startText + strings.Replace(countsText, "pio=5", "pio=4", 1) + readyText, "did not do its task", 0},
		{"TSC too long", "ukprobe-reference: start tsc=99999999999999999999\n", "out of range", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := readLines(bufio.NewScanner(strings.NewReader(tc.in)), task, time.Now())
			switch {
			case tc.err == "" && err != nil:
				t.Fatal(err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Fatalf("error %v, want one with %q", err, tc.err)
			case tc.err == "" && (got.Ticks != tc.ticks || got.Pipe < 0 || got.Boot < got.Pipe):
				t.Errorf("%+v, want %d ticks", got, tc.ticks)
			}
		})
	}
}

func TestCgroupPath(t *testing.T) {
	for in, want := range map[string]string{
		"0::/\n":                                "/",
		"12:cpuset:/x\n0::/user.slice/a b\n":    "/user.slice/a b",
		"2:cpu:/\n1:name=systemd:/init.scope\n": "",
	} {
		got, err := cgroupPath(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}
