// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ukprobe/ukprobe/internal/plainjson"
)

// Two states of one run: a run that was left can be copied, and gone on with in either
// place. One that only goes further than the other takes its place; what has parted stays
// apart.

// later says whether b is the run of a at the same or a later time, with all that a has:
// more is whether it has anything else. If b is not, why says what of a it lacks.
func later(a, b rawRun) (more bool, why string) {
	if why := otherRun(a.file, b.file); why != "" {
		return false, why
	}
	pa, pb := partsOf(a.file), partsOf(b.file)
	for i, p := range pa {
		switch {
		case i >= len(pb):
			return false, fmt.Sprintf("it lacks the part that was resumed at %s", p.Started.Format(timeOfPart))
		case !p.Started.Equal(pb[i].Started) || p.From != pb[i].From:
			return false, fmt.Sprintf("its part %d was resumed at %s after %d samples, not at %s after %d", i+1,
				pb[i].Started.Format(timeOfPart), pb[i].From, p.Started.Format(timeOfPart), p.From)
		}
	}
	for i := range a.samples {
		for n, sample := range a.samples[i] {
			switch {
			case n >= len(b.samples[i]):
				return false, fmt.Sprintf("it lacks sample %d of %s", n+1, a.file.Cells[i].Name())
			case !sameSample(sample, b.samples[i][n]):
				return false, fmt.Sprintf("sample %d of %s is another one", n+1, a.file.Cells[i].Name())
			}
		}
		more = more || len(b.samples[i]) > len(a.samples[i])
	}
	more = more || len(pb) > len(pa)
	ended := a.file.Run.Status != RunRunning
	switch {
	case more || a.file.Run.Status == b.file.Run.Status:
		return more, ""
	case ended:
		return false, fmt.Sprintf("it is %s with the same samples, not %s", b.file.Run.Status, a.file.Run.Status)
	}
	return true, "" // its end is known
}

// sameSample compares two samples as they are written. `ukprobe export` to standard output
// escapes what a terminal would act on: with or without that it is one sample.
func sameSample(a, b []byte) bool {
	return bytes.Equal(a, b) || bytes.Equal(plainjson.Escape(a), plainjson.Escape(b))
}

const timeOfPart = "2006-01-02 15:04:05 MST"

// otherRun says why two runs of one id are not the same one, "" if they are.
func otherRun(a, b *File) string {
	switch {
	case !a.Run.Started.Equal(b.Run.Started):
		return fmt.Sprintf("it began at %s, not at %s", b.Run.Started.Format(timeOfPart), a.Run.Started.Format(timeOfPart))
	case a.Run.Seed != b.Run.Seed:
		return fmt.Sprintf("its seed is %d, not %d", b.Run.Seed, a.Run.Seed)
	case len(a.Cells) != len(b.Cells):
		return fmt.Sprintf("it has %d cells, not %d", len(b.Cells), len(a.Cells))
	}
	for i := range a.Cells {
		if a, b := &a.Cells[i], &b.Cells[i]; a.System != b.System || a.App != b.App || a.Platform != b.Platform || a.Experiment != b.Experiment || a.Variant() != b.Variant() {
			return fmt.Sprintf("its cell %d is %s, not %s", i+1, b.Name(), a.Name())
		}
	}
	return ""
}

// partsOf are a run's parts, also of one in one go.
func partsOf(f *File) []Part {
	if len(f.Run.Parts) == 0 {
		return []Part{{Started: f.Run.Started}}
	}
	return f.Run.Parts
}

// meet holds a run against the one of its id that the store has. What only goes further is
// added to it, byte for byte; what the store has more of stays.
func meet(tx *sql.Tx, number int64, r rawRun, got *Imported) error {
	there, ids, err := readRun(tx, number)
	if err != nil {
		return err
	}
	got.There = countsOf(there.file).Samples
	more, why := later(there, r)
	switch {
	case why == "" && more:
		got.Updated = true
		return extend(tx, number, ids, there, r)
	case why == "":
		got.Already = true
		return nil
	}
	if _, whyNot := later(r, there); whyNot == "" {
		got.Already = true
		return nil
	}
	return fmt.Errorf("another state of run %s is there already, and neither goes on from the other (%s): import this one into a folder of its own, then both are kept (`ukprobe import --into NEW …`)", r.file.Run.ID, why)
}

// extend adds to a run of the store what it is short of.
func extend(tx *sql.Tx, number int64, ids []int64, there, r rawRun) error {
	f := r.file
	if err := errors.Join(updateRun(tx, number, f), unsettle(tx, number)); err != nil {
		return err
	}
	for i := range f.Cells {
		c := &f.Cells[i]
		if err := errors.Join(updateCell(tx, ids[i], c), saveHistograms(tx, ids[i], c.Histograms)); err != nil {
			return err
		}
		for n := len(there.samples[i]); n < len(c.Samples); n++ {
			if err := insertSample(tx, ids[i], n, &c.Samples[n], r.samples[i][n]); err != nil {
				return err
			}
		}
	}
	return settle(tx, number, ids, f)
}
