// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/test/dockerd"
)

const miB = 1 << 20

// figure is a value of a sample, which has to be there.
func figure(t *testing.T, s results.Sample, name string) float64 {
	t.Helper()
	v, ok := s.Values[name]
	if !ok {
		t.Errorf("no %s: %s %s: %v", name, s.Status, s.Reason, s.Values)
	}
	return v
}

// wantOK: a sample of many boots has no timeline of its own.
func wantOK(t *testing.T, s results.Sample) {
	t.Helper()
	if s.Status != results.SampleOK {
		t.Fatalf("%s: %s\n%v", s.Status, s.Reason, s.Outputs)
	}
}

// The reference guest needs what its command line says, the 2 MiB below included, to
// the MiB; a bound is no result, with the reason.
func TestMemoryMin(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needNative(t, "some forty boots")
	guest := "system: reference, app: hello, platform: qemumicrovm, accel: kvm, experiment: memory-min, memory_mib: 64"
	m := matrix(t, guest+", args: mem=17, memory_search: {from_mib: 8, to_mib: 40, confirm: 2}",
		"system: reference, app: http, platform: qemumicrovm, accel: kvm, experiment: memory-min, memory_mib: 32, memory_search: {from_mib: 16, to_mib: 30, confirm: 1}")
	c := newRun(t, "--matrix", m).start().wait(patience(60 * time.Second)).want(1)
	f := c.file()
	s := f.Cells[0].Samples[0]
	wantOK(t, s)
	if least, fails := figure(t, s, "memory_min_bytes"), figure(t, s, "memory_failing_bytes"); least != 19*miB || fails != 18*miB {
		t.Errorf("needs %v MiB, fails with %v; want 19 and 18\n%s", least/miB, fails/miB, s.Outputs["search"])
	}
	boots := figure(t, s, "boots")
	if tried := strings.Count(s.Outputs["search"], "\n"); boots < 12 || float64(tried) >= boots || len(s.Curves["tried_bytes"]) != tried {
		t.Errorf("%v boots, %d tries, a curve of %d points:\n%s", boots, tried, len(s.Curves["tried_bytes"]), s.Outputs["search"])
	}
	if !strings.Contains(s.Outputs["search"], "need 17 MiB, have 16 MiB") {
		t.Errorf("why it fails:\n%s", s.Outputs["search"])
	}
	s = f.Cells[1].Samples[0]
	if _, there := s.Values["memory_min_bytes"]; there || s.Status != results.SampleFailed || !strings.Contains(s.Reason, "16 MiB work 1 of 1 times, and a bound is no result") {
		t.Errorf("%s: %s: %v", s.Status, s.Reason, s.Values)
	}
}

// What is no VM has the limit of its cgroup; a program that fits into a MiB is told
// from one that does not.
func TestMemoryMinByCgroup(t *testing.T) {
	needRoot(t)
	needNative(t, "some thirty boots")
	m := matrix(t, "system: process, app: [hello, redis], platform: process, experiment: memory-min, memory_mib: 16, memory_search: {from_mib: 1, to_mib: 16, confirm: 1}, load: {duration: 50ms, connections: 5}")
	f := newRun(t, "--matrix", m).start().wait(patience(60 * time.Second)).want(0).file()
	for i, between := range map[int][2]float64{0: {64 << 10, 1 * miB}, 1: {1 * miB, 15 * miB}} {
		s := f.Cells[i].Samples[0]
		wantOK(t, s)
		if least := figure(t, s, "memory_min_bytes"); least <= between[0] || least > between[1] || !strings.Contains(s.Outputs["search"], "killed for lack of memory: its limit is") {
			t.Errorf("%s needs %v KiB, want %v to %v bytes:\n%s", f.Cells[i].App, least/1024, between[0], between[1], s.Outputs["search"])
		}
	}
}

// A container has the limit of the cgroup above its own, below the least that an
// engine takes too.
func TestMemoryOfContainers(t *testing.T) {
	needRoot(t)
	needNative(t, "an engine wants a root that it can write to")
	e := dockerd.Start(t, dockerd.Options{})
	container := "system: docker, app: redis, platform: docker, memory_mib: 32, load: {duration: 50ms, connections: 5}, experiment: "
	m := matrix(t, container+"memory-min, memory_search: {from_mib: 1, to_mib: 32, confirm: 1}", container+"memory-use", container+"density, density: {ram_mib: 200, at_most: 2}")
	c := dockerRun(t, e, "--matrix", m, "--timeout", "1m").start().wait(patience(2 * time.Minute)).want(0)
	f := c.file()
	for _, cell := range f.Cells {
		wantOK(t, cell.Samples[0])
	}
	s := f.Cells[0].Samples[0]
	if least := figure(t, s, "memory_min_bytes"); least < 2*miB || least > 32*miB {
		t.Errorf("needs %v MiB:\n%s", least/miB, s.Outputs["search"])
	}
	s = f.Cells[1].Samples[0]
	if own, pss, charged := figure(t, s, "process_load_bytes"), figure(t, s, "pss_load_bytes"), figure(t, s, "charged_load_bytes"); own < miB || pss < own || charged < miB {
		t.Errorf("own %v, PSS %v, charged %v", own, pss, charged)
	}
	s = f.Cells[2].Samples[0]
	if n := figure(t, s, "instances_at_least"); n != 2 || len(s.Curves["memory_bytes"]) != 2 || figure(t, s, "memory_per_instance_bytes") < miB {
		t.Errorf("%v run: %v", n, s.Curves)
	}
}

