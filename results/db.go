// SPDX-License-Identifier: Apache-2.0

package results

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	codes "modernc.org/sqlite/lib"
)

// DB reads the store of a results folder, also while somebody writes to it.
type DB struct {
	db   *sql.DB
	path string // of ukprobe.db, for errors
	temp string // folder of a copy that is read in its place, or ""
	gone func() // it is removed: nothing is left to [Abandon]

	locked bool // whoever opens it holds the folder's lock
	asItIs bool // one of an older version, or without tables, is not changed, nor an error
	empty  bool // it has no tables
}

// Open opens the store of a results folder, or the ukprobe.db that path names. It never
// changes it, but for bringing a store of an older version up to date.
func Open(path string) (*DB, error) { return openStore(path, false) }

// openStore is Open, for those that hold the folder's lock as well.
func openStore(path string, locked bool) (*DB, error) { return openAs(path, DB{locked: locked}) }

func openAs(path string, how DB) (*DB, error) {
	file, ok := RunSelector{Path: path}.databaseOf()
	if !ok {
		return nil, noRun(path, fmt.Errorf("there is no %s", DatabaseName))
	}
	if err := checkKind(file); err != nil {
		return nil, err
	}
	d, dir := &how, filepath.Dir(file)
	d.path = file
	err := d.open(file)
	if isHot(err) {
		err = d.openHot()
	}
	if err != nil && d.temp == "" && (isCode(err, codes.SQLITE_CANTOPEN) && (writable(dir) != nil || noRoom(dir) != "") || isCode(err, codes.SQLITE_IOERR) && noRoom(dir) != "") {
		err = d.openUnwritable()
	}
	if err == nil {
		return d, nil
	}
	return nil, withWayOut(fmt.Errorf("results: read the store %s: %w", file, errors.Join(explainIn(err, dir), d.Close())), dir)
}

func (d *DB) open(file string) (err error) {
	if d.db, err = openReader(file); err != nil {
		return err
	}
	version, err := checkVersion(d.db, d.path)
	d.empty = version == 0
	switch {
	case err != nil || d.asItIs:
	case version == 0:
		err = emptyStore(d.path)
	case version < len(migrations):
		if err = d.db.Close(); err == nil {
			err = d.upgrade(file)
		}
	}
	return err
}

func openReader(file string) (*sql.DB, error) {
	return sql.Open("sqlite", dsn(file, "ro", url.Values{"_query_only": {"1"}}))
}

// upgrade brings an older store up to date, which takes its folder's lock, and opens it.
func (d *DB) upgrade(file string) error {
	if !d.locked {
		lock, err := lockDir(filepath.Dir(file))
		if err != nil {
			return err
		}
		defer lock.Close()
	}
	db, err := openWriter(file)
	if err != nil {
		return fmt.Errorf("bring %s up to date: %w", file, err)
	}
	if err := closeWriter(db); err != nil {
		return err
	}
	d.db, err = openReader(file)
	return err
}

// openUnwritable opens a store that a killed run has left with its log or journal, where
// nobody may write or there is no room: SQLite needs to put a file beside it then, or to
// change it, so a copy of both is read.
func (d *DB) openUnwritable() (err error) {
	_ = d.db.Close()
	if d.gone, err = making(func() (err error) {
		d.temp, err = os.MkdirTemp("", "ukprobe-read-*")
		return err
	}, func() { _ = os.RemoveAll(d.temp) }); err != nil {
		return err
	}
	to := filepath.Join(d.temp, DatabaseName)
	if err := copyStore(to, d.path); err != nil {
		return err
	}
	return d.open(to)
}

