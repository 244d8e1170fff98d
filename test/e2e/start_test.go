// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/pagecache"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/test/dockerd"
)

// Guests that start at once are all ready, each on a wire of its own; the last VM has
// started before the first is ready; and what one sample says of them is theirs.
func TestParallelStarts(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needNative(t, "three guests at once are a minute under emulation")
	m := matrix(t, "system: reference, app: http, platform: qemumicrovm, accel: kvm, parallel: [1, 3]",
		"system: process, app: nginx, platform: process, parallel: 3",
		"system: process, app: nginx, platform: process, parallel: 2, experiment: memory-use")
	c := newRun(t, "--matrix", m, "--samples", "2", "--warmup", "0").start().wait(patience(60 * time.Second)).want(0)
	if text := oneLine(c.stdout.String()); !strings.Contains(text, "guests at once") || !strings.Contains(text, "only experiment boot starts guests at once") {
		t.Errorf("the tables say nothing of it:\n%s", c.stdout.String())
	}
	f := c.file()
	for i, n := range []int{0, 3, 3} {
		for _, s := range f.Cells[i].Samples {
			checkOK(t, f, s)
			if len(s.Guests) != n {
				t.Fatalf("%s: %d guests", f.Cells[i].Name(), len(s.Guests))
			}
			if n > 0 {
				checkRound(t, f, s)
			}
		}
	}
	for _, s := range f.Cells[1].Samples { // programs may be ready before a CPU that they share has the next one started
		if spread, ready := figure(t, s, "starts_spread_ns"), figure(t, s, "first_ready_ns"); spread >= ready {
			t.Errorf("the last started %v ns after the first, which was ready after %v: not at once", spread, ready)
		}
	}
	one, round := f.Cells[0].Samples[0], f.Cells[1].Samples[0]
	if a, b := one.Values["frames_out"], round.Values["frames_out"]; b < 2*a {
		t.Errorf("three guests have sent %v frames, one %v", b, a)
	}
}

// Containers too: each has the engine's part in its timeline.
func TestParallelContainers(t *testing.T) {
	needRoot(t)
	needNative(t, "an engine wants a root that it can write to")
	e := dockerd.Start(t, dockerd.Options{})
	m := matrix(t, "system: docker, app: nginx, platform: docker, samples: 1, warmup: 0, parallel: 3", "system: docker, app: nginx, platform: docker, samples: 1, warmup: 0, cache: cold",
		"system: docker, app: nginx, platform: docker, samples: 1, warmup: 0, cache: warm")
	c := dockerRun(t, e, "--matrix", m, "--timeout", "1m").start().wait(patience(2 * time.Minute)).want(0)
	f := c.file()
	s := f.Cells[0].Samples[0]
	checkOK(t, f, s)
	if len(s.Guests) != 3 {
		t.Fatalf("%d guests", len(s.Guests))
	}
	for _, g := range s.Guests {
		checkOK(t, f, g)
		checkOrder(t, g, containerStart...)
	}
	if spread, all := figure(t, s, "starts_spread_ns"), figure(t, s, "all_ready_ns"); spread >= all/2 {
		t.Errorf("the engine was asked for the last %v ns after the first, all were ready after %v", spread, all)
	}
	for i, resident := range []float64{0, 100} {
		cell := f.Cells[i+1]
		if cell.Status == results.CellUnsupported {
			if !strings.Contains(cell.Reason, "the engine does not tell in which folders") {
				t.Errorf("%s: %s", cell.Name(), cell.Reason)
			}
			continue
		}
		s := cell.Samples[0]
		checkOK(t, f, s)
		if got := figure(t, s, "cache_resident_percent"); math.Abs(got-resident) > 1 || figure(t, s, "cache_files_bytes") < miB {
			t.Errorf("%s: %v %% of %v bytes in the page cache", cell.Name(), got, s.Values["cache_files_bytes"])
		}
	}
}

// checkRound holds a sample of several guests against the guests.
func checkRound(t *testing.T, f *results.File, s results.Sample) {
	t.Helper()
	var starts, ready, totals []int64
	devices := map[string]bool{}
	for _, g := range s.Guests {
		checkOK(t, f, g)
		start, _ := at(g, results.EventVMMExec)
		answer, _ := at(g, results.EventFirstResponse)
		starts, ready, totals = append(starts, start.NS), append(ready, answer.NS), append(totals, *g.Phases.TotalNs)
		devices[g.Outputs["device"]] = true
	}
	first := slices.Min(starts)
	for name, want := range map[string]int64{"starts_spread_ns": slices.Max(starts) - first, "first_ready_ns": slices.Min(ready) - first,
		"all_ready_ns": slices.Max(ready) - first, "total_min_ns": slices.Min(totals), "guests": int64(len(s.Guests))} {
		if got := figure(t, s, name); got != float64(want) {
			t.Errorf("%s is %v, and %v of the guests", name, got, want)
		}
	}
	if *s.Phases.TotalNs != slices.Max(totals) {
		t.Errorf("the total is %d, the guests' are %v", *s.Phases.TotalNs, totals)
	}
	if len(devices) != len(s.Guests) || devices[""] {
		t.Errorf("devices %v", devices)
	}
	for _, g := range s.Guests {
		if exit, ok := at(g, results.EventVMMExit); !ok || exit.NS < slices.Max(ready) {
			t.Errorf("a guest ended at %d, before all were ready", exit.NS)
		}
	}
}

