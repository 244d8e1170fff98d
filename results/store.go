// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ukprobe/ukprobe/internal/lockfile"
	"github.com/ukprobe/ukprobe/internal/toomany"
)

// Names of the files in a results folder.
const (
	DatabaseName = "ukprobe.db"
	FileName     = "run.json"
	// JournalName is only in folders that were written before there was a store.
	JournalName = "samples.jsonl"
)

// Store writes one run into the store of a folder, which may hold others. When a method
// has returned, what it stored survives a kill -9 and a loss of power: each sample is a
// transaction of its own, one write and one fsync at the end of a log.
//
// run.json, the run in one portable file, is written by Finish.
//
// A Store may be used by several goroutines.
type Store struct {
	mu    sync.Mutex
	dir   string
	lock  *os.File // of the folder; nil once closed
	db    *sql.DB  // nil of a run that was resumed, before BeginPart
	run   int64    // its number
	cells []int64  // their ids
	file  File
	// adopt is a run from before there was a store, until BeginPart puts it into one.
	adopt *rawRun

	opened os.FileInfo // of the file that db is of
}

// errClosed is returned by every method after Finish or Close.
var errClosed = errors.New("results: the store is closed")

// errNotBegun is returned by what would add to a resumed run before BeginPart.
var errNotBegun = errors.New("results: the run was opened to be resumed: begin a part first")

// Create begins a run in dir, which is made if need be. It must be empty, or hold a store,
// to which the run is added, and nobody else may write there. Cells without a status start
// as "skipped: not started".
func Create(dir string, head Run, host Host, cells []Cell) (*Store, error) {
	s := &Store{dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("results: create the run's directory: %w: choose another directory", err)
	}
	var err error
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	fresh, err := checkContent(dir)
	if err == nil {
		err = s.begin(head, host, cells)
	}
	if err != nil {
		s.end()
		if fresh {
			removeDatabase(dir)
		}
		return nil, err
	}
	return s, nil
}

// CheckDir says, without touching anything, why Create would not take dir. A dir that is
// not there is fine.
func CheckDir(dir string) error {
	_, err := checkContent(dir)
	if err != nil {
		return err
	}
	if pid, _ := lockfile.Holder(dir); pid != 0 {
		return beingWritten(dir)
	}
	return nil
}

// checkContent says whether a folder has no store yet, or why it cannot have one.
func checkContent(dir string) (fresh bool, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("results: look into %s: %w: choose another directory", dir, err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	if _, ok := (RunSelector{Path: dir}).databaseOf(); ok {
		return false, checkStore(dir, slices.Contains(names, FileName))
	}
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, DatabaseName) }) // one that was killed before it began
	switch {
	case len(names) == 0:
		return true, nil
	case slices.Contains(names, FileName):
		return false, fmt.Errorf("results: %s already holds a run in %s, and no store yet: make it one with `ukprobe import --into %s %s`, or choose another directory", dir, FileName, dir, dir)
	}
	slices.Sort(names)
	return false, fmt.Errorf("results: %s is not empty (it holds %q) and no results folder: choose another directory", dir, names[0])
}

// checkStore looks whether a run can be added to a store: whether it is of a version that
// is known, and has the run of the run.json beside it, which the new run's replaces.
func checkStore(dir string, exported bool) error {
	ids, err := idsIn(dir)
	if err != nil || !exported {
		return err
	}
	path := filepath.Join(dir, FileName)
	id, err := runIDOf(path)
	switch {
	case err != nil:
		return fmt.Errorf("results: %s would be replaced by the new run's, and it cannot be told whether the store has its run: %w: move it away, or choose another directory", path, err)
	case !slices.Contains(ids, id):
		return fmt.Errorf("results: %s is of run %s, which the store beside it has not, and the new run's would replace it: take it in with `ukprobe import --into %s %s`, or move it away", path, id, dir, path)
	}
	return nil
}

// idsIn are the ids of a store's runs, of any version that is known, which stays as it is.
func idsIn(dir string) (ids []string, err error) {
	d, err := openAs(dir, DB{asItIs: true})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if d.empty {
		return nil, nil
	}
	return d.runs()
}

