// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Names of the files in a run's directory.
const (
	FileName    = "run.json"
	JournalName = "samples.jsonl"
	tempName    = ".run.json.tmp"
)

// Store writes one run into one directory. When a method has returned, what it
// stored survives a kill -9 and a loss of power.
//
// run.json is replaced as a whole: temporary file, fsync, rename, fsync of the
// directory. Up to 4 MiB, some hundred samples, that happens after every
// sample. It costs 1 to 8 ms there, but 100 ms at 15,000 samples (95 MB; ext4
// on a virtual disk), which would disturb what is being measured. So above 4
// MiB it happens only when twenty times the last rewrite's duration has gone
// by, and a sample in between is one fsync'd line (0.3 ms) in samples.jsonl.
// Load reads both. After Finish only run.json is left.
//
// A Store may be used by several goroutines.
type Store struct {
	mu      sync.Mutex
	dir     string
	dirFile *os.File // holds the lock
	file    File
	enc     encoded
	stale   map[int]bool // cells whose encoding is older than their content
	journal journal

	size        int64 // of run.json
	rewrittenAt time.Time
	rewriteTook time.Duration
	alwaysBelow int64 // size up to which every change rewrites run.json
}

const (
	rewriteAlwaysBelow = 4 << 20 // bytes
	rewriteShare       = 20      // at most one twentieth of the time goes into rewriting
)

// errClosed is returned by every method after Finish or Close.
var errClosed = errors.New("results: the store is closed")

// Create makes dir, which must not exist or be empty, locks it against other
// writers and writes a first run.json. Cells without a status start as
// "skipped: not started".
func Create(dir string, head Run, host Host, cells []Cell) (*Store, error) {
	s := &Store{dir: dir, stale: map[int]bool{}, alwaysBelow: rewriteAlwaysBelow}
	if err := s.lock(); err != nil {
		return nil, err
	}
	if err := s.init(head, host, cells); err != nil {
		s.unlock()
		return nil, err
	}
	return s, nil
}

// CheckDir says, without touching anything, why Create would not take dir: it holds
// something already. A dir that is not there is fine.
func CheckDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("results: look into %s: %w: choose another directory", dir, err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return notEmpty(dir, names)
}

func (s *Store) lock() error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("results: create the run's directory: %w: choose another directory", err)
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	names, err := s.dirFile.Readdirnames(-1)
	if err == nil && len(names) > 0 {
		err = notEmpty(s.dir, names)
	} else if err != nil {
		err = fmt.Errorf("results: list %s: %w", s.dir, err)
	}
	if err != nil {
		s.unlock()
	}
	return err
}

// takeLock locks the directory against other writers.
func (s *Store) takeLock() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return fmt.Errorf("results: open the run's directory: %w", err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		d.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("results: another ukprobe is writing its run into %s: wait for it or choose another directory", s.dir)
		}
		return fmt.Errorf("results: lock %s: %w", s.dir, err)
	}
	s.dirFile = d
	return nil
}

func notEmpty(dir string, names []string) error {
	if slices.Contains(names, FileName) {
		return fmt.Errorf("results: %s already holds a run (%s): choose another directory or remove it", dir, FileName)
	}
	slices.Sort(names)
	return fmt.Errorf("results: %s is not empty (it holds %q): choose another directory", dir, names[0])
}

func (s *Store) unlock() {
	if s.dirFile != nil {
		s.dirFile.Close() // ends the lock
		s.dirFile = nil
	}
}

func (s *Store) init(head Run, host Host, cells []Cell) error {
	head.normalize()
	host.normalize()
	s.file = File{Format: Format, FormatVersion: FormatVersion, Run: head, Host: host, Cells: slices.Clone(cells)}
	s.enc.cells = make([]encodedCell, len(cells))
	s.journal.path = filepath.Join(s.dir, JournalName)
	for i := range s.file.Cells {
		c := &s.file.Cells[i]
		if len(c.Samples) > 0 {
			return fmt.Errorf("results: cell %s already has samples: add them with AddSample", c.Name())
		}
		if c.Status == "" {
			c.Status, c.Reason = c.derivedStatus()
		}
		c.Samples, c.Argv = []Sample{}, orEmpty(c.Argv)
		s.stale[i] = true
	}
	if err := s.rewrite(); err != nil {
		return fmt.Errorf("results: write the run's first %s: %w: choose another directory", FileName, err)
	}
	return nil
}

// Name names a cell for people: system/app on platform, how its guests start if that
// is not as by default (accelerator, probes unless that is boot).
func (c *Cell) Name() string {
	name := c.System + "/" + c.App + " on " + c.Platform
	if c.Experiment != "" && c.Experiment != "boot" {
		name += ", " + c.Experiment
	}
	for _, word := range c.Variant().Words() {
		name += ", " + word
	}
	var how []string
	if c.Accel != "" && c.Accel != "none" {
		how = append(how, c.Accel)
	}
	if c.Probes != "" && c.Probes != ProbesBoot {
		how = append(how, "probes "+c.Probes)
	}
	if len(how) > 0 {
		name += " (" + strings.Join(how, ", ") + ")"
	}
	return name
}

func (s *Store) cell(i int) (*Cell, error) {
	if s.dirFile == nil {
		return nil, errClosed
	}
	if i < 0 || i >= len(s.file.Cells) {
		return nil, fmt.Errorf("results: no cell %d: the run has %d", i, len(s.file.Cells))
	}
	return &s.file.Cells[i], nil
}

