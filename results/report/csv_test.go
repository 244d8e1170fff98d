// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/csv"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/results"
)

// TestCSVCounts: the rows with counts and ok are the samples that the summary is of.
func TestCSVCounts(t *testing.T) {
	boots := func(ns int64, of int) results.Sample {
		return results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: &ns}, RepeatOf: of}
	}
	guests := boots(30, 0)
	guests.Guests = []results.Sample{boots(20, 0), boots(30, 0)}
	c := results.Cell{System: "linux", App: "hello", Platform: "qemu", Experiment: "boot", Status: results.CellOK,
		Samples: []results.Sample{boots(100, 0), guests, boots(10, 1), {Status: results.SampleFailed, RepeatOf: 1}, boots(50, 0), {Status: results.SampleFailed}}}
	c.Summary = c.Summarize()
	var b bytes.Buffer
	if err := NewDocument(Source{"x", &results.File{Cells: []results.Cell{c}}}).CSV(&b, false); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := func(r []string, name string) string { return r[slices.Index(rows[0], name)] }
	var values []float64
	var repeats []string
	for _, r := range rows[1:] {
		repeats = append(repeats, at(r, "repeat_of"))
		if at(r, "counts") == "true" && at(r, "status") == results.SampleOK && at(r, "metric") == totalNs {
			v, err := strconv.ParseFloat(at(r, "value"), 64)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
	}
	if got, _ := results.Summarize(values); got.N != 3 || got.Median != c.Summary[totalNs].Median || got.Max != c.Summary[totalNs].Max {
		t.Errorf("%v: %+v, the table says %+v", values, got, c.Summary[totalNs])
	}
	if want := []string{"", "", "", "", "1", "1", "", ""}; !slices.Equal(repeats, want) {
		t.Errorf("repeat_of: %q, want %q", repeats, want)
	}
}

// TestCSVFieldIsNoFormula in any width.
func TestCSVFieldIsNoFormula(t *testing.T) {
	for s, want := range map[string]string{"=1+1": "'=1+1", "＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠a": "'＠a", "\u202e＝1": "'＝1", "日本": "日本", "": "", "1=1": "1=1"} {
		if got := CSVField(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

// TestTSV: the same fields as in CSV, none of which takes part in telling fields apart.
func TestTSV(t *testing.T) {
	doc := NewDocument(Source{"x", everything()})
	var quoted, plain bytes.Buffer
	if err := doc.CSV(&quoted, true); err != nil {
		t.Fatal(err)
	}
	if err := doc.TSV(&plain, true); err != nil {
		t.Fatal(err)
	}
	want, err := csv.NewReader(&quoted).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for line := range strings.Lines(plain.String()) {
		got = append(got, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-csv +tsv:\n%.2000s", diff)
	}
	failed := errors.New("full")
	if err := doc.TSV(writerFunc(func([]byte) (int, error) { return 0, failed }), false); !errors.Is(err, failed) {
		t.Errorf("%v, want %v", err, failed)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
