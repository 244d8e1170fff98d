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
	s := mustCreate(t, dir)
	must(t, s.SetCellImage(0, Image{Path: "/img", SHA256: strings.Repeat("ab", 32)}))
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
	s := mustCreate(t, dir)
	for i := range 7 {
		must(t, s.AddSample(0, okSample(int64(i+1)*1e6)))
	}
	must(t, s.Finish(RunOK))
	ask := func(query string) string {
		t.Helper()
		cmd := exec.Command("sqlite3", "-readonly", filepath.Join(dir, DatabaseName), query)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		must(t, err)
		return strings.TrimSpace(string(out))
	}
	for query, want := range map[string]string{
		"SELECT id, started_utc, status, cells, ok, other, samples FROM runs":                     "r1|2025-11-23 04:45:00|ok|2|1|1|7",
		"SELECT system, app, status, samples FROM cells WHERE run = 'r1' ORDER BY n":              "reference|hello|ok|7\nlinux|nginx|skipped|0",
		"SELECT sample, status, total_ms, vmm_ms FROM samples WHERE system = 'reference' LIMIT 2": "1|ok|1.0|0.5\n2|ok|2.0|1.0",
		"SELECT n, median, low, high FROM summaries WHERE metric = 'total_ns'":                    "7|4000000.0|1000000.0|7000000.0",
		"SELECT json_extract(host, '$.kernel') FROM run_text":                                     "6.12.0",
		"PRAGMA integrity_check": "ok",
	} {
		if got := ask(query); got != want {
			t.Errorf("%s\n%s\nwant\n%s", query, got, want)
		}
	}
}
