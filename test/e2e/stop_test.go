// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/results"
)

// A rule that is easily met ends its cell, one that cannot be met goes to its bound, and a
// cell without one has what was asked for; each says why it has no more. A limit is learnt
// on the way.
func TestStoppingRule(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	c := newRun(t, "--matrix", matrix(t,
		"system: process, app: hello, platform: process, samples: 6, until: {within_percent: 100, at_most: 60}, timeout: 15s, timeout_learnt: true",
		"system: process, app: sqlite, platform: process, samples: 2, until: {within_percent: 1, at_most: 7}",
		"system: process, app: hello, platform: process, probes: none, samples: 3")).run().want(0)
	f := c.file()
	met, missed, fixed := f.Cells[0], f.Cells[1], f.Cells[2]
	if s := met.Stopped; s == nil || !s.Converged || s.Samples != len(met.Samples) || s.Samples < 6 || s.Samples >= 60 || s.Percent == nil || *s.Percent > 100 || s.Figure != "total_ns" {
		t.Errorf("easily met: %d samples, %+v", len(met.Samples), s)
	}
	if s := missed.Stopped; s == nil || s.Converged || s.Samples != 7 || len(missed.Samples) != 7 || !regexp.MustCompile(`^bound of 7 samples reached(, \d of them disturbed)?: total_ns within ±`).MatchString(s.Reason) {
		t.Errorf("not to be met: %d samples, %+v", len(missed.Samples), s)
	}
	if fixed.Stopped != nil || len(fixed.Samples) != 3 {
		t.Errorf("without a rule: %d samples, %+v", len(fixed.Samples), fixed.Stopped)
	}
	if l := met.Limit; l == nil || l.Samples != 4 || l.NS < min(15e9, 5*l.SlowestNS+1e9) || l.NS > 15e9 {
		t.Errorf("the learnt limit: %+v", l)
	}
	if missed.Limit != nil {
		t.Errorf("a fixed limit was learnt: %+v", missed.Limit)
	}
	for _, text := range []string{c.stdout.String(), c.stderr.String()} {
		for _, want := range []string{"converged after", "bound of 7 samples reached"} {
			if !strings.Contains(oneLine(text), want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
}

// --set gives every cell a setting by its key, and is on record.
func TestSet(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	c := newRun(t, "--matrix", matrix(t,
		"system: process, app: hello, platform: process, samples: 9, interference: {at_most_percent: 7}",
		"system: process, app: sqlite, platform: process"),
		"--set", "samples=2", "--set", "interference.repeat=1", "--set", "until.at_most=6", "--set", "until.within_percent=1", "--set", "timeout=19s").run().want(0)
	f := c.file()
	for i, atMost := range []int{7, 1} {
		want := &results.Settings{Samples: 2, TimeoutNs: (19 * time.Second).Nanoseconds(), Interference: &results.InterferenceLimit{AtMostPercent: atMost, Repeat: 1},
			Until: &results.Until{WithinPercent: 1, AtMost: 6}}
		s := f.Cells[i].Settings
		got := &results.Settings{Samples: s.Samples, TimeoutNs: s.TimeoutNs, Interference: s.Interference, Until: s.Until}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("cell %d (-want +got):\n%s", i, diff)
		}
	}
	if diff := cmp.Diff([]string{"samples=2", "interference.repeat=1", "until.at_most=6", "until.within_percent=1", "timeout=19s"}, f.Run.Asked.Set); diff != "" {
		t.Errorf("on record (-want +got):\n%s", diff)
	}
}

// A cell for which nobody has an image is no failure: the others run, and the table has
// the word.
func TestImageNotGiven(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	c := newRun(t, "--matrix", matrix(t, "system: unikraft, app: nginx, platform: qemu1nic", "system: process, app: hello, platform: process")).run().want(0)
	f := c.file()
	if cell := f.Cells[0]; cell.Status != results.CellNoImage || !strings.Contains(cell.Reason, "add an entry to a catalogue") || len(cell.Samples) > 0 {
		t.Errorf("%s: %s", cell.Status, cell.Reason)
	}
	checkOK(t, f, f.Cells[1].Samples[0])
	if text := oneLine(c.stdout.String()); !strings.Contains(text, " 0/0 image not given") || !strings.Contains(text, "image not given: of unikraft nginx") {
		t.Errorf("the table:\n%s", c.stdout.String())
	}
	c.says("1 of 2 cells have no image")
}

// The plan of the whole evaluation names every cell, and says what has no image.
func TestPlanOfFull(t *testing.T) {
	notOnTheKernel(t)
	c := newCall(t, "run", "--matrix", "full", "--dry-run", "--json").run()
	var plan struct {
		Cells []struct{ Cell, Status string }
	}
	if err := json.Unmarshal([]byte(c.stdout.String()), &plan); err != nil {
		t.Fatalf("%v\n%s", err, c.output())
	}
	status := map[string]string{}
	for _, cell := range plan.Cells {
		status[cell.Cell] = cell.Status
	}
	for cell, want := range map[string]string{
		"process/nginx/process/boot": "", "process/redis/process/throughput": "", "unikraft/nginx/qemu1nic/boot": results.CellNoImage,
		"mirageos/nginx/qemu/boot": results.CellUnsupported, "osv/redis/qemu1nic/memory-min": results.CellNoImage,
	} {
		got, there := status[cell]
		if cell == "process/redis/process/throughput" && got == results.CellFailed {
			continue // no redis-benchmark here
		}
		if got != want || !there {
			t.Errorf("%s: %q, there %v; want %q", cell, got, there, want)
		}
	}
}
