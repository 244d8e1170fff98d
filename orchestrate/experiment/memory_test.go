// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/pagecache"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
)

// sized is a platform whose guest, a shell script, is told its memory in MiB.
type sized struct {
	program
	shell string
}

func (p sized) Launch(b system.Boot, r platform.Resources, nic *network.Guest, args string) (platform.Launch, error) {
	p.argv = []string{"/bin/bash", "-c", "mib=" + sizeText(r.MemoryMiB << 10)[:len(sizeText(r.MemoryMiB<<10))-4] + "; " + p.shell}
	return p.program.Launch(b, r, nic, args)
}

// fleetBoot is an experiment whose guests are real processes seen by user space, under
// what is taken for a VMM if it has a name.
func fleetBoot(t *testing.T, vmm, shell string) *Boot {
	t.Helper()
	b, _ := newBoot(t, "")
	b.Instrument = Userspace{}
	b.Platform = sized{program: program{vmm: vmm}, shell: shell}
	b.Settings = matrix.DefaultSettings()
	b.Settings.Timeout, b.Settings.MemoryMiB = 20*time.Second, 64
	b.Settings.MemorySearch = matrix.MemorySearch{FromMiB: 1, ToMiB: 64, StepMiB: 1, Confirm: 2}
	return b
}

func noLoad(context.Context, *Live) error { return nil }

// TestMemoryMin: whole searches, of guests that need a known size to become ready, or
// to stand the load, or that hang with less.
func TestMemoryMin(t *testing.T) {
	tests := []struct {
		name, shell string
		exercise    Exerciser
		least       float64
		status      string
		reason      string
	}{
		{"to become ready", "[ $mib -ge 23 ] && echo ready && exec sleep 60; echo too small >&2; exit 1", noLoad, 23, OK, ""},
		{"to stand the load", "echo ready; exec sleep 60", func(_ context.Context, l *Live) error {
			if l.Boot.Settings.MemoryMiB < 40 {
				return errors.New("wrong answer")
			}
			return nil
		}, 40, OK, ""},
		{"never ready with less", "[ $mib -ge 60 ] && echo ready; exec sleep 60", noLoad, 60, OK, ""},
		{"a bound", "echo ready; exec sleep 60", noLoad, 0, Failed, "memory_search: from_mib is not small enough: 1 MiB work 2 of 2 times, and a bound is no result"},
		{"never", "exit 3", noLoad, 0, Failed, "memory_mib: 64 MiB are not enough to begin with: tiny-vmm ended"},
		{"not monotone", "[ $(($mib % 2)) = 0 ] && echo ready && exec sleep 60; exit 1", noLoad, 0, Failed, "not monotone: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := fleetBoot(t, "tiny-vmm", tt.shell)
			if tt.name == "never ready with less" {
				b.Settings.MemorySearch.FromMiB, b.Settings.MemorySearch.ToMiB = 58, 64
			}
			s, err := (&MemoryMin{Boot: b, Exercise: tt.exercise}).Sample(t.Context(), "s0")
			if err != nil {
				t.Fatal(err)
			}
			if s.Status != tt.status || !strings.HasPrefix(s.Reason, tt.reason) || s.Values[MemoryMinBytes] != tt.least*mib {
				t.Errorf("%s: %q, %v MiB; want %s, %q, %v\n%s", s.Status, s.Reason, s.Values[MemoryMinBytes]/mib, tt.status, tt.reason, tt.least, s.Outputs["search"])
			}
			if tt.least > 0 && s.Values[MemoryFailingBytes] != (tt.least-1)*mib {
				t.Errorf("fails with %v MiB", s.Values[MemoryFailingBytes]/mib)
			}
			if limit := s.Values[BootLimitNs]; tt.name != "never" && (limit < float64(grace) || limit > 15e9) {
				t.Errorf("a boot is given %v s: want some times the slowest", limit/1e9)
			}
		})
	}
}

// TestMemoryMinOfAProcess: the limit is its cgroup's, and told as the reason.
func TestMemoryMinOfAProcess(t *testing.T) {
	b := fleetBoot(t, "", "x=$(head -c 8000000 /dev/zero | tr '\\0' x); echo ready; exec sleep 60")
	if err := b.Cgroups.Memory(); err != nil {
		t.Skip(err)
	}
	s, err := (&MemoryMin{Boot: b, Exercise: noLoad}).Sample(t.Context(), "s0")
	if err != nil {
		t.Fatal(err)
	}
	if least := s.Values[MemoryMinBytes] / mib; s.Status != OK || least < 8 || least > 40 || !strings.Contains(s.Outputs["search"], "killed for lack of memory: its limit is 8 MiB") {
		t.Errorf("%s: %s: %v MiB\n%s", s.Status, s.Reason, least, s.Outputs["search"])
	}
}

