// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// journalEntry is one line of samples.jsonl, in which versions before the store kept the
// samples since run.json was last rewritten. N, the number of samples its cell had
// before, tells whether run.json holds it already.
type journalEntry struct {
	Cell   int             `json:"cell"`
	N      int             `json:"n"`
	Sample json.RawMessage `json:"sample"`
}

// readJournal returns the entries of samples.jsonl, none when there is no such
// file. A last line without an end was being written when the writer was
// killed; its AddSample never returned, and it is left out.
func readJournal(path string) ([]journalEntry, error) {
	data, err := readBounded(path, MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	var entries []journalEntry
	for off := 0; ; {
		n := bytes.IndexByte(data[off:], '\n')
		if n < 0 {
			return entries, nil
		}
		var e journalEntry
		if err := decode(data[off:off+n], &e); err != nil {
			return nil, fmt.Errorf("results: %s is damaged in the line at byte %d: %w: remove that line to read the others", path, off, err)
		}
		entries = append(entries, e)
		off += n + 1
	}
}

// apply adds the entry to the file unless the file holds it already.
func (e *journalEntry) apply(f *File) error {
	if e.Cell < 0 || e.Cell >= len(f.Cells) {
		return fmt.Errorf("it names cell %d, and %s has %d", e.Cell, FileName, len(f.Cells))
	}
	c := &f.Cells[e.Cell]
	if e.N > len(c.Samples) {
		return fmt.Errorf("sample %d of %s is missing", len(c.Samples)+1, c.Name())
	}
	if e.N < len(c.Samples) {
		return nil
	}
	var s Sample
	if err := decode(e.Sample, &s); err != nil {
		return err
	}
	c.addSample(s)
	return nil
}
