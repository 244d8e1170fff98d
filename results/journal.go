// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// journal is samples.jsonl: what was stored since run.json was last rewritten,
// one entry a line.
type journal struct {
	path string
	f    *os.File // nil until the first entry
	size int64    // of the entries that are whole
}

// journalEntry is one sample. N, the number of samples its cell had before,
// tells whether run.json holds it already.
type journalEntry struct {
	Cell   int             `json:"cell"`
	N      int             `json:"n"`
	Sample json.RawMessage `json:"sample"`
}

// append writes one entry durably. On an error the journal is as it was.
func (j *journal) append(e journalEntry) (err error) {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if j.f == nil {
		if j.f, err = os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE, 0o644); err != nil {
			return err
		}
		// The new name itself has to survive a loss of power.
		if err := syncDir(j.path); err != nil {
			return err
		}
	}
	_, err = j.f.WriteAt(append(line, '\n'), j.size)
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		return errors.Join(err, j.f.Truncate(j.size))
	}
	j.size += int64(len(line)) + 1
	return nil
}

// truncate forgets the entries; they are in run.json now. If it does not work
// they stay, and are recognised by their number when they are read.
func (j *journal) truncate() {
	if j.f != nil && j.f.Truncate(0) == nil {
		j.size = 0
	}
}

func (j *journal) close() {
	if j.f != nil {
		j.f.Close()
		j.f = nil
	}
}

func (j *journal) remove() error {
	if j.f == nil {
		return nil
	}
	j.close()
	return os.Remove(j.path)
}

// readJournal returns the entries of samples.jsonl, none when there is no such
// file. A last line without an end was being written when the writer was
// killed; its AddSample never returned, and it is left out.
func readJournal(path string) ([]journalEntry, error) {
	data, err := os.ReadFile(path)
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

// apply adds the entry to the file unless the file holds it already. It
// reports whether it changed the file.
func (e *journalEntry) apply(f *File) (bool, error) {
	if e.Cell < 0 || e.Cell >= len(f.Cells) {
		return false, fmt.Errorf("it names cell %d, and %s has %d", e.Cell, FileName, len(f.Cells))
	}
	c := &f.Cells[e.Cell]
	if e.N > len(c.Samples) {
		return false, fmt.Errorf("sample %d of %s is missing", len(c.Samples)+1, c.Name())
	}
	if e.N < len(c.Samples) {
		return false, nil
	}
	var s Sample
	if err := decode(e.Sample, &s); err != nil {
		return false, err
	}
	c.addSample(s)
	return true, nil
}