// The reference guest touches the memory that it is told to and its first 2 MiB, as
// one mapping of its VMM's, and no more when it is idle.
func TestMemoryUse(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needNative(t, "it does not depend on the kernel")
	m := matrix(t, "system: reference, app: http, platform: qemumicrovm, accel: kvm, experiment: memory-use, args: mem=20, load: {duration: 300ms}",
		"system: reference, app: hello, platform: qemumicrovm, accel: tcg, experiment: memory-use, args: mem=80",
		"system: process, app: nginx, platform: process, experiment: memory-use, load: {duration: 300ms}")
	f := newRun(t, "--matrix", m).start().wait(patience(60 * time.Second)).want(0).file()
	for i, touched := range []float64{20 * miB, 80 * miB} {
		s := f.Cells[i].Samples[0]
		checkOK(t, f, s)
		// Below 2 MiB: firmware, image, network rings; in huge pages they are all of it, and
		// the top of memory, with ACPI's tables, may be one more.
		guest := figure(t, s, "guest_ready_bytes")
		if guest < touched || guest > touched+4*miB || figure(t, s, "guest_idle_bytes") != guest {
			t.Errorf("%s: the guest has touched %v bytes, idle %v, and was told to touch %v", f.Cells[i].Accel, guest, s.Values["guest_idle_bytes"], touched)
		}
		if vmm := figure(t, s, "vmm_ready_bytes"); vmm < miB || vmm > 200*miB || figure(t, s, "pss_ready_bytes") < guest+vmm {
			t.Errorf("%s: the VMM has %v bytes, PSS %v", f.Cells[i].Accel, vmm, s.Values["pss_ready_bytes"])
		}
		if figure(t, s, "page_tables_ready_bytes") == 0 || figure(t, s, "charged_ready_bytes") < guest || len(s.Curves["guest_bytes"]) < 4 {
			t.Errorf("%s: %v, %d points", f.Cells[i].Accel, s.Values, len(s.Curves["guest_bytes"]))
		}
		if how := s.Outputs["guest_memory"]; !strings.Contains(how, "of exactly 256 MiB") {
			t.Errorf("the guest's memory was %s", how)
		}
	}
	if why := missing(f.Cells[1].Samples[0], "guest_load_bytes"); !strings.Contains(why, "has no load") {
		t.Errorf("hello under load: %q", why)
	}
	s := f.Cells[2].Samples[0]
	checkOK(t, f, s)
	if own := figure(t, s, "process_load_bytes"); own < miB || figure(t, s, "pss_load_bytes") < own || figure(t, s, "shared_load_bytes") == 0 {
		t.Errorf("a process: %v", s.Values)
	}
	if _, there := s.Values["guest_ready_bytes"]; there {
		t.Errorf("a process has no guest: %v", s.Values)
	}
}

// So many guests run as fit; what stops before memory does is no result.
func TestDensity(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needNative(t, "a dozen guests at once")
	guest := "system: reference, app: http, platform: qemumicrovm, accel: kvm, experiment: density, args: mem=30, memory_mib: 64, density: "
	m := matrix(t, guest+"{ram_mib: 150, at_most: 9}",
		"system: process, app: nginx, platform: process, experiment: density, density: {ram_mib: 200, at_most: 3}")
	f := newRun(t, "--matrix", m).start().wait(patience(90 * time.Second)).want(0).file()
	s := f.Cells[0].Samples[0]
	wantOK(t, s)
	n, each := figure(t, s, "instances"), figure(t, s, "memory_per_instance_bytes")
	if each < 32*miB || n*each > 150*miB || (n+1.1)*each < 150*miB {
		t.Errorf("%v guests of %v MiB in 150: %s", n, each/miB, s.Outputs["end"])
	}
	for _, name := range []string{"boot_ns", "latency_ns", "memory_bytes"} {
		if len(s.Curves[name]) < int(n) {
			t.Errorf("%s: %d points for %v guests", name, len(s.Curves[name]), n)
		}
	}
	if figure(t, s, "boot_last_ns") <= 0 || figure(t, s, "latency_first_ns") <= 0 {
		t.Errorf("values %v", s.Values)
	}
	s = f.Cells[1].Samples[0]
	wantOK(t, s)
	if _, there := s.Values["instances"]; there || figure(t, s, "instances_at_least") != 3 || !strings.Contains(missing(s, "instances"), "density.at_most") {
		t.Errorf("a bound: %v, %q", s.Values, missing(s, "instances"))
	}
	for _, x := range s.Interference {
		if x.Kind == "ukprobe" && x.Name == "nginx" {
			t.Errorf("a guest is taken for a stranger: %+v", x)
		}
	}
}
