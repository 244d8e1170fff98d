// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Export writes a run as a run.json: whole and by itself, with nothing beside it.
func Export(w io.Writer, selector string) error {
	r, err := loadSelected(selector, nil)
	if err != nil {
		return err
	}
	return writeFile(w, r.file, r.raw)
}

// ExportFile is Export into a file, which is there as a whole or not at all. It replaces
// another run.json, but no other file.
func ExportFile(path, selector string) error {
	lock, err := lockFor(path)
	if err != nil {
		return err
	}
	defer lock.Close()
	r, err := loadSelected(selector, lock)
	if err != nil {
		return err
	}
	return r.replace(path)
}

// lockFor locks the folder of a store of which path is the run.json; nil if it is not:
// the end of a run there writes it too.
func lockFor(path string) (*os.File, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if _, ok := (Selector{Path: dir}).databaseOf(); !ok || name != FileName {
		return nil, nil
	}
	return lockDir(dir)
}

// loadSelected reads a run; lock is that of a folder, which may be its own, or nil.
func loadSelected(selector string, lock *os.File) (rawRun, error) {
	sel, err := ParseSelector(selector)
	if err != nil {
		return rawRun{}, err
	}
	return load(sel, lock)
}

// isLockOf says whether a lock is that of the folder at a selector's path.
func isLockOf(lock *os.File, sel Selector) bool {
	if lock == nil {
		return false
	}
	held, err := lock.Stat()
	if err != nil {
		return false
	}
	st, err := os.Stat(sel.folder())
	return err == nil && os.SameFile(held, st)
}

func (r rawRun) raw(cell int) ([]json.RawMessage, error) { return r.samples[cell], nil }

func (r rawRun) replace(path string) error {
	keep := func(path string) error {
		if _, err := runIDOf(path); err != nil {
			return fmt.Errorf("it is there, and no run.json (%w): choose another name", err)
		}
		return nil
	}
	if err := writeWhole(path, keep, func(w io.Writer) error { return writeFile(w, r.file, r.raw) }); err != nil {
		return fmt.Errorf("results: write %s: %w", path, err)
	}
	return nil
}

// Salvage writes what can still be read of a run in a damaged store to path. In the place
// of each sample that cannot stands one that failed and says so, so that the others keep
// their numbers. lost says what is missing.
func Salvage(path, selector string) (lost []string, err error) {
	sel, err := ParseSelector(selector)
	if err != nil {
		return nil, err
	}
	lock, err := lockFor(path)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	d, err := openStore(sel.Path, isLockOf(lock, sel))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	number, err := find(d.db, sel.Run)
	if err != nil {
		return nil, fmt.Errorf("results: %s: %w: not even the list of its runs can be read", d.path, explain(err))
	}
	s := salvage{db: d.db, at: map[int64]int{}}
	if err := s.read(number); err != nil {
		return nil, fmt.Errorf("results: %s: %w", d.path, explain(err))
	}
	return s.lost, s.replace(path)
}

// salvage reads row by row, by the rows' own numbers: a damaged page takes what is on it
// and no more.
type salvage struct {
	rawRun
	db   *sql.DB
	at   map[int64]int // cell's id -> its place
	lost []string
}

func (s *salvage) read(number int64) (err error) {
	if s.file, err = readHead(s.db, number); err != nil {
		return err
	}
	if err := s.cells(number); err != nil {
		return err
	}
	found := make([]map[int]json.RawMessage, len(s.file.Cells))
	for i := range found {
		found[i] = map[int]json.RawMessage{}
	}
	unread, err := s.rows("sample", func(id int64) error { return s.sample(id, found) })
	if err != nil {
		return err
	}
	if unread > 0 {
		s.lost = append(s.lost, fmt.Sprintf("%d samples of the folder's runs cannot be read", unread))
	}
	for i := range s.file.Cells {
		s.fill(i, found[i])
	}
	return nil
}

// rows calls do for every number that a row of a table may have, and counts errors.
func (s *salvage) rows(table string, do func(id int64) error) (unread int, err error) {
	var last sql.NullInt64
	if err := s.db.QueryRow("SELECT max(id) FROM " + table).Scan(&last); err != nil {
		return 0, err
	}
	for id := int64(1); id <= last.Int64; id++ {
		if do(id) != nil {
			unread++
		}
	}
	return unread, nil
}

func (s *salvage) cells(run int64) error {
	unread, err := s.rows("cell", func(id int64) error {
		var of int64
		var head []byte
		err := s.db.QueryRow("SELECT run, head FROM cell WHERE id = ?", id).Scan(&of, &head)
		if errors.Is(err, sql.ErrNoRows) || err == nil && of != run {
			return nil
		}
		var open cellOpen
		if err == nil {
			err = decode(head, &open)
		}
		if err != nil {
			return err
		}
		s.at[id] = len(s.file.Cells)
		s.file.Cells = append(s.file.Cells, open.cell())
		return nil
	})
	if unread > 0 {
		s.lost = append(s.lost, fmt.Sprintf("%d cells of the folder's runs cannot be read", unread))
	}
	return err
}

func (s *salvage) sample(id int64, found []map[int]json.RawMessage) error {
	var cell int64
	var n int
	var data []byte
	err := s.db.QueryRow("SELECT cell, n, data FROM sample WHERE id = ?", id).Scan(&cell, &n, &data)
	i, ours := s.at[cell]
	if errors.Is(err, sql.ErrNoRows) || err == nil && !ours {
		return nil
	}
	if err == nil {
		data, err = unpack(data)
	}
	if err != nil {
		return err
	}
	found[i][n] = data
	return nil
}

// fill puts together a cell's samples.
func (s *salvage) fill(i int, found map[int]json.RawMessage) {
	c := &s.file.Cells[i]
	last := -1
	for n := range found {
		last = max(last, n)
	}
	var raw []json.RawMessage
	for n := range last + 1 {
		var sample Sample
		line, ok := found[n]
		if !ok || decode(line, &sample) != nil {
			s.lost = append(s.lost, fmt.Sprintf("sample %d of %s", n+1, c.Name()))
			sample, _ = normalize(Sample{Started: time.Unix(0, 0), Status: SampleFailed, Reason: "lost: the store was damaged"})
			line, _ = json.Marshal(sample) // of such a sample it cannot fail
		}
		raw, c.Samples = append(raw, line), append(c.Samples, sample)
	}
	s.samples = append(s.samples, raw)
	c.Summary = c.Summarize()
}