// AddSample stores one finished sample of a cell. Until SetCellStatus is
// called, the cell's status follows from its samples. Values that are not
// finite and phases that are not positive are stored as missing. On an error,
// such as a full disk, the sample is not stored and what was stored before
// stays readable; AddSample may be called again.
func (s *Store) AddSample(cell int, sample Sample) error {
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
	entry := &journalEntry{Cell: cell, N: len(c.Samples), Sample: line}
	return s.change(cell, entry, func(c *Cell) { c.addSample(sample) })
}

// addSample appends a sample. A status that followed from the samples before
// follows from all of them now; one that was set stays.
func (c *Cell) addSample(s Sample) {
	status, reason := c.derivedStatus()
	derived := c.Status == status && c.Reason == reason
	c.Samples = append(c.Samples, s)
	if derived {
		c.Status, c.Reason = c.derivedStatus()
	}
}

// derivedStatus is the status that follows from the cell's samples that count.
func (c *Cell) derivedStatus() (status, reason string) {
	ok, last := 0, ""
	standing := c.Standing()
	for _, i := range standing {
		if c.Samples[i].Status == SampleOK {
			ok++
		} else {
			last = c.Samples[i].outcome()
		}
	}
	switch n := len(standing); {
	case n == 0:
		return CellSkipped, "not started"
	case ok == n:
		return CellOK, ""
	case ok > 0:
		return CellOK, fmt.Sprintf("%d of %d samples not ok, the last one: %s", n-ok, n, last)
	default:
		return CellFailed, last
	}
}

// outcome says in words what became of a sample that is not ok.
func (s *Sample) outcome() string {
	switch {
	case s.Reason == "":
		return s.Status
	case s.Status == SampleFailed:
		return s.Reason
	}
	return s.Status + ": " + s.Reason
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

// SetCellImage sets the file that a cell boots.
func (s *Store) SetCellImage(cell int, image Image) error {
	return s.set(cell, func(c *Cell) { c.Image = &image })
}

// SetCellAccel sets the accelerator that a cell really ran under.
func (s *Store) SetCellAccel(cell int, accel string) error {
	return s.set(cell, func(c *Cell) { c.Accel = accel })
}

// SetCellStopped says why a cell has no more samples.
func (s *Store) SetCellStopped(cell int, why Stopped) error {
	return s.set(cell, func(c *Cell) { c.Stopped = &why })
}

// SetCellLimit sets the time limit that was learnt for a cell.
func (s *Store) SetCellLimit(cell int, l Limit) error {
	return s.set(cell, func(c *Cell) { c.Limit = &l })
}

// Cell returns a cell as it stands, without its summary. The lists are shared with the
// store and must not be changed.
func (s *Store) Cell(i int) Cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file.Cells[i]
}

// SetCellHistograms sets the final state of a cell's native histograms.
func (s *Store) SetCellHistograms(cell int, hs []Histogram) error {
	return s.set(cell, func(c *Cell) { c.Histograms = slices.Clone(hs) })
}

// SetHost replaces the host's fingerprint, for what is only known after the
// first sample.
func (s *Store) SetHost(host Host) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirFile == nil {
		return errClosed
	}
	host.normalize()
	before := s.file.Host
	s.file.Host = host
	if err := s.rewrite(); err != nil {
		s.file.Host = before
		return fmt.Errorf("results: store the host's fingerprint: %w: what was stored before is intact in %s", err, s.dir)
	}
	return nil
}

// set changes a cell and rewrites run.json: only samples go into the journal,
// where the order of entries and rewrites cannot confuse them.
func (s *Store) set(cell int, apply func(*Cell)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.cell(cell); err != nil {
		return err
	}
	return s.change(cell, nil, apply)
}

// change applies a change to a cell and makes it durable: in run.json or, where
// rewriting that is not due, as an entry of the journal. If that fails the cell
// is as it was.
func (s *Store) change(cell int, entry *journalEntry, apply func(*Cell)) error {
	c, enc := &s.file.Cells[cell], &s.enc.cells[cell]
	before, encBefore := *c, *enc
	apply(c)
	if entry != nil {
		enc.samples = append(enc.samples, entry.Sample)
	}
	s.stale[cell] = true
	var err error
	if entry == nil || s.due() {
		err = s.rewrite()
	} else {
		err = s.journal.append(*entry)
	}
	if err != nil {
		*c, *enc = before, encBefore
		s.stale[cell] = true
		return fmt.Errorf("results: store %s: %w: make room or look at the disk; what was stored before is intact in %s",
			c.Name(), err, s.dir)
	}
	return nil
}

func (s *Store) due() bool {
	return s.size < s.alwaysBelow || time.Since(s.rewrittenAt) >= rewriteShare*s.rewriteTook
}

// Finish sets the run's status and end, writes run.json for the last time and
// ends the lock, also when the writing fails.
func (s *Store) Finish(status string) error {
	if !slices.Contains([]string{RunOK, RunFailed, RunInterrupted}, status) {
		return fmt.Errorf("results: run status %q is none of ok, failed, interrupted", status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirFile == nil {
		return errClosed
	}
	now := time.Now().UTC().Round(0)
	s.file.Run.Finished, s.file.Run.Status = &now, status
	err := s.rewrite()
	if err == nil {
		err = s.journal.remove()
	} else {
		s.journal.close()
	}
	s.unlock()
	if err != nil {
		return fmt.Errorf("results: finish the run in %s: %w: every sample stored before is intact", s.dir, err)
	}
	return nil
}

// Close ends the lock and leaves the run as it is, still "running". After
// Finish it does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.close()
	s.unlock()
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