func TestMemoryMinInterrupted(t *testing.T) {
	b := fleetBoot(t, "tiny-vmm", "echo ready; exec sleep 60")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	s, err := (&MemoryMin{Boot: b, Exercise: func(context.Context, *Live) error { interrupt(); return nil }}).Sample(ctx, "s0")
	if err != nil || s.Status != Interrupted {
		t.Errorf("%s: %s, %v", s.Status, s.Reason, err)
	}
}

// TestMemoryUse: a process that takes more under load.
func TestMemoryUseOfAProcess(t *testing.T) {
	b := fleetBoot(t, "", "x=$(head -c 4000000 /dev/zero | tr '\\0' x); echo ready; exec sleep 60")
	s := sampled(t, MemoryUse(b, noLoad))
	if own := s.Values["process_ready_bytes"]; own < 16*kib || s.Values["pss_idle_bytes"] < own || s.Values["page_tables_ready_bytes"] == 0 {
		t.Errorf("%v", s.Values)
	}
	if n := len(s.Curves["process_bytes"]); n < 5 {
		t.Errorf("a curve of %d points in a second", n)
	}
	noLoadFor(t, s, "process_load_bytes", "pss_load_bytes", "page_tables_load_bytes")
	if _, there := s.Values["charged_ready_bytes"]; there != (b.Cgroups.Memory() == nil) {
		t.Errorf("charged: %v", s.Values)
	}
}

// TestMemoryUseOfNoGuest: a VMM whose guest's memory is not found has no value for it,
// and the reason.
func TestMemoryUseOfNoGuest(t *testing.T) {
	b := fleetBoot(t, "tiny-vmm", "echo ready; exec sleep 60")
	b.Settings.MemoryMiB = 4093
	s := sampled(t, MemoryUse(b, noLoad))
	for _, name := range []string{"guest_ready_bytes", "vmm_ready_bytes", "shared_ready_bytes"} {
		if v, there := s.Values[name]; there {
			t.Errorf("%s is %v", name, v)
		}
	}
	if len(s.Lacking) != 6 || !strings.Contains(s.Lacking[0].Reason, "none of the VMM's mappings is of exactly 4093 MiB") || s.Values["pss_ready_bytes"] == 0 {
		t.Errorf("%v, missing %+v", s.Values, s.Lacking)
	}
	s.Lacking = s.Lacking[2:]
	noLoadFor(t, s, "guest_load_bytes", "vmm_load_bytes", "pss_load_bytes", "page_tables_load_bytes")
}

// noLoadFor wants exactly these values to be missing, since there is no load.
func noLoadFor(t *testing.T, s Sample, names ...string) {
	t.Helper()
	var got []string
	for _, m := range s.Lacking {
		if _, there := s.Values[m.Name]; there || !strings.Contains(m.Reason, "no load") {
			t.Errorf("%s is %v and missing: %s", m.Name, s.Values[m.Name], m.Reason)
		}
		got = append(got, m.Name)
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("missing for want of a load (-want +got):\n%s", diff)
	}
}

// sampled takes a good sample. That a made-up guest has no files to look for in the page
// cache is none of its missing values.
func sampled(t *testing.T, e Sampler) Sample {
	t.Helper()
	s, err := e.Sample(t.Context(), "s0")
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != OK {
		t.Fatalf("%s: %s", s.Status, s.Reason)
	}
	s.Lacking = slices.DeleteFunc(s.Lacking, func(m probe.Missing) bool { return m.Name == CacheResidentBytes })
	return s
}