func copyFile(to, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// writable says why a folder cannot be written to.
func writable(dir string) error { return unix.Access(dir, unix.W_OK) }

// withWayOut adds to an error of a damaged store how to get out what is readable, once:
// whoever imports from another store has had it of that one.
func withWayOut(err error, dir string) error {
	if !errors.Is(err, ErrDamaged) || errors.As(err, new(wayOutError)) {
		return err
	}
	newest := ""
	if path := filepath.Join(dir, FileName); lies(path) {
		newest = fmt.Sprintf(", and %s is the newest run that ended", path)
	}
	return wayOutError{fmt.Errorf("%w: keep a copy of %s as it is; `ukprobe export --salvage --out FILE %s@RUN` writes what can still be read of a run%s (docs/results.md)",
		err, dir, dir, newest)}
}

func lies(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// wayOutError is an error that has it.
type wayOutError struct{ error }

func (w wayOutError) Unwrap() error { return w.error }

// Close ends the reading.
func (d *DB) Close() error {
	var err error
	if d.db != nil {
		err = d.db.Close()
	}
	if d.temp != "" {
		err = errors.Join(err, os.RemoveAll(d.temp))
		d.gone()
	}
	return err
}

// view does something with the store as it is at one moment.
func (d *DB) view(do func(*sql.Tx) error) error {
	err := d.viewOnce(do)
	if isHot(err) && rollBack(d.path) == nil { // its writer was killed just now
		err = d.viewOnce(do)
	}
	if err != nil {
		return withWayOut(fmt.Errorf("results: %s: %w", d.path, explain(err)), filepath.Dir(d.path))
	}
	return nil
}

func (d *DB) viewOnce(do func(*sql.Tx) error) error {
	tx, err := d.db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(do(tx), tx.Rollback())
}

// runs are the ids of all runs in the order of their start.
func (d *DB) runs() (ids []string, err error) {
	err = d.view(func(tx *sql.Tx) error {
		ids, _, err = listIDs(tx)
		return err
	})
	return ids, err
}

func listIDs(q querier) (ids []string, numbers []int64, err error) {
	rows, err := q.Query("SELECT id, number FROM run NOT INDEXED ORDER BY started, number") // a damaged index hides rows
	if err != nil {
		return nil, nil, err
	}
	err = each(rows, func() error {
		var id string
		var number int64
		err := scan(rows, &id, &number)
		ids, numbers = append(ids, id), append(numbers, number)
		return err
	})
	return ids, numbers, err
}

// find is the number of the run that is meant: see [RunSelector].
func find(q querier, run string) (int64, error) {
	ids, numbers, err := listIDs(q)
	if err != nil {
		return 0, err
	}
	i, err := pick(ids, run)
	if err != nil {
		return 0, err
	}
	return numbers[i], nil
}

// read reads all of a run.
func (d *DB) read(run string) (r rawRun, number int64, cells []int64, err error) {
	err = d.view(func(tx *sql.Tx) error {
		if number, err = find(tx, run); err != nil {
			return err
		}
		r, cells, err = readRun(tx, number)
		return err
	})
	return r, number, cells, err
}

// File reads all of a run.
func (d *DB) File(run string) (*File, error) {
	r, _, _, err := d.read(run)
	return r.file, err
}

// Head reads what a run was and on what host, without its cells.
func (d *DB) Head(run string) (f *File, err error) {
	err = d.view(func(tx *sql.Tx) error {
		number, err := find(tx, run)
		if err != nil {
			return err
		}
		f, err = readHead(tx, number)
		return err
	})
	return f, err
}

// Values reads the cells of a run with their values. Of a run that has ended no sample is
// touched for it.
func (d *DB) Values(run string) (out []CellValues, err error) {
	err = d.view(func(tx *sql.Tx) error {
		number, err := find(tx, run)
		if err != nil {
			return err
		}
		out, err = readAllValues(tx, number)
		return err
	})
	return out, err
}

func readAllValues(q querier, run int64) ([]CellValues, error) {
	cells, ids, err := readCells(q, run)
	if err != nil {
		return nil, err
	}
	settled, err := readSettled(q, run)
	if err != nil {
		return nil, err
	}
	out := make([]CellValues, len(cells))
	for i := range cells {
		c := &cells[i]
		if v := settled[ids[i]]; v != nil {
			c.Summary = v.Summary
			v.Cell = *c
			out[i] = *v
			continue
		}
		if _, err := readCell(q, ids[i], c); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name(), err)
		}
		out[i] = valuesOf(c)
	}
	samples := 0
	for i := range out {
		samples += out[i].Counts.Samples
	}
	return out, checkCounts(q, run, ids, samples)
}

// readSettled reads what settle has made of a run's cells, by their ids.
func readSettled(q querier, run int64) (map[int64]*CellValues, error) {
	rows, err := q.Query("SELECT v.cell, v.data FROM cell c JOIN cell_values v ON v.cell = c.id WHERE c.run = ?", run)
	if err != nil {
		return nil, err
	}
	out := map[int64]*CellValues{}
	err = each(rows, func() error {
		var id int64
		var data sql.RawBytes
		if err := scan(rows, &id, &data); err != nil {
			return err
		}
		v := new(CellValues)
		if decodeValues(data, v) == nil { // else they are made anew of the samples
			out[id] = v
		}
		return nil
	})
	return out, err
}

// Columns reads a run's head and host (a File without cells) and its cells with their
// values, from wherever the selector finds it ([ParseRunSelector]).
func Columns(selector string) (*File, []CellValues, error) {
	sel, err := ParseRunSelector(selector)
	if err != nil {
		return nil, nil, err
	}
	var cells []CellValues
	head, err := asItStands(sel, func() (head *File, writer int, err error) {
		head, cells, writer, err = columns(sel)
		return head, writer, err
	})
	return head, cells, err
}

// columns reads what [Columns] does, and the process that wrote it last.
func columns(sel RunSelector) (head *File, cells []CellValues, writer int, err error) {
	if _, ok := sel.databaseOf(); !ok {
		r, err := loadChecked(sel)
		if err != nil {
			return nil, nil, 0, err
		}
		cells := FromFile(r.file)
		r.file.Cells = nil
		return r.file, cells, 0, nil
	}
	d, err := Open(sel.Path)
	if err != nil {
		return nil, nil, 0, err
	}
	defer d.Close()
	err = d.view(func(tx *sql.Tx) error {
		number, err := find(tx, sel.Run)
		if err != nil {
			return err
		}
		if head, err = readHead(tx, number); err != nil {
			return err
		}
		if writer, err = writerOf(tx, number); err != nil {
			return err
		}
		cells, err = readAllValues(tx, number)
		return err
	})
	return head, cells, writer, err
}

// microseconds is a time as it is stored.
func microseconds(us int64) time.Time { return time.UnixMicro(us).UTC() }
