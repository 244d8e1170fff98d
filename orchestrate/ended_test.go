// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/results"
)

// storeThen looks, when a sample is told as finished, how many can be read.
type storeThen struct {
	Quiet
	t      *testing.T
	dir    string
	stored []int
}

func (s *storeThen) End(Progress, results.Sample) {
	f, err := results.Load(s.dir)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.stored = append(s.stored, len(f.Cells[0].Samples))
}

// TestStoredThenTold: a sample is told as finished once it is stored, and never if it
// cannot be.
func TestStoredThenTold(t *testing.T) {
	dir := t.TempDir()
	store, err := results.Create(dir, results.Run{ID: "r", Started: started}, results.Host{}, []results.Cell{{Experiment: matrix.Boot}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	seen := &storeThen{t: t, dir: dir}
	c := &cell{Cell: matrix.Cell{Settings: matrix.DefaultSettings()}}
	r := &Run{opt: Options{Observer: seen}, metrics: newMetrics(), store: store, cells: []*cell{c}}
	end := func(warmup bool) error {
		s := experiment.Sample{Status: experiment.OK, Argv: []string{"true"}}
		return r.ended(Progress{}, matrix.Step{Warmup: warmup}, c, s, record(s))
	}
	for _, warmup := range []bool{true, false, false} {
		if err := end(warmup); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int{0, 1, 2}; !slices.Equal(seen.stored, want) || c.stored != 2 {
		t.Errorf("when samples were told there were %v, want %v; the cell counts %d", seen.stored, want, c.stored)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := end(false); err == nil || len(seen.stored) != 3 || c.stored != 2 {
		t.Errorf("a sample that could not be stored: %v; told %v, the cell counts %d", err, seen.stored, c.stored)
	}
}

func TestToldOnce(t *testing.T) {
	full := func(what string) error { return fmt.Errorf("%s: %w", what, syscall.ENOSPC) }
	other := errors.New("broken")
	for name, tt := range map[string]struct {
		before, host, end error
		want              string
	}{
		"nothing":              {nil, nil, nil, ""},
		"both":                 {nil, full("host"), full("end"), "end: no space left on device"},
		"before":               {full("sample"), full("host"), full("end"), ""},
		"only the host":        {nil, full("host"), nil, "host: no space left on device"},
		"another one, and all": {full("sample"), other, full("end"), "broken"},
		"another one before":   {other, full("host"), other, "host: no space left on device\nbroken"},
	} {
		got := ""
		if err := toldOnce(tt.before, tt.host, tt.end); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
