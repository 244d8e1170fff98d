// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/internal/toomany"
)

var (
	// ErrExists says that the run already has a journal, live or left behind.
	ErrExists = errors.New("journal already exists")
	// ErrLeft says that host changes are still in place.
	ErrLeft = errors.New("host changes left in place")
)

const suffix = ".journal"

// runIDs become file names and namespace names.
var validRunID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Journal is the open journal of one run. Its methods may be called from
// several goroutines.
type Journal struct {
	mu      sync.Mutex
	f       *os.File
	path    string
	run     string
	entries []Entry
	size    int64 // bytes of whole lines in f
}

// Open makes the journal of a new run and locks it. It needs write access to
// dir, which it makes when missing. A run ID in use gives ErrExists.
func Open(dir, runID string) (*Journal, error) {
	if !validRunID.MatchString(runID) {
		return nil, fmt.Errorf("open journal: run ID %q: want 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit", runID)
	}
	j := &Journal{path: filepath.Join(dir, runID+suffix), run: runID}
	// Another run's Close may remove the empty directory between our steps,
	// and a cleaner may take our file for a leftover before it is locked.
	var err error
	for range 10 {
		if err = j.create(dir); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
	}
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("open journal %s: %w: %s", j.path, ErrExists, whoHas(j.path))
	}
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w: %s", j.path, err, toomany.Advice(err, "run as root, or choose another journal directory"))
	}
	return j, nil
}

// create writes and locks the file under a temporary name and links it to its
// own name only then, so that no one ever sees an unlocked or headless journal.
func (j *Journal) create(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+j.run+".*.new")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	j.f, j.size = f, 0
	if err := j.establish(); err != nil {
		_ = f.Close()
		return err
	}
	return nil
}

func (j *Journal) establish() error {
	if err := unix.Flock(int(j.f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	me, err := self()
	if err != nil {
		return err
	}
	if err := j.append(line{Op: opOpen, Version: formatVersion, Run: j.run, owner: &me}); err != nil {
		return err
	}
	if err := os.Link(j.f.Name(), j.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(j.path))
}

// Path is the journal's file.
func (j *Journal) Path() string { return j.path }

// RunID is the run the journal belongs to.
func (j *Journal) RunID() string { return j.run }

// Entries gives a copy of what is in place now, oldest first.
func (j *Journal) Entries() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := slices.Clone(j.entries)
	for i := range out {
		out[i].Data = maps.Clone(out[i].Data)
	}
	return out
}

// Record writes e down, to disk, before the change is made. When it fails the
// change must not be made. Recording the same kind and name again replaces the
// entry's data (a pid known only later) and keeps its place in the order.
func (j *Journal) Record(e Entry) error {
	if e.Kind == "" || e.Name == "" {
		return fmt.Errorf("journal %s: an entry needs a kind and a name, got %q %q", j.path, e.Kind, e.Name)
	}
	e.Data = maps.Clone(e.Data)
	return j.write(opAdd, e)
}

// Forget writes down that e was undone. Forgetting what is not there is no error.
func (j *Journal) Forget(e Entry) error {
	e.Data = nil
	return j.write(opDel, e)
}

func (j *Journal) write(o op, e Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil {
		return fmt.Errorf("journal %s: %s %s: already closed", j.path, o, e)
	}
	if err := j.append(line{Op: o, Entry: &e}); err != nil {
		return fmt.Errorf("journal %s: %s %s: %w", j.path, o, e, err)
	}
	j.entries = change(j.entries, o, e)
	return nil
}

// append writes one line and syncs it. A line that could not be written whole
// is cut off again, so that the next one does not run into it.
func (j *Journal) append(l line) error {
	b, err := l.encode()
	if err != nil {
		return err
	}
	if _, err = j.f.WriteAt(b, j.size); err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		return errors.Join(err, j.f.Truncate(j.size))
	}
	j.size += int64(len(b))
	return nil
}

// Close ends the journal. With nothing left in place the file is removed;
// otherwise it stays for `ukprobe clean` and the error wraps ErrLeft.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil {
		return nil
	}
	var err error
	if len(j.entries) == 0 {
		err = j.remove()
	} else {
		err = errors.Join(
			fmt.Errorf("journal %s: %w: %v: run `ukprobe clean`", j.path, ErrLeft, j.entries),
			j.append(line{Op: opClose}))
	}
	err = errors.Join(err, j.f.Close())
	j.f = nil
	return err
}

// remove unlinks the file while the lock is still held, then the default
// directory if that was the last journal in it.
func (j *Journal) remove() error {
	if err := os.Remove(j.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if dir := filepath.Dir(j.path); dir == DefaultDir {
		_ = os.Remove(dir) // fails, rightly, while other runs have journals there
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// whoHas says, for an error, whose journal is at path.
func whoHas(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if c := parse(raw); !c.closed && c.owner.alive() {
		return fmt.Sprintf("in use by pid %d: choose another run ID", c.owner.PID)
	}
	return "left by a run that ended: run `ukprobe clean`"
}
