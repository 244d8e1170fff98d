// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestCountsInTheFile: who reads run.json without this package can tell a disturbed sample
// from the one that was taken in its place; what was said before is not said twice.
func TestCountsInTheFile(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, dir)
	disturbed, again := okSample(3), okSample(4)
	disturbed.Disturbed, again.RepeatOf = true, 1
	must(t, s.AddSample(0, disturbed))
	read := func() (counts []bool) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, FileName))
		must(t, err)
		var f struct {
			Cells []struct{ Samples []struct{ Counts *bool } }
		}
		must(t, json.Unmarshal(data, &f))
		for _, sample := range f.Cells[0].Samples {
			if sample.Counts == nil {
				t.Fatal("a sample that does not say whether it counts")
			}
			counts = append(counts, *sample.Counts)
		}
		return counts
	}
	must(t, s.AddSample(0, again))
	must(t, s.AddSample(0, okSample(5)))
	must(t, s.Finish(RunOK))
	if got := read(); !slices.Equal(got, []bool{false, true, true}) {
		t.Errorf("counts: %v", got)
	}
	must(t, s.Close())
}

func TestWithoutCounts(t *testing.T) {
	for in, want := range map[string]string{`{"a":1,"counts":true}`: `{"a":1}`, `{"a":1,"counts":false}`: `{"a":1}`, `{"a":1}`: `{"a":1}`} {
		if got := string(withoutCounts(json.RawMessage(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := string(withCounts([]json.RawMessage{json.RawMessage(`{"a":1,"counts":false}`)}, []bool{true})[0]); got != `{"a":1,"counts":true}` {
		t.Errorf("%s", got)
	}
}
