// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Resume opens a run that was interrupted, killed or ended with an error, to add to it.
// It locks the directory; nothing is written before BeginPart. Samples stay as they are
// in the file, byte for byte. Of a finished run the error is ErrFinished.
func Resume(dir string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, FileName)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("results: no run in %s: %w", dir, err)
	}
	s := &Store{dir: dir, stale: map[int]bool{}, alwaysBelow: rewriteAlwaysBelow}
	if err := s.takeLock(); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		s.unlock()
		return nil, err
	}
	return s, nil
}

// ErrFinished says that a run has all its samples.
var ErrFinished = errors.New("the run is finished: there is nothing left to do")

// open reads what is there.
func (s *Store) open() error {
	f, err := Load(s.dir)
	if err != nil {
		return err
	}
	if f.Run.Status == RunOK {
		return fmt.Errorf("results: %s: %w", s.dir, ErrFinished)
	}
	data, err := os.ReadFile(filepath.Join(s.dir, FileName))
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	var raw struct {
		Cells []struct {
			Samples []json.RawMessage `json:"samples"`
		} `json:"cells"`
	}
	if err := decode(data, &raw); err != nil {
		return fmt.Errorf("results: read %s: %w", filepath.Join(s.dir, FileName), err)
	}
	s.file = *f
	s.enc.cells = make([]encodedCell, len(f.Cells))
	for i := range f.Cells {
		if s.enc.cells[i].samples, err = compact(raw.Cells[i].Samples); err != nil {
			return fmt.Errorf("results: read %s: %w", filepath.Join(s.dir, FileName), err)
		}
		s.stale[i] = true
	}
	s.journal.path = filepath.Join(s.dir, JournalName)
	return s.openJournal()
}

// openJournal takes over the samples that only the journal has, which Load has read too.
func (s *Store) openJournal() error {
	entries, err := readJournal(s.journal.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if own := &s.enc.cells[e.Cell].samples; e.N == len(*own) {
			*own = append(*own, e.Sample)
		}
	}
	// Its entries stay until run.json has them.
	s.journal.f, err = os.OpenFile(s.journal.path, os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	data, err := os.ReadFile(s.journal.path)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	s.journal.size = int64(bytes.LastIndexByte(data, '\n') + 1)
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
	if s.dirFile == nil {
		return errClosed
	}
	p.Started, p.Argv, p.From = p.Started.UTC().Round(0), orEmpty(p.Argv), 0
	for i := range s.file.Cells {
		p.From += len(s.file.Cells[i].Samples)
	}
	run := &s.file.Run
	if len(run.Parts) == 0 {
		run.Parts = []Part{{Started: run.Started, Argv: run.Argv}}
	}
	run.Parts = append(run.Parts, p)
	run.Status, run.Finished = RunRunning, nil
	if err := s.rewrite(); err != nil {
		return fmt.Errorf("results: go on with the run in %s: %w: what was stored before is intact", s.dir, err)
	}
	return nil
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
