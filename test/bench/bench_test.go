// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

func needKVM(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for BPF")
	}
	if h := platform.DetectHost(); !h.KVM {
		t.Skip("/dev/kvm is missing: " + h.KVMReason)
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("qemu-system-x86_64 is missing: install the package qemu-system-x86")
	}
}

// TestBench runs one round of everything. It looks at what was measured, never at
// how long it took.
func TestBench(t *testing.T) {
	needKVM(t)
	o := options{rounds: 1, eventRounds: 1, pio: 50, cpuid: 60, only: []string{"auto", "bystander"}, wait: time.Minute}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	b, err := openBench(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(b.workDir); !os.IsNotExist(err) {
			t.Errorf("the work folder is still there: %v", err)
		}
	}()
	if err := b.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := b.slowdown(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.Workloads {
		for _, c := range []string{none, "bystander", "auto"} {
			if n := len(s.Samples[w.Name][c]); n != 1 {
				t.Errorf("%s under %s: %d samples, want 1", w.Name, c, n)
			}
		}
	}
	if s.TicksPerNS <= 0 {
		t.Errorf("the TSC's rate is %v", s.TicksPerNS)
	}
	checkEvents(t, b)
	checkTestRuns(t, b)
}

// checkEvents holds the kernel's run counts against the guest's task.
func checkEvents(t *testing.T, b *bench) {
	t.Helper()
	rows, err := b.events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	least := map[string]uint64{"kvm_pio": uint64(b.pio), "kvm_cpuid": uint64(b.cpuid), "kvm_halt": 20}
	for _, r := range rows {
		if want := least[r.Hook]; r.Runs >= want && len(r.NS) > 0 && r.NS[0] > 0 {
			delete(least, r.Hook)
		}
	}
	if diff := cmp.Diff(map[string]uint64{}, least); diff != "" {
		t.Errorf("hooks whose programs did not run often enough (-want +got)\n%s", diff)
	}
}

func checkTestRuns(t *testing.T, b *bench) {
	t.Helper()
	rows, err := b.testRuns(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Refused != "" || len(r.NS) != batches {
			t.Errorf("%s (%s): %d batches of %d; %s", r.Program, r.Case, len(r.NS), batches, r.Refused)
		}
	}
}

// A program of somebody else's that comes while the bench runs is noticed.
func TestForeignProgramIsNoticed(t *testing.T) {
	needKVM(t)
	b := &bench{options: options{wait: time.Minute}}
	if err := b.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := emptyProgram()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if clean, err := b.undisturbed(foreign{}); err != nil || clean {
		t.Errorf("with a foreign program: undisturbed %v, %v", clean, err)
	}
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	b.wait = 0
	if alone, err := b.onlyBaseline(t.Context()); err != nil || alone {
		t.Errorf("with a foreign program: only the baseline %v, %v", alone, err)
	}
	if now, err := tracingPrograms(); err != nil || now[id] != "empty" {
		t.Errorf("program %d is not in the list %v, %v", id, now, err)
	}
}

func TestOptions(t *testing.T) {
	good := options{rounds: 1, pio: 1, cpuid: 1}
	for name, o := range map[string]options{
		"no port writes":    {cpuid: 1},
		"no CPUIDs":         {pio: 1},
		"negative rounds":   {rounds: -1, pio: 1, cpuid: 1},
		"negative wait":     {pio: 1, cpuid: 1, wait: -1},
		"unknown condition": {pio: 1, cpuid: 1, only: []string{"no such"}},
	} {
		if err := o.check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := good.check(); err != nil || good.seed == 0 {
		t.Errorf("a good one: %v, seed %d", err, good.seed)
	}
}
