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

// Load reads the run in dir, or of the run.json that dir names: finished,
// under way, or left by a killed ukprobe. Of the latter two it also reads
// samples.jsonl, and the run's status is still "running".
func Load(dir string) (*File, error) {
	path := dir
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		path = filepath.Join(dir, FileName)
	}
	// The journal first: what leaves it while we read is already in run.json.
	entries, err := readJournal(filepath.Join(filepath.Dir(path), JournalName))
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("results: no run in %s: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	f, err := parse(path, data)
	if err != nil {
		return nil, err
	}
	return f, f.merge(entries, filepath.Join(filepath.Dir(path), JournalName))
}

func (f *File) merge(entries []journalEntry, path string) error {
	touched := map[int]bool{}
	for i := range entries {
		e := &entries[i]
		changed, err := e.apply(f)
		if err != nil {
			return fmt.Errorf("results: entry %d of %s does not fit: %w", i+1, path, err)
		}
		if changed {
			touched[e.Cell] = true
		}
	}
	for i := range touched {
		f.Cells[i].Summary = f.Cells[i].Summarize()
	}
	return nil
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
