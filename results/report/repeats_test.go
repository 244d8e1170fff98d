// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// repeatedCell has six samples, of which two were disturbed: one was ready at the third
// try, the other was late both times.
func repeatedCell() results.Cell {
	c := results.Cell{System: "linux", App: "nginx", Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellOK,
		Settings: &results.Settings{Samples: 6, TimeoutNs: 1e9}}
	late := func(of int) results.Sample {
		return results.Sample{Status: results.SampleTimeout, Disturbed: true, RepeatOf: of}
	}
	disturbed := func(guest int64, of int) results.Sample {
		s := boot(1000, 1000, guest)
		s.Disturbed, s.RepeatOf = true, of
		return s
	}
	c.Samples = []results.Sample{disturbed(1, 0), late(1), boot(1000, 1000, 9000), boot(1000, 1000, 4000), boot(1000, 1000, 5000),
		late(0), late(6), boot(1000, 1000, 6000), boot(1000, 1000, 7000)}
	c.Samples[2].RepeatOf = 1
	c.Summary = c.Summarize()
	return c
}

// TestRepeatsAreNoSamples: the table counts what its figures are of.
func TestRepeatsAreNoSamples(t *testing.T) {
	var b strings.Builder
	if err := Table(&b, &results.File{Cells: []results.Cell{repeatedCell()}}, Options{Width: 1000}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" 5/6 ", "1 of 6 timed out after 1s: ", "; 6 samples, 1 of them still disturbed after 3 repeats\n", " disturbed ", " 1/6 "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	b.Reset()
	c := repeatedCell()
	c.Settings.Samples = 8
	if err := Table(&b, &results.File{Run: results.Run{Status: results.RunInterrupted}, Cells: []results.Cell{c}}, Options{Width: 1000}); err != nil {
		t.Fatal(err)
	}
	if want := "interrupted: 6 of 8 samples were taken\n"; !strings.Contains(b.String(), want) {
		t.Errorf("no %q in\n%s", want, b.String())
	}
}

// TestDisturbedIsNotShown: the sample nearest the median is of those that the median is
// of, and so are the claims.
func TestDisturbedIsNotShown(t *testing.T) {
	c := repeatedCell() // ok, and counted: guest 9, 4, 5, 6 and 7 ms; one late
	if at, median := pickSample(&c); at != 7 || !median {
		t.Errorf("sample %d is drawn (median %v), want the one of 6 ms, number 7", at, median)
	}
	for i := range c.Samples {
		c.Samples[i].Claims = []results.Claim{{Name: "ready", Status: results.ClaimAgrees, OffNS: ns(int64(i)), ErrNS: ns(1)}}
	}
	groups, boot := claimGroups(&c)
	if len(groups) != 1 || len(groups[0].claims) != 5 || groups[0].byBoot[0] != nil || boot == 0 {
		t.Errorf("%d claims, boot %d: %+v", len(groups[0].claims), boot, groups)
	}
}

// TestPartsAreOfBoots: an experiment that does not show a boot's phases does not show
// what they consist of.
func TestPartsAreOfBoots(t *testing.T) {
	for experiment, want := range map[string]bool{"boot": true, "timing-validation": true, "memory-use": false, "fs": false} {
		c := results.Cell{System: "linux", App: "nginx", Platform: "qemu", Experiment: experiment, Accel: "kvm", Status: results.CellOK,
			Samples: []results.Sample{bootKernel(41_000, 9_000, 1_200, 300, 7_000, 150_000)}}
		c.Summary = c.Summarize()
		var b strings.Builder
		if err := Table(&b, &results.File{Cells: []results.Cell{c}}, Options{}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), "of which"); got != want {
			t.Errorf("%s: parts %v, want %v\n%s", experiment, got, want, b.String())
		}
	}
}

// TestDisturbedInTheTable: that figures are disturbed stands beside them, and what every
// sample has because of this machine is no sample's own taint.
func TestDisturbedInTheTable(t *testing.T) {
	const plan, by = "vcpu on cpu 1, which is not isolated", "foreign task cc1 ran 34ms (3.4 %) on cpu 1"
	c := results.Cell{System: "linux", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellOK,
		Settings: &results.Settings{Samples: 3, Interference: &results.InterferenceLimit{AtMostPercent: 1, Repeat: 2}}}
	for n := range 9 {
		s := boot(1000, 1000, 4000)
		s.Disturbed, s.Taints = true, []string{plan, by}
		if n%3 > 0 {
			s.RepeatOf = n - n%3 + 1
		}
		c.Samples = append(c.Samples, s)
	}
	table := func(c results.Cell) string {
		t.Helper()
		c.Summary = c.Summarize()
		var b strings.Builder
		if err := Table(&b, &results.File{Cells: []results.Cell{c}}, Options{Width: 1000}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	check := func(got string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	}
	check(table(c), " disturbed taints\n", "3/3      3\n", "3 samples, all still disturbed after 6 repeats", "not isolated (3)", "foreign task cc1 on cpu 1 (3)")
	for n := range c.Samples {
		if n != 2 {
			c.Samples[n].Disturbed, c.Samples[n].Taints = n%3 < 2, []string{plan}
		}
	}
	check(table(c), "1/3      1\n", "3 samples, 1 of them still disturbed after 6 repeats")
	c.Samples = c.Samples[3:4]
	c.Samples[0].RepeatOf, c.Samples[0].Disturbed = 0, false
	check(table(c), "0/1      0\n", "not isolated (1)")
}
