// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestColumns: the same from a store, from one whose run has not ended, and from the
// run.json alone.
func TestColumns(t *testing.T) {
	dir := t.TempDir()
	cells := testCells()
	cells[0].Image = &Image{Path: "/img", SHA256: strings.Repeat("ab", 32)}
	s, err := Create(dir, testRun(), testHost(), cells)
	must(t, err)
	disturbed, again := okSample(10), okSample(20)
	disturbed.Disturbed, again.RepeatOf = true, 2
	again.Values = map[string]float64{"odd": 0.1}
	for _, sample := range []Sample{okSample(4), disturbed, again, {Started: started, Status: SampleTimeout, Reason: "why"}, okSample(8)} {
		must(t, s.AddSample(0, sample))
	}
	_, running, err := Columns(dir)
	must(t, err)
	must(t, s.Finish(RunOK))
	head, stored, err := Columns(dir)
	must(t, err)
	_, file, err := Columns(filepath.Join(dir, FileName))
	must(t, err)
	want := CellValues{
		Cell:   stored[0].Cell,
		Counts: Counts{Samples: 5, Taken: 4, OK: 3, TimedOut: 1, Tainted: 3},
		Rungs:  map[string][]string{EventVMMExec: {"tracepoint"}, EventConsoleReady: {"tp_btf"}},
		Values: map[string][]float64{"total_ns": {4, 20, 8}, "vmm_ns": {2, 10, 4}, "guest_ns": {1, 5, 2}, "exits": {17.5, 17.5}, "odd": {0.1}},
	}
	if d := cmp.Diff(want, stored[0]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	c := stored[0].Cell
	if c.System != "reference" || c.Image == nil || c.Samples != nil || c.Summary["total_ns"].N != 4 || head.Run.ID != "r1" || head.Host.Kernel != "6.12.0" {
		t.Errorf("%+v of %+v", c, head)
	}
	for from, got := range map[string][]CellValues{"running": running, "file": file, "FromFile": FromFile(mustLoad(t, dir))} {
		if d := cmp.Diff(stored, got); d != "" {
			t.Errorf("%s (-stored +got):\n%s", from, d)
		}
	}
}

func TestEncodeValues(t *testing.T) {
	v := CellValues{Counts: Counts{Samples: 3}, Cell: Cell{Summary: map[string]Summary{
		"a": {N: 4, Median: 1, Min: -1, Max: 1e300, Note: "too few"}, "b": {N: 1 << 40, CI95: &[2]float64{-1, 2}, Beyond: 3}}}, Values: map[string][]float64{
		"a": {1, -1, 1e300, math.SmallestNonzeroFloat64}, "none": {}, "c": {123456789}}}
	data, err := encodeValues(&v)
	must(t, err)
	var got CellValues
	must(t, decodeValues(data, &got))
	if d := cmp.Diff(v, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	whole, err := unpack(data)
	must(t, err)
	for i := range whole { // cut short it is an error and nothing worse
		cut, err := pack(whole[:i])
		must(t, err)
		if err := decodeValues(cut, new(CellValues)); !errors.Is(err, errValues) {
			t.Fatalf("%d of %d bytes: %v", i, len(whole), err)
		}
	}
	data[len(data)/2] ^= 1
	if decodeValues(data, new(CellValues)) == nil {
		t.Error("a changed bit is not noticed")
	}
}

// FuzzDecodeValues: whatever is in the store, it is values or an error.
func FuzzDecodeValues(f *testing.F) {
	f.Add([]byte{2, '{', '}'})
	f.Add([]byte(string(rune(31)) + `{"metrics":["a"],"lengths":[1]}` + "12345678"))
	f.Add([]byte(string(rune(19)) + `{"summaries":["a"]}` + "12345678"))
	f.Fuzz(func(t *testing.T, data []byte) {
		packed, err := pack(data)
		if err != nil {
			t.Skip(err)
		}
		var v CellValues
		if decodeValues(packed, &v) == nil {
			for name, values := range v.Values {
				if len(values) > len(data)/8 {
					t.Errorf("%s has %d values, of %d bytes", name, len(values), len(data))
				}
			}
		}
		_ = decodeValues(data, &v)
	})
}

// TestViews: what docs/results.md shows works with Debian's sqlite3.
func TestViews(t *testing.T) {
	if _, err := exec.LookPath("sqlite3"); err != nil {
		t.Skip("needs Debian's package sqlite3")
	}
	dir := t.TempDir()
	s, err := Create(dir, testRun(), testHost(), []Cell{
		{System: "linux", App: "nginx", Platform: "qemumicrovm", Experiment: "boot", Accel: "kvm", Probes: ProbesBoot},
		{System: "linux", App: "nginx", Platform: "qemumicrovm", Experiment: "boot", Accel: "kvm", Probes: ProbesFull},
		{System: "linux", App: "nginx", Platform: "qemumicrovm", Experiment: "boot", Accel: "kvm", Probes: ProbesBoot, Settings: &Settings{Parallel: 8}},
		{System: "linux", App: "nginx", Platform: "qemumicrovm", Experiment: "boot", Accel: "tcg", Probes: ProbesBoot},
	})
	must(t, err)
	defer s.Close()
	for cell := range 3 {
		for i := range 7 {
			must(t, s.AddSample(cell, okSample(int64(cell+i+1)*1e6)))
		}
	}
	must(t, s.Finish(RunOK))
	ask := func(query string) string {
		t.Helper()
		cmd := exec.Command("sqlite3", "-readonly", filepath.Join(dir, DatabaseName))
		cmd.Stdin = strings.NewReader(query)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		must(t, err)
		return strings.TrimSpace(string(out))
	}
	for query, want := range map[string]string{
		"SELECT id, started_utc, status, cells, ok, other, samples FROM runs":                           "r1|2025-11-23 04:45:00|ok|4|3|1|21",
		"SELECT system, app, accel, probes, variant, status, samples FROM cells WHERE n > 1 ORDER BY n": "linux|nginx|kvm|boot|parallel=8|ok|7\nlinux|nginx|tcg|boot||skipped|0",
		"SELECT sample, status, total_ms, vmm_ms FROM samples WHERE probes = 'full' LIMIT 2":            "1|ok|2.0|1.0\n2|ok|3.0|1.5",
		"SELECT n, median, low, high FROM summaries WHERE metric = 'total_ns' AND probes = 'full'":      "7|5000000.0|2000000.0|8000000.0",
		"PRAGMA integrity_check": "ok",
	} {
		if got := ask(query); got != want {
			t.Errorf("%s\n%s\nwant\n%s", query, got, want)
		}
	}
	// What the page shows, as it is.
	page, err := os.ReadFile("../docs/results.md")
	must(t, err)
	_, text, _ := strings.Cut(string(page), "```sql\n")
	text, _, _ = strings.Cut(text, "```")
	shown := strings.SplitAfter(strings.TrimSpace(text), ";")
	want := []string{"2025-11-23 04:45:00|4.0|1.0|7.0", "r1|6.12.0"}
	if len(shown) != len(want)+1 {
		t.Fatalf("%d queries in docs/results.md", len(shown)-1)
	}
	for i := range want {
		if got := ask(shown[i]); got != want[i] {
			t.Errorf("%s\n%s\nwant\n%s", shown[i], got, want[i])
		}
	}
	for _, view := range []string{"runs", "cells", "samples", "summaries"} {
		if !strings.Contains(string(page), "| `"+view+"` |") || ask("SELECT count(*) FROM "+view) == "0" {
			t.Errorf("view %s is not on the page, or empty", view)
		}
	}
	if line := `sqlite3 -readonly -box nightly/ukprobe.db "SELECT * FROM runs"`; !strings.Contains(string(page), line) {
		t.Errorf("the page has no %s", line)
	}
}

// TestViewsMadeAnew: a store with the views of another ukprobe gets these once it is
// written to, and can be read before.
func TestViewsMadeAnew(t *testing.T) {
	dir := leftRun(t, false, func(s *Store) error { return s.Finish(RunOK) })
	path := filepath.Join(dir, DatabaseName)
	inDatabase(t, path, "DROP VIEW samples; CREATE VIEW samples AS SELECT id FROM sample; DROP VIEW summaries")
	mustLoad(t, dir)
	must(t, addRun(t, dir, "r2").Finish(RunOK))
	d, err := Open(dir)
	must(t, err)
	defer d.Close()
	for _, view := range []string{"samples", "summaries"} {
		var n int
		must(t, d.db.QueryRow("SELECT count(probes) FROM "+view).Scan(&n))
		if n == 0 {
			t.Errorf("%s is empty", view)
		}
	}
	var before, after int
	must(t, d.db.QueryRow("PRAGMA schema_version").Scan(&before))
	must(t, addRun(t, dir, "r3").Finish(RunOK))
	must(t, d.db.QueryRow("PRAGMA schema_version").Scan(&after))
	if before != after {
		t.Error("views that are right were made anew")
	}
}
