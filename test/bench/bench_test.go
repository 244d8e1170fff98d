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
	o := options{ownRounds: 1, toolRounds: 1, eventRounds: 1, pio: 50, cpuid: 60, toolPIO: 70, toolCPUID: 80, million: 400,
		conditions: []string{"auto", "full", "bystander", "perf kvm stat record"}, wait: time.Minute}
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
		for _, c := range []string{none, "bystander", "auto", "full"} {
			if n := len(s.Samples[w.Name][c]); n != 1 {
				t.Errorf("%s under %s: %d samples, want 1", w.Name, c, n)
			}
		}
	}
	if s.TicksPerNS <= 0 {
		t.Errorf("the TSC's rate is %v", s.TicksPerNS)
	}
	checkTools(t, b)
	checkMillion(t, b)
	checkEvents(t, b)
	checkTestRuns(t, b)
}

// checkTools: ukprobe and a tool that runs wherever KVM does see what the guest did.
func checkTools(t *testing.T, b *bench) {
	t.Helper()
	s, err := b.compareTools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conditions := []string{"auto", "full"}
	if _, err := exec.LookPath("perf"); err == nil {
		conditions = append(conditions, "perf kvm stat record")
	}
	for _, c := range conditions {
		if len(s.Accounts[c]) != 1 {
			t.Fatalf("%s: %d accounts, want 1; conditions %+v", c, len(s.Accounts[c]), s.Conditions)
		}
		a := s.Accounts[c][0]
		if n := a.Seen[portWrites]; n < s.Known[portWrites] || a.Lost == nil || *a.Lost != 0 || a.CPU <= 0 {
			t.Errorf("%s: %+v, want at least %d port writes and nothing lost", c, a, s.Known[portWrites])
		}
	}
	if n := s.Accounts["auto"][0].Seen[cpuids]; n < s.Known[cpuids] {
		t.Errorf("auto: %d CPUIDs, want at least %d", n, s.Known[cpuids])
	}
}

// checkMillion: whatever the number, nothing of it is lost.
func checkMillion(t *testing.T, b *bench) {
	t.Helper()
	m, err := b.manyExits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.Seen[portWrites] != m.Did[portWrites] || m.Seen[cpuids] < m.Did[cpuids] || m.Lost != 0 || m.Rate <= 0 {
		t.Errorf("the guests did %v, seen %v, lost %d", m.Did, m.Seen, m.Lost)
	}
	if a := m.Alone; a.Refused == "" && (a.Counted != a.Pairs || a.Rate <= 0) {
		t.Errorf("the programs alone: %+v", a)
	}
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
	if clean, err := b.foreign.Undisturbed(nil); err != nil || clean {
		t.Errorf("with a foreign program: undisturbed %v, %v", clean, err)
	}
	b.wait = 0
	if alone, err := b.onlyBaseline(t.Context()); err != nil || alone {
		t.Errorf("with a foreign program: only the baseline %v, %v", alone, err)
	}
}

func TestOptions(t *testing.T) {
	good := options{ownRounds: 1, toolRounds: 1, eventRounds: 1, pio: 1, cpuid: 1, toolPIO: 1, toolCPUID: 1, million: 1}
	for name, change := range map[string]func(*options){
		"no port writes":    func(o *options) { o.pio = 0 },
		"no CPUIDs":         func(o *options) { o.toolCPUID = 0 },
		"no rounds":         func(o *options) { o.toolRounds = 0 },
		"negative wait":     func(o *options) { o.wait = -1 },
		"unknown condition": func(o *options) { o.conditions = []string{"no such"} },
		"unknown section":   func(o *options) { o.only = []string{"no such"} },
	} {
		bad := good
		change(&bad)
		if err := bad.check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good.only, good.conditions = []string{"tools", "testrun"}, []string{"bystander", "perf kvm stat record"}
	if err := good.check(); err != nil || good.seed == 0 {
		t.Errorf("a good one: %v, seed %d", err, good.seed)
	}
}
