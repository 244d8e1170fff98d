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
	if _, ok := (RunSelector{Path: dir}).databaseOf(); !ok || name != FileName {
		return nil, nil
	}
	return lockDir(dir)
}

// loadSelected reads a run; lock is that of a folder, which may be its own, or nil.
func loadSelected(selector string, lock *os.File) (rawRun, error) {
	sel, err := ParseRunSelector(selector)
	if err != nil {
		return rawRun{}, err
	}
	return load(sel, lock)
}

// isLockOf says whether a lock is that of the folder at a selector's path.
func isLockOf(lock *os.File, sel RunSelector) bool {
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
	sel, err := ParseRunSelector(selector)
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
// and no more. Which rows there are is told by the store's indexes; where they are damaged
// too, every number that a row may have is tried.
type salvage struct {
	rawRun
	db   *sql.DB
	ids  []int64       // the cells'
	at   map[int64]int // cell's id -> its place
	most int64         // rows that can be in a file of this size
	lost []string
}

func (s *salvage) lose(format string, args ...any) {
	s.lost = append(s.lost, fmt.Sprintf(format, args...))
}

func (s *salvage) read(number int64) (err error) {
	const leastRow = 32 // bytes
	if err := s.db.QueryRow("SELECT c.page_count * s.page_size FROM pragma_page_count c, pragma_page_size s").Scan(&s.most); err != nil {
		return err
	}
	s.most /= leastRow
	if s.file, err = readHead(s.db, number); err != nil {
		return err
	}
	s.cells(number)
	found, sizes := s.listed(number)
	for i := range s.file.Cells {
		s.fill(i, found[i], sizes[i])
		c := &s.file.Cells[i]
		var err error
		if c.Histograms, err = readHistograms(s.db, s.ids[i]); err != nil {
			s.lose("the histograms of %s", c.Name())
		}
	}
	return nil
}

// list are the rows of a cell or a run in their order, as an index has them, without the
// rows; ok says that it is whole.
func (s *salvage) list(query string, of int64) (ids []int64, ok bool) {
	rows, err := s.db.Query(query, of)
	if err != nil {
		return nil, false
	}
	err = each(rows, func() error {
		var n, id int64
		if err := rows.Scan(&n, &id); err != nil {
			return err
		}
		if n != int64(len(ids)) || n >= s.most {
			return ErrDamaged
		}
		ids = append(ids, id)
		return nil
	})
	return ids, err == nil
}

// tryAll calls do for every number that a row of a table may have, and counts errors.
func (s *salvage) tryAll(table string, do func(id int64) error) (unread int) {
	last := s.most
	if s.db.QueryRow("SELECT coalesce(max(id), 0) FROM "+table).Scan(&last) != nil || last > s.most {
		last = s.most
	}
	for id := int64(1); id <= last; id++ {
		if do(id) != nil {
			unread++
		}
	}
	return unread
}

func (s *salvage) cells(run int64) {
	if ids, ok := s.list("SELECT n, id FROM cell WHERE run = ? ORDER BY n", run); ok {
		for n, id := range ids {
			err := s.cell(run, id)
			if _, there := s.at[id]; err != nil || !there {
				s.lose("cell %d of the run, with its samples", n+1)
			}
		}
		return
	}
	if unread := s.tryAll("cell", func(id int64) error { return s.cell(run, id) }); unread > 0 {
		s.lose("%d cells of the folder's runs cannot be read, with their samples", unread)
	}
}

// cell reads one, if it is of the run.
func (s *salvage) cell(run, id int64) error {
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
	s.ids, s.file.Cells = append(s.ids, id), append(s.file.Cells, open.cell())
	return nil
}

// listed reads the samples of all cells, and how many each had.
func (s *salvage) listed(run int64) (found []map[int]json.RawMessage, sizes []int) {
	found, sizes = make([]map[int]json.RawMessage, len(s.ids)), make([]int, len(s.ids))
	whole := make([]bool, len(s.ids))
	total, all := int64(0), true
	for i, id := range s.ids {
		found[i] = map[int]json.RawMessage{}
		var ids []int64
		ids, whole[i] = s.list("SELECT n, id FROM sample WHERE cell = ? ORDER BY n", id)
		for n, row := range ids {
			if cell, at, data, err := s.sample(row); err == nil && cell == id && at == int64(n) {
				found[i][n] = data
			}
		}
		sizes[i], total, all = len(ids), total+int64(len(ids)), all && whole[i]
	}
	// A run that has ended knows how many it had.
	most, counted := s.most, sql.NullInt64{}
	if s.db.QueryRow("SELECT samples FROM run WHERE number = ?", run).Scan(&counted) == nil && counted.Valid && counted.Int64 < most {
		most = counted.Int64
	}
	if all && (!counted.Valid || counted.Int64 <= total) {
		return found, sizes
	}
	unread := s.tryAll("sample", func(row int64) error {
		cell, n, data, err := s.sample(row)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		i, ours := s.at[cell]
		switch {
		case !ours, !all && whole[i]: // read already
			return nil
		case n < 0 || n >= most:
			return ErrDamaged
		}
		if found[i][int(n)] == nil {
			found[i][int(n)] = data
		}
		sizes[i] = max(sizes[i], int(n)+1)
		return nil
	})
	if unread > 0 {
		s.lose("%d samples of the folder's runs cannot be read", unread)
	}
	there := int64(0)
	for _, n := range sizes {
		there += int64(n)
	}
	switch {
	case counted.Valid && counted.Int64 > there:
		s.lose("%d more samples, of cells that are lost or at the ends of others", counted.Int64-there)
	case !counted.Valid:
		s.lose("how many samples the cells had: at their ends more may be missing")
	}
	return found, sizes
}

func (s *salvage) sample(id int64) (cell, n int64, data []byte, err error) {
	err = s.db.QueryRow("SELECT cell, n, data FROM sample WHERE id = ?", id).Scan(&cell, &n, &data)
	if err == nil {
		data, err = unpack(data)
	}
	return cell, n, data, err
}

// fill puts together a cell's samples, of which there were size.
func (s *salvage) fill(i int, found map[int]json.RawMessage, size int) {
	c := &s.file.Cells[i]
	var raw []json.RawMessage
	for n := range size {
		var sample Sample
		line, ok := found[n]
		if !ok || decode(line, &sample) != nil {
			s.lose("sample %d of %s", n+1, c.Name())
			sample, _ = normalize(Sample{Started: time.Unix(0, 0), Status: SampleFailed, Reason: "lost: the store was damaged"})
			line, _ = json.Marshal(sample) // of such a sample it cannot fail
		}
		raw, c.Samples = append(raw, line), append(c.Samples, sample)
	}
	s.samples = append(s.samples, raw)
	c.Summary = c.Summarize()
}