// runIDOf reads only as much of a run.json as it takes.
func runIDOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	d := json.NewDecoder(f)
	if t, err := d.Token(); err != nil {
		return "", err
	} else if t != json.Delim('{') {
		return "", errNoRun
	}
	var format string
	var run struct {
		ID string `json:"id"`
	}
	for d.More() && (format == "" || run.ID == "") {
		key, err := d.Token()
		if err != nil {
			return "", err
		}
		switch key {
		case "format":
			err = d.Decode(&format)
		case "run":
			err = d.Decode(&run)
		default:
			var skip json.RawMessage
			err = d.Decode(&skip)
		}
		if err != nil {
			return "", err
		}
	}
	if format != Format || run.ID == "" {
		return "", errNoRun
	}
	return run.ID, nil
}

var errNoRun = errors.New("it is not a ukprobe run")

// removeDatabase takes away what a run that could not begin has made.
func removeDatabase(dir string) {
	for _, end := range []string{"", "-journal", "-wal", "-shm"} {
		_ = os.Remove(filepath.Join(dir, DatabaseName+end))
	}
}

// openDatabase opens the folder's store for writing.
func (s *Store) openDatabase() (err error) {
	path := filepath.Join(s.dir, DatabaseName)
	if err := checkKind(path); err != nil {
		return err
	}
	if err := writable(s.dir); err != nil {
		return fmt.Errorf("results: write into %s: %w: choose another directory", s.dir, err)
	}
	if s.db, err = openWriter(path); err != nil {
		err = explainIn(err, s.dir)
		advice := makeRoom(err, s.dir, "")
		if advice != "" {
			advice = ": " + advice + ", or choose another directory"
		}
		return s.failed(fmt.Errorf("results: open the store %s: %w%s", path, err, advice))
	}
	if s.opened, err = os.Lstat(path); err != nil {
		return fmt.Errorf("results: open the store: %w", err)
	}
	return nil
}

func (s *Store) begin(head Run, host Host, cells []Cell) error {
	head.normalize()
	host.normalize()
	s.file = File{Format: Format, FormatVersion: FormatVersion, Run: head, Host: host, Cells: slices.Clone(cells)}
	for i := range s.file.Cells {
		c := &s.file.Cells[i]
		if len(c.Samples) > 0 {
			return fmt.Errorf("results: cell %s already has samples: add them with AddSample", c.Name())
		}
		if c.Status == "" {
			c.Status, c.Reason = c.derivedStatus()
		}
		c.Samples, c.Argv = []Sample{}, orEmpty(c.Argv)
	}
	if err := s.openDatabase(); err != nil {
		return err
	}
	if err := s.insert(rawRun{file: &s.file, samples: make([][]json.RawMessage, len(cells))}); err != nil {
		err = explainIn(err, s.dir)
		advice := "choose another directory"
		if room := makeRoom(err, s.dir, ""); room != "" {
			advice = room + ", or " + advice
		}
		return s.failed(fmt.Errorf("results: begin the run in %s: %w: %s", s.dir, err, advice))
	}
	return nil
}

// insert stores a whole run as this one.
func (s *Store) insert(r rawRun) error {
	return inTx(s.db, func(tx *sql.Tx) (err error) {
		var n int
		if err := tx.QueryRow("SELECT count(*) FROM run NOT INDEXED WHERE id = ?", r.file.Run.ID).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("run %s is in it already", r.file.Run.ID)
		}
		s.run, s.cells, err = insertRun(tx, r)
		return err
	})
}

// intact says of an error that what was stored before is there, and how to go on with it.
func (s *Store) intact(err error) error {
	if gone := s.gone(); gone != nil {
		return gone
	}
	err = explainIn(err, s.dir)
	whole := "what was stored before is intact in " + s.dir
	if room := makeRoom(err, s.dir, ""); room != "" {
		return fmt.Errorf("%w: %s; %s, then `ukprobe run --resume %s@%s` goes on", err, whole, room, s.dir, s.file.Run.ID)
	}
	if advice := toomany.Advice(err, ""); advice != "" {
		return fmt.Errorf("%w: %s; %s", err, whole, advice)
	}
	return fmt.Errorf("%w: %s", err, whole)
}

// failed adds to an error of a damaged store how to get out what is readable.
func (s *Store) failed(err error) error { return withWayOut(err, s.dir) }