// From a cold page cache the disks have to give what redis needs of its files (with
// what the kernel reads ahead, all of them here), from a warm one nothing.
func TestColdAndWarm(t *testing.T) {
	needRoot(t)
	needNative(t, "its root is in memory")
	if err := pagecache.Coolable(os.TempDir()); err != nil {
		t.Skip(err)
	}
	m := matrix(t, "system: process, app: redis, platform: process, cache: cold", "system: process, app: redis, platform: process, cache: warm",
		"system: process, app: redis, platform: process, cache: cold, parallel: 2")
	f := newRun(t, "--matrix", m, "--samples", "2", "--warmup", "0").start().wait(patience(60 * time.Second)).want(0).file()
	for i, cell := range f.Cells {
		for _, s := range cell.Samples {
			checkOK(t, f, s)
			size, resident, read := figure(t, s, "cache_files_bytes"), figure(t, s, "cache_resident_bytes"), figure(t, s, "disk_read_bytes")
			guests := float64(max(1, len(s.Guests)))
			if size < guests*5*miB {
				t.Errorf("redis with its libraries is %v bytes", size)
			}
			switch {
			case i == 1 && (resident != size || read > size/4):
				t.Errorf("warm: %v of %v bytes were in the page cache, %v were read", resident, size, read)
			case i != 1 && (resident > size/100 || read < guests*2*miB || figure(t, s, "major_faults") < guests):
				t.Errorf("%s: %v of %v bytes were in the page cache, %v were read", cell.Name(), resident, size, read)
			}
			if slices.ContainsFunc(s.Taints, func(taint string) bool { return strings.HasPrefix(taint, "cache:") }) {
				t.Errorf("taints %q", s.Taints)
			}
		}
	}
}

// A tap that is kept is the same device in all samples, and goes with the run.
func TestSameTap(t *testing.T) {
	needRoot(t)
	needKVM(t)
	guest := "system: reference, app: http, platform: qemumicrovm, accel: kvm"
	f := newRun(t, "--matrix", matrix(t, guest, guest+", tap: keep"), "--samples", "2").start().wait(patience(60 * time.Second)).want(0).file()
	for i, keep := range []bool{false, true} {
		devices := map[string]int{}
		for _, s := range f.Cells[i].Samples {
			checkOK(t, f, s)
			checkOrder(t, s, results.EventVMMExec, results.EventFrameOut, results.EventSynAck, results.EventFirstResponse)
			devices[s.Outputs["device"]]++
		}
		if same := len(devices) == 1; same != keep || len(devices) == 0 {
			t.Errorf("tap kept %v: %v", keep, devices)
		}
	}
}

// After SIGKILL clean removes a tap that was kept, as any other.
func TestSameTapKilled(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needNative(t, "it does not depend on the kernel")
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: kvm, tap: keep, warmup: 0, samples: 5, ready: 'this never comes', timeout: 400ms")
	c := newRun(t, "--matrix", m).start()
	c.waitFor(" 3/5: ", patience(30*time.Second)) // told before it is stored: two are
	_ = c.cmd.Process.Kill()
	c.wait(patience(5 * time.Second)).want(-int(syscall.SIGKILL))
	f := c.file()
	if n := len(f.Cells[0].Samples); n < 2 {
		t.Fatalf("%d samples are stored", n)
	}
	if a, b := f.Cells[0].Samples[0], f.Cells[0].Samples[1]; a.Status != results.SampleTimeout || a.Outputs["device"] == "" || a.Outputs["device"] != b.Outputs["device"] {
		t.Errorf("%s on %q, then %s on %q", a.Status, a.Outputs["device"], b.Status, b.Outputs["device"])
	}
	clean := newCall(t, "clean", "--journal-dir", c.journal()).run().want(0)
	if text := clean.stdout.String(); !strings.Contains(text, "removed netns ukprobe-") {
		t.Errorf("clean says\n%s", text)
	}
}
