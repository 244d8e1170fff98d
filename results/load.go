// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Load reads a run: finished, under way, or left by a killed ukprobe, which is stored as
// "running" and told as [RunKilled]. The selector is DIR, DIR@RUN, or the path of a run.json
// ([ParseRunSelector]).
func Load(selector string) (*File, error) {
	sel, err := ParseRunSelector(selector)
	if err != nil {
		return nil, err
	}
	return asItStands(sel, func() (*File, int, error) {
		r, err := load(sel, nil)
		return r.file, r.writer, err
	})
}

// load reads a run and its samples as they are written. lock is a folder's lock that is
// held meanwhile, or nil.
func load(sel RunSelector, lock *os.File) (rawRun, error) {
	if _, ok := sel.databaseOf(); !ok {
		return loadChecked(sel)
	}
	db, err := openStore(sel.Path, isLockOf(lock, sel))
	if err != nil {
		return rawRun{}, err
	}
	defer db.Close()
	r, _, _, err := db.read(sel.Run)
	return r, err
}

// loadChecked reads a run.json as [loadOld] does, and refuses one that no ukprobe has
// written.
func loadChecked(sel RunSelector) (rawRun, error) {
	r, err := loadOld(sel)
	if err != nil {
		return rawRun{}, err
	}
	if err := r.file.check(); err != nil {
		return rawRun{}, fmt.Errorf("results: %s: %w", sel.Path, err)
	}
	return r, nil
}

// loadOld reads a run.json, and the samples.jsonl beside it: what it says is only listed,
// until it was checked.
func loadOld(sel RunSelector) (r rawRun, err error) {
	path := sel.Path
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, FileName)
	}
	// The journal first: what leaves it while we read is already in run.json.
	journal := filepath.Join(filepath.Dir(path), JournalName)
	entries, err := readJournal(journal)
	if err != nil {
		return r, err
	}
	data, err := readBounded(path, MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return r, noRun(sel.Path, err)
	}
	if err != nil {
		return r, fmt.Errorf("results: %w", err)
	}
	if r, err = parseRaw(path, data); err != nil {
		return r, err
	}
	if _, err := pick([]string{r.file.Run.ID}, sel.Run); err != nil {
		return rawRun{}, fmt.Errorf("results: %s: %w", path, err)
	}
	for _, e := range entries {
		if e.Cell >= 0 && e.Cell < len(r.samples) && e.N == len(r.samples[e.Cell]) {
			r.samples[e.Cell] = append(r.samples[e.Cell], e.Sample)
		}
	}
	if err := r.file.merge(entries, journal); err != nil {
		return rawRun{}, err
	}
	r.file.summarize()
	return r, nil
}

// parseRaw is parse that keeps the samples as they are written.
func parseRaw(path string, data []byte) (r rawRun, err error) {
	if r.file, err = parse(path, data); err != nil {
		return rawRun{}, err
	}
	var raw struct {
		Cells []struct {
			Samples []json.RawMessage `json:"samples"`
		} `json:"cells"`
	}
	if err := decode(data, &raw); err != nil {
		return rawRun{}, fmt.Errorf("results: read %s: %w", path, err)
	}
	r.samples = make([][]json.RawMessage, len(r.file.Cells))
	for i := range r.samples {
		if r.samples[i], err = compact(raw.Cells[i].Samples); err != nil {
			return rawRun{}, fmt.Errorf("results: read %s: %w", path, err)
		}
		for n, sample := range r.samples[i] {
			r.samples[i][n] = withoutCounts(sample) // it is written anew
		}
	}
	return r, nil
}

func (f *File) merge(entries []journalEntry, path string) error {
	for i := range entries {
		if err := entries[i].apply(f); err != nil {
			return fmt.Errorf("results: entry %d of %s does not fit: %w", i+1, path, err)
		}
	}
	return nil
}

// summarize makes all summaries anew: what stands in a file beside its samples may be of
// others. The samples are what was measured.
func (f *File) summarize() {
	for i := range f.Cells {
		f.Cells[i].Summary = f.Cells[i].Summarize()
	}
}

// parse reads the content of a run.json; path is for its errors.
func parse(path string, data []byte) (*File, error) {
	var head struct {
		Format        string `json:"format"`
		FormatVersion int    `json:"format_version"`
	}
	if err := decode(data, &head); err != nil {
		return nil, fmt.Errorf("results: %s is not a whole run: %w", path, err)
	}
	switch {
	case head.Format != Format:
		return nil, fmt.Errorf("results: %s is not a ukprobe run: its format is %q, not %q", path, head.Format, Format)
	case head.FormatVersion > FormatVersion:
		return nil, fmt.Errorf("results: %s has format version %d and this ukprobe reads up to %d: it was written by a newer ukprobe, read it with that one",
			path, head.FormatVersion, FormatVersion)
	case head.FormatVersion < 1:
		return nil, fmt.Errorf("results: %s has no format version that ever was: %d", path, head.FormatVersion)
	}
	f := new(File)
	if err := decode(data, f); err != nil {
		return nil, fmt.Errorf("results: read %s: %w", path, err)
	}
	return f, nil
}

// decode reads exactly one JSON value. Its errors say at which byte.
func decode(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	err := d.Decode(v)
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it ends in the middle, at byte %d", len(data))
	case errors.As(err, &syntax):
		return fmt.Errorf("at byte %d: %w", syntax.Offset, err)
	case errors.As(err, &typ):
		return fmt.Errorf("at byte %d, in %s: a %s where a %s belongs", typ.Offset, typ.Field, typ.Value, typ.Type)
	case err != nil:
		return err
	}
	if rest := bytes.TrimSpace(data[d.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("at byte %d: more follows after its end", d.InputOffset())
	}
	return nil
}