// end closes everything.
func (s *Store) end() {
	if s.db != nil && s.gone() != nil {
		_ = s.db.Close() // by its names SQLite would come to another's files
		s.db = nil
	}
	if s.db != nil {
		_ = closeWriter(s.db) // all is stored; an error is that of a log left beside the file
		s.db = nil
	}
	if s.lock != nil {
		s.lock.Close() // ends the lock
		s.lock = nil
	}
}

// begun is the reason why nothing can be added to the run yet, or any more.
func (s *Store) begun() error {
	switch {
	case s.lock == nil:
		return errClosed
	case s.db == nil:
		return errNotBegun
	}
	return nil
}

func (s *Store) cell(i int) (*Cell, error) {
	if s.lock == nil {
		return nil, errClosed
	}
	if i < 0 || i >= len(s.file.Cells) {
		return nil, fmt.Errorf("results: no cell %d: the run has %d", i, len(s.file.Cells))
	}
	if s.db == nil {
		return nil, errNotBegun
	}
	return &s.file.Cells[i], nil
}

// AddSample stores one finished sample of a cell. Until SetCellStatus is called, the
// cell's status follows from its samples. Values that are not finite, phases that are not
// positive and events before the clock's zero are stored as missing. On an error, such as
// a full disk, the sample is not stored and what was stored before stays readable;
// AddSample may be called again. The error is [ErrGone] if the store was taken away.
func (s *Store) AddSample(cell int, sample Sample) error {
	return s.add(cell, sample, func(*Cell) bool { return false })
}

// AddSampleWith is AddSample together with the state of the cell's histograms after it:
// both or neither are stored.
func (s *Store) AddSampleWith(cell int, sample Sample, hs []Histogram) error {
	return s.add(cell, sample, func(c *Cell) bool {
		c.Histograms = slices.Clone(hs)
		return true
	})
}

func (s *Store) add(cell int, sample Sample, histograms func(*Cell) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.cell(cell)
	if err != nil {
		return err
	}
	sample, err = normalize(sample)
	if err != nil {
		return fmt.Errorf("results: sample %d of %s: %w", len(c.Samples)+1, c.Name(), err)
	}
	line, err := json.Marshal(sample)
	if err != nil {
		return fmt.Errorf("results: sample %d of %s: %w", len(c.Samples)+1, c.Name(), err)
	}
	return s.change(cell, func(c *Cell, tx *sql.Tx) error {
		status, reason, n := c.Status, c.Reason, len(c.Samples)
		c.addSample(sample)
		if err := insertSample(tx, s.cells[cell], n, &sample, line); err != nil {
			return err
		}
		if c.Status != status || c.Reason != reason {
			if err := updateCell(tx, s.cells[cell], c); err != nil {
				return err
			}
		}
		if histograms(c) {
			return saveHistograms(tx, s.cells[cell], c.Histograms)
		}
		return nil
	})
}

// SetCellStatus sets a cell's status (ok, failed, unsupported, skipped) and the
// reason for it; later samples do not change it.
func (s *Store) SetCellStatus(cell int, status, reason string) error {
	if !slices.Contains([]string{CellOK, CellFailed, CellUnsupported, CellSkipped, CellNoImage}, status) {
		return fmt.Errorf("results: cell status %q is none of ok, failed, unsupported, skipped, no-image", status)
	}
	return s.set(cell, func(c *Cell) {
		c.Status, c.Reason = status, strings.ToValidUTF8(reason, "\uFFFD")
	})
}

// ResetCellStatus lets a cell's status follow from its samples again.
func (s *Store) ResetCellStatus(cell int) error {
	return s.set(cell, func(c *Cell) { c.Status, c.Reason = c.derivedStatus() })
}

// SetCellArgv sets the command line that starts a cell's guest.
func (s *Store) SetCellArgv(cell int, argv []string) error {
	return s.set(cell, func(c *Cell) { c.Argv = orEmpty(slices.Clone(argv)) })
}

// SetCellStopped says why a cell has no more samples.
func (s *Store) SetCellStopped(cell int, why Stopped) error {
	return s.set(cell, func(c *Cell) { c.Stopped = &why })
}

// SetCellLimit sets the time limit that was learnt for a cell.
func (s *Store) SetCellLimit(cell int, l Limit) error {
	return s.set(cell, func(c *Cell) { c.Limit = &l })
}