// TestDensity: guests of a known size, against a limit, against none, and such that
// end for a reason of their own.
func TestDensity(t *testing.T) {
	const tenMiB = "exec 3<>/dev/null; x=$(head -c 10000000 /dev/zero | tr '\\0' x); echo ready; while :; do read -t 60 < <(sleep 60); done"
	tests := []struct {
		name, shell  string
		ram, most    int
		noController bool
		least, atMax float64 // instances
		status       string
		reason       string
	}{
		{"by the limit", tenMiB, 100, 20, false, 3, 10, OK, ""},
		{"by PSS", "echo ready; exec sleep 60", 2, 60, true, 2, 59, OK, ""},
		{"a bound", "echo ready; exec sleep 60", 100, 3, false, 0, 0, OK, ""},
		{"ends by itself", "echo ready; sleep 0.5; exit 4", 100, 20, false, 0, 0, Failed, " run and answer, and the end was not for lack of memory: guest 1 of "},
		{"not one", "exit 4", 100, 20, false, 0, 0, Failed, "not one: guest 1 of 1: the process ended before the guest was ready"},
		{"more than there is", "exit 4", 1 << 20, 20, false, 0, 0, Failed, "density: ram_mib is 1048576, and this host has"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := fleetBoot(t, "", tt.shell)
			if tt.noController {
				b.Cgroups = cgroup.Hierarchy{Path: b.Cgroups.Path, Root: b.Cgroups.Root}
			} else if err := b.Cgroups.Memory(); err != nil {
				t.Skip(err)
			}
			b.Settings.Density = matrix.DensityLimit{RAMMiB: tt.ram, AtMost: tt.most}
			s, err := (&Density{Boot: b}).Sample(t.Context(), "s0")
			if err != nil {
				t.Fatal(err)
			}
			n, measured := s.Values[Instances]
			if s.Status != tt.status || !strings.Contains(s.Reason, tt.reason) || n < tt.least || n > tt.atMax || measured != (tt.atMax > 0) {
				t.Errorf("%s: %q, %v run; want %s, %q, %v to %v; %s", s.Status, s.Reason, n, tt.status, tt.reason, tt.least, tt.atMax, s.Outputs["end"])
			}
			if measured && (len(s.Curves["boot_ns"]) < int(n) || s.Values["boot_last_ns"] == 0 || s.Values["memory_per_instance_bytes"]*n > float64(tt.ram)*mib) {
				t.Errorf("%v, %v", s.Values, s.Curves)
			}
			if tt.name == "a bound" && (s.Values[InstancesAtLeast] != 3 || !strings.Contains(s.Lacking[0].Reason, "density.at_most")) {
				t.Errorf("%v, %+v", s.Values, s.Lacking)
			}
			if tt.noController && !strings.Contains(strings.Join(s.Taints, ""), "PSS") {
				t.Errorf("taints %q", s.Taints)
			}
		})
	}
}

// TestDensityPageCache: that a guest's page cache had once filled all memory is no
// reason for what goes wrong later.
func TestDensityPageCache(t *testing.T) {
	b := fleetBoot(t, "", "")
	if err := b.Cgroups.Memory(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "cached")
	if err := pagecache.Coolable(dir); err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(file, make([]byte, 40*mib), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := pagecache.Of([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := set.Cool(t.Context()); err != nil || left.Resident > 0 {
		t.Skipf("%d bytes stay in the page cache: %v", left.Resident, err)
	}
	b = fleetBoot(t, "", "mkdir "+dir+"/first || exit 4; cat "+file+" >/dev/null; dd if="+file+" iflag=nocache count=0 2>/dev/null; echo ready; exec sleep 60")
	b.Settings.Density = matrix.DensityLimit{RAMMiB: 20, AtMost: 5}
	s, err := (&Density{Boot: b}).Sample(t.Context(), "s0")
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != Failed || !strings.HasPrefix(s.Reason, "1 run and answer, and the end was not for lack of memory") {
		t.Errorf("%s: %s; %v", s.Status, s.Reason, s.Values)
	}
}

func TestDensityInterrupted(t *testing.T) {
	b := fleetBoot(t, "", "echo ready; exec sleep 60")
	ctx, interrupt := context.WithCancel(t.Context())
	time.AfterFunc(500*time.Millisecond, interrupt)
	b.Settings.Density = matrix.DensityLimit{RAMMiB: 500, AtMost: 200}
	s, err := (&Density{Boot: b}).Sample(ctx, "s0")
	if err != nil || s.Status != Interrupted {
		t.Errorf("%s: %s, %v", s.Status, s.Reason, err)
	}
}

// TestTally: taints that differ only in their figures are one.
func TestTally(t *testing.T) {
	var c tally
	for _, taint := range []string{"client: ready known only to within 116ms of 1.1s", "client: ready known only to within 1.2s of 3s", "lost 3 records"} {
		c.add(Sample{Taints: []string{taint, "shared cpu"}})
	}
	s := Sample{Taints: []string{"shared cpu"}}
	c.into(&s)
	want := "shared cpu|client: ready known only to within … of … (2 of 3 boots)|lost 3 records (1 of 3 boots)"
	if got := strings.Join(s.Taints, "|"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestNotTheApp: a runtime that fails before the app is told apart, where the app's
// start can be seen at all.
func TestNotTheApp(t *testing.T) {
	trials := func(passed, failed bool) []trial {
		return []trial{{KiB: 4 << 10, Passed: true, Exec: passed}, {KiB: 2 << 10}, {KiB: 3 << 10, Exec: failed}}
	}
	for _, tt := range []struct{ passed, failed, tainted bool }{{true, false, true}, {true, true, false}, {false, false, false}} {
		var s Sample
		(&memoryRun{s: &s, trials: trials(tt.passed, tt.failed)}).notTheApp(3 << 10)
		if (len(s.Taints) == 1 && strings.Contains(s.Taints[0], "with 3 MiB it was not the app")) != tt.tainted {
			t.Errorf("%+v: taints %q", tt, s.Taints)
		}
	}
}
