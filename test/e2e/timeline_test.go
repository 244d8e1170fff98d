// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// at returns an event of a sample.
func at(s results.Sample, name string) (results.Event, bool) {
	i := slices.IndexFunc(s.Events, func(e results.Event) bool { return e.Name == name })
	if i < 0 {
		return results.Event{}, false
	}
	return s.Events[i], true
}

// checkOK checks what holds for every good sample, whatever was booted: sound
// events, every expected event there or accounted for, phases that add up,
// nothing lost.
func checkOK(t *testing.T, f *results.File, s results.Sample) {
	t.Helper()
	if s.Status != results.SampleOK {
		t.Fatalf("sample is %s: %s\n%s", s.Status, s.Reason, s.Stderr)
	}
	for _, taint := range s.Taints {
		if strings.HasPrefix(taint, "timeline:") || strings.HasPrefix(taint, "lost") {
			t.Errorf("taint: %s", taint)
		}
	}
	if len(s.Lost) > 0 {
		t.Errorf("lost: %v", s.Lost)
	}
	if !slices.IsSortedFunc(s.Events, func(a, b results.Event) int { return cmp.Compare(a.NS, b.NS) }) {
		t.Errorf("the events are not in the order of their times: %+v", s.Events)
	}
	checkAccounted(t, s)
	checkRungs(t, f, s)
	checkPhases(t, s)
}

// checkAccounted: an expected event is either there or missing with a reason.
func checkAccounted(t *testing.T, s results.Sample) {
	t.Helper()
	for _, name := range results.EventOrder {
		_, there := at(s, name)
		i := slices.IndexFunc(s.Missing, func(m results.Missing) bool { return m.Name == name })
		switch {
		case !there && i < 0 && slices.Contains(results.EventOfSome, name): // this guest has none
		case there && i >= 0:
			t.Errorf("%s is there and said to be missing (%s)", name, s.Missing[i].Reason)
		case !there && i < 0:
			t.Errorf("%s is neither there nor accounted for", name)
		case !there && s.Missing[i].Reason == "":
			t.Errorf("%s is missing without a reason", name)
		}
	}
}

// checkRungs: every event came from a rung, and from the one that its hook has.
func checkRungs(t *testing.T, f *results.File, s results.Sample) {
	t.Helper()
	for _, e := range s.Events {
		if r := f.Host.Rungs[e.Hook]; e.NS <= 0 || e.Rung == "" || r.Rung != e.Rung {
			t.Errorf("event %+v: its hook has the rung %q", e, r.Rung)
		}
	}
}

// checkPhases: VMM, firmware and guest are the total, to the nanosecond, where
// all three are there, and their parts are them; and no phase is without its total.
func checkPhases(t *testing.T, s results.Sample) {
	t.Helper()
	p := s.Phases
	if p.TotalNs == nil {
		t.Error("a good sample without a total time")
		return
	}
	checkSum(t, "total", p.TotalNs, p.VMMNs, p.FirmwareNs, p.GuestNs)
	checkSum(t, "firmware", p.FirmwareNs, p.BIOSNs, p.OptionROMNs)
	setup := p.SetupNs
	if setup == nil {
		setup = new(int64) // none, or not seen apart
	}
	if _, ok := at(s, results.EventDecompress); ok {
		checkSum(t, "guest", p.GuestNs, setup, p.DecompressNs, p.KernelNs)
	}
}

// checkSum: parts that are all there add up to the whole.
func checkSum(t *testing.T, name string, whole *int64, parts ...*int64) {
	t.Helper()
	var sum int64
	for _, p := range parts {
		if p == nil {
			return
		}
		sum += *p
	}
	if whole == nil || *whole != sum {
		t.Errorf("the parts of %s add up to %d ns: %v", name, sum, whole)
	}
}

// checkOrder checks that all these events are there, each not before the last.
func checkOrder(t *testing.T, s results.Sample, names ...string) {
	t.Helper()
	var last results.Event
	for _, name := range names {
		e, ok := at(s, name)
		if !ok {
			i := slices.IndexFunc(s.Missing, func(m results.Missing) bool { return m.Name == name })
			why := "no reason given"
			if i >= 0 {
				why = s.Missing[i].Reason
			}
			t.Errorf("no %s: %s", name, why)
			continue
		}
		if e.NS < last.NS {
			t.Errorf("%s is %d ns before %s", name, last.NS-e.NS, last.Name)
		}
		last = e
	}
}

// checkAbsent checks that an event is missing, with a reason that holds the words.
func checkAbsent(t *testing.T, s results.Sample, name, words string) {
	t.Helper()
	if e, ok := at(s, name); ok {
		t.Errorf("%+v: should not be there", e)
	}
	for _, m := range s.Missing {
		if m.Name == name && !strings.Contains(m.Reason, words) {
			t.Errorf("%s is missing because %q, want %q", name, m.Reason, words)
		}
	}
}