// Cell returns a cell as it stands, without its summary. It is one of those of Create, by
// its place there. The lists are shared with the store and must not be changed.
func (s *Store) Cell(i int) Cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file.Cells[i]
}

// SetHost replaces the host's fingerprint, for what is only known after the first sample.
func (s *Store) SetHost(host Host) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begun(); err != nil {
		return err
	}
	host.normalize()
	before := s.file.Host
	s.file.Host = host
	if err := inTx(s.db, func(tx *sql.Tx) error { return updateRun(tx, s.run, &s.file) }); err != nil {
		s.file.Host = before
		return s.failed(fmt.Errorf("results: store the host's fingerprint: %w", s.intact(err)))
	}
	return nil
}

// set changes what a cell has beside its samples.
func (s *Store) set(cell int, apply func(*Cell)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.cell(cell); err != nil {
		return err
	}
	return s.change(cell, func(c *Cell, tx *sql.Tx) error {
		apply(c)
		return updateCell(tx, s.cells[cell], c)
	})
}

// change applies a change to a cell, here and in the store. If that fails the cell is as
// it was.
func (s *Store) change(cell int, apply func(*Cell, *sql.Tx) error) error {
	c := &s.file.Cells[cell]
	before := *c
	if err := inTx(s.db, func(tx *sql.Tx) error { return apply(c, tx) }); err != nil {
		*c = before
		return s.failed(fmt.Errorf("results: store %s: %w", c.Name(), s.intact(err)))
	}
	return s.gone()
}

// Finish sets the run's status and end, makes what lists and comparisons read, writes
// run.json and ends the lock, also when any of that fails.
func (s *Store) Finish(status string) error {
	if !slices.Contains([]string{RunOK, RunFailed, RunInterrupted}, status) {
		return fmt.Errorf("results: run status %q is none of ok, failed, interrupted", status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begun(); err != nil {
		return err
	}
	defer s.end()
	now := time.Now().UTC().Round(0)
	s.file.Run.Finished, s.file.Run.Status = &now, status
	if err := s.finish(); err != nil {
		return s.failed(fmt.Errorf("results: finish the run: %w", s.intact(err)))
	}
	if gone := s.gone(); gone != nil {
		return gone // and run.json does not come into another's folder
	}
	path := filepath.Join(s.dir, FileName)
	if err := replaceFile(path, &s.file, s.stored); err != nil {
		if gone := s.gone(); gone != nil {
			return gone
		}
		err = explainIn(err, s.dir)
		return s.failed(fmt.Errorf("results: write %s: %w: the run is whole in %s all the same: %s, then `ukprobe export --out %s %s@%s`",
			path, err, DatabaseName, makeRoom(err, s.dir, toomany.Advice(err, "put that right")), path, s.dir, s.file.Run.ID))
	}
	return nil
}

// stored reads a cell's samples as they are written.
func (s *Store) stored(cell int) ([]json.RawMessage, error) {
	raw, err := readSamples(s.db, s.cells[cell])
	if n := len(s.file.Cells[cell].Samples); err == nil && n != len(raw) {
		err = notAllFound("samples", n, len(raw))
	}
	return raw, err
}

// finish stores the end of the run: if there is no room for more, at least that.
func (s *Store) finish() error {
	for i := range s.file.Cells {
		s.file.Cells[i].Summary = s.file.Cells[i].Summarize()
	}
	end := func(tx *sql.Tx) error { return updateRun(tx, s.run, &s.file) }
	err := inTx(s.db, func(tx *sql.Tx) error {
		return errors.Join(end(tx), settle(tx, s.run, s.cells, &s.file))
	})
	if err != nil {
		_ = inTx(s.db, end) // the error is told already
	}
	return err
}

// Close ends the lock and leaves the run as it is, still "running". After
// Finish it does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
	return nil
}

// Snapshot returns the run as it stands, with up-to-date summaries. The lists
// of samples are shared with the store and must not be changed.
func (s *Store) Snapshot() *File {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.file
	f.Cells = slices.Clone(f.Cells)
	for i := range f.Cells {
		f.Cells[i].Summary = f.Cells[i].Summarize()
	}
	return &f
}
