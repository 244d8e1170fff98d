// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// boundedDensity is a cell of density of which the given samples stopped at the bound; the
// others found how many fit.
func boundedDensity(found ...float64) results.Cell {
	c := results.Cell{System: "docker", App: "redis", Platform: "docker", Experiment: "density", Accel: "none", Status: results.CellOK}
	for _, n := range found {
		s := results.Sample{Status: results.SampleOK, Values: map[string]float64{"instances": n, "memory_per_instance_bytes": 3 << 20}}
		if n == 200 {
			delete(s.Values, "instances")
			s.Values["instances_at_least"] = n
			s.Missing = []results.Missing{{Name: "instances", Reason: "200 run and answer, which is density.at_most and so no result"}}
		}
		c.Samples = append(c.Samples, s)
	}
	c.Summary = c.Summarize()
	return c
}

// TestBounds: what is known only to be at least so much is shown as that, with the reason,
// and in the machine form apart from figures.
func TestBounds(t *testing.T) {
	for _, tt := range []struct {
		name        string
		cell        results.Cell
		entry, note string
		atLeast     float64
	}{
		{"at the bound", boundedDensity(200), "≥ 200", "200 run and answer, which is density.at_most and so no result", 200},
		{"some of the samples", boundedDensity(180, 200, 200), "180", "of 1 of 3 samples; of the others it is at least 200: 200 run and answer", 0},
		{"none", boundedDensity(12, 13, 14), "13", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &results.File{Cells: []results.Cell{tt.cell}}
			d := NewDocument(Source{"x", f})
			var term, md, table, machine bytes.Buffer
			for _, err := range []error{d.Term(&term, Options{Width: 300}), d.Markdown(&md), Table(&table, f, Options{Width: 300}), d.JSON(&machine)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for format, text := range map[string]string{"term": term.String(), "md": strings.ReplaceAll(md.String(), `\_`, "_"), "run's table": table.String()} {
				if !strings.Contains(text, " "+tt.entry) || !strings.Contains(text, tt.note) {
					t.Errorf("%s: no %q or no %q:\n%s", format, tt.entry, tt.note, text)
				}
			}
			var out struct {
				Tables []struct {
					ID   string
					Rows []struct {
						Entries []struct {
							Status  string
							AtLeast *results.Summary `json:"at_least"`
						}
					}
				}
			}
			if err := json.Unmarshal(machine.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
			got := 0.0
			for _, table := range out.Tables {
				for _, r := range table.Rows {
					for _, e := range r.Entries {
						if e.AtLeast != nil && e.Status == EntryMissing {
							got = e.AtLeast.Median
						}
					}
				}
			}
			if got != tt.atLeast {
				t.Errorf("json: at least %v, want %v", got, tt.atLeast)
			}
		})
	}
	ascii := Options{ASCII: true}
	if got := ascii.figure(&[]results.Cell{boundedDensity(200)}[0], "instances"); got != ">= 200" {
		t.Errorf("in ASCII: %s", got)
	}
}

// TestEntropyOfWhat: a table of aslr says which address its figures are of, and over how
// many boots.
func TestEntropyOfWhat(t *testing.T) {
	cell := func(addresses ...string) results.Cell {
		c := results.Cell{System: "process", App: "nginx", Platform: "process", Experiment: aslr, Accel: "none", Status: results.CellOK}
		for _, a := range addresses {
			c.Samples = append(c.Samples, results.Sample{Status: results.SampleOK, Addresses: map[string][]string{"program": {a}}})
		}
		c.Summary = c.Summarize()
		return c
	}
	f := &results.File{Cells: []results.Cell{cell("0x400000", "0x400000", "0x400000"), cell("0x55d000001000", "0x55d000002000", "0x55d000005000", "0x55d000004000")}}
	var md, table bytes.Buffer
	if err := NewDocument(Source{"x", f}).Markdown(&md); err != nil {
		t.Fatal(err)
	}
	if err := Table(&table, f, Options{Width: 300}); err != nil {
		t.Fatal(err)
	}
	for format, text := range map[string]string{"md": md.String(), "run's table": table.String()} {
		for _, want := range []string{"entropy of the address", "the address is that of the program, in the lower half of the address space, over 3 boots", "over 4 boots", "≥ 2", "too few boots for an estimate", "0 bit"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q:\n%s", format, want, text)
			}
		}
	}
	if want := "others come in less than"; !strings.Contains(md.String(), want) {
		t.Errorf("no %q:\n%s", want, md.String())
	}
}

// TestOneHeading: no two tables of a run have the same heading.
func TestOneHeading(t *testing.T) {
	cell := func(experiment, accel, probes, status string, samples int) results.Cell {
		c := results.Cell{System: "linux", App: "hello", Platform: "qemu", Experiment: experiment, Accel: accel, Probes: probes, Status: status, Reason: "so"}
		for range samples {
			c.Samples = append(c.Samples, boot(1, 1, 1))
		}
		return c
	}
	f := &results.File{}
	for _, e := range []string{"boot", "aslr", "image-size"} {
		for _, probes := range []string{"", results.ProbesBoot} {
			f.Cells = append(f.Cells, cell(e, "none", probes, results.CellOK, 1), cell(e, "", probes, results.CellUnsupported, 0), cell(e, "kvm", probes, results.CellOK, 1),
				cell(e, "", probes, results.CellOK, 1), cell(e, "tcg", probes, results.CellNoImage, 0))
		}
	}
	f.Cells = append(f.Cells, cell("boot", "", results.ProbesFull, results.CellFailed, 0))
	seen := map[string]bool{}
	for _, g := range groups(f.Cells) {
		h := Options{}.heading(g)
		if seen[h] {
			t.Errorf("%q is twice", h)
		}
		seen[h] = true
	}
	for _, want := range []string{"boot, not measured", "boot, no accelerator", "image-size"} {
		if !seen[want] {
			t.Errorf("no %q: %v", want, seen)
		}
	}
}
