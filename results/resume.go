// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Resume opens a run that was interrupted, killed or ended with an error, to add to it; a
// selector names it as for [Load]. It locks the directory; nothing is written before
// BeginPart. Samples stay as they are, byte for byte. Of a finished run the error is
// ErrFinished. A run from before there was a store is put into one, when a part begins.
func Resume(selector string) (*Store, error) {
	sel, err := ParseRunSelector(selector)
	if err != nil {
		return nil, err
	}
	dir := sel.Path
	path, hasStore := sel.databaseOf()
	if hasStore {
		dir = filepath.Dir(path)
	} else if _, err := os.Stat(filepath.Join(dir, FileName)); err != nil {
		return nil, noRun(dir, err)
	}
	s := &Store{dir: dir}
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if hasStore {
		if _, none := os.Stat(filepath.Join(dir, FileName)); none == nil {
			err = checkStore(dir, true)
		}
		if err == nil {
			err = s.openRun(sel)
		}
	} else {
		err = s.openOld(sel)
	}
	if err == nil && s.file.Run.Status == RunOK {
		err = fmt.Errorf("results: run %s in %s: %w", s.file.Run.ID, dir, ErrFinished)
	}
	if err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// ErrFinished says that a run has all its samples.
var ErrFinished = errors.New("the run is finished: there is nothing left to do")

// openRun reads what the store has.
func (s *Store) openRun(sel RunSelector) error {
	db, err := openStore(sel.Path, true)
	if err != nil {
		return err
	}
	defer db.Close()
	r, number, cells, err := db.read(sel.Run)
	if err != nil {
		return err
	}
	s.file, s.run, s.cells = *r.file, number, cells
	return nil
}

// openOld reads a run from before there was a store.
func (s *Store) openOld(sel RunSelector) error {
	r, err := loadChecked(sel)
	if err != nil {
		return err
	}
	s.file, s.adopt = *r.file, &r
	return nil
}

// compact puts each sample on one line: somebody may have formatted the file.
func compact(samples []json.RawMessage) ([]json.RawMessage, error) {
	for i, s := range samples {
		var b bytes.Buffer
		if err := json.Compact(&b, s); err != nil {
			return nil, err
		}
		samples[i] = b.Bytes()
	}
	return samples, nil
}

// BeginPart notes that the run goes on, and since when; From is filled in. Without it
// nothing may be added to a run that was opened by Resume.
func (s *Store) BeginPart(p Part) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return errClosed
	}
	p.Started, p.Argv, p.From = p.Started.UTC().Round(0), orEmpty(p.Argv), 0
	for i := range s.file.Cells {
		p.From += len(s.file.Cells[i].Samples)
	}
	before, opened := s.file.Run, s.db != nil
	run := &s.file.Run
	run.Parts = slices.Clone(run.Parts)
	if len(run.Parts) == 0 {
		run.Parts = []Part{{Started: run.Started, Argv: run.Argv}}
	}
	if last := &run.Parts[len(run.Parts)-1]; last.Finished == nil {
		last.Finished = s.file.ended()
	}
	run.Parts = append(run.Parts, p)
	run.Status, run.Finished = RunRunning, nil
	if err := s.beginPart(); err != nil {
		s.file.Run = before
		if !opened && s.db != nil { // nothing may be added
			_ = closeWriter(s.db)
			s.db = nil
		}
		return s.failed(fmt.Errorf("results: go on with the run: %w", s.intact(err)))
	}
	return nil
}

// ended is when the last part ended so far: with the run, or, of one that was killed, with
// its last sample. A sample's end is only known as far as the timeline goes.
func (f *File) ended() *time.Time {
	if f.Run.Finished != nil {
		return f.Run.Finished
	}
	end := f.Run.Started
	if n := len(f.Run.Parts); n > 0 {
		end = f.Run.Parts[n-1].Started
	}
	for i := range f.Cells {
		for _, s := range f.Cells[i].Samples {
			at := s.Started
			if s.Phases.TotalNs != nil {
				at = at.Add(time.Duration(*s.Phases.TotalNs))
			}
			if at.After(end) {
				end = at
			}
		}
	}
	return &end
}

func (s *Store) beginPart() error {
	if s.db == nil {
		if err := s.openDatabase(); err != nil {
			return err
		}
	}
	if s.adopt == nil {
		return inTx(s.db, func(tx *sql.Tx) error {
			return errors.Join(updateRun(tx, s.run, &s.file), unsettle(tx, s.run))
		})
	}
	s.adopt.file = &s.file
	if err := s.insert(*s.adopt); err != nil {
		return err
	}
	s.adopt = nil
	return dropJournal(s.dir)
}

// dropJournal removes the samples.jsonl of a run that the store has now.
func dropJournal(dir string) error {
	err := os.Remove(filepath.Join(dir, JournalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// MergeHistograms adds up what two parts of a run have counted of a cell. Histograms
// of one name and labels that have different schemas stay apart.
func MergeHistograms(a, b []Histogram) []Histogram {
	out := slices.Clone(a)
	for _, h := range b {
		i := slices.IndexFunc(out, func(o Histogram) bool {
			return o.Name == h.Name && o.Schema == h.Schema && maps.Equal(o.Labels, h.Labels)
		})
		if i < 0 {
			out = append(out, h)
			continue
		}
		sum := out[i]
		sum.ZeroCount, sum.Count, sum.Sum = sum.ZeroCount+h.ZeroCount, sum.Count+h.Count, sum.Sum+h.Sum
		sum.Buckets = maps.Clone(sum.Buckets)
		if sum.Buckets == nil {
			sum.Buckets = map[int32]uint64{}
		}
		for bucket, n := range h.Buckets {
			sum.Buckets[bucket] += n
		}
		out[i] = sum
	}
	return out
}
