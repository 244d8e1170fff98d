// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// UndoError is an entry that could not be undone, and why. Entry is zero when
// the journal itself is what cannot be read.
type UndoError struct {
	Entry Entry
	Err   error
}

func (f UndoError) Error() string {
	if f.Entry.Kind == "" {
		return f.Err.Error()
	}
	return fmt.Sprintf("undo %s: %v", f.Entry, f.Err)
}

// RunReport says what became of one journal.
type RunReport struct {
	Path     string
	RunID    string
	OwnerPID int    // who made it; 0 when the journal does not say
	InUse    string // "in use by pid N" for a live run, whose journal was left alone
	Undone   []Entry
	Left     []UndoError // somebody else has changed it since: left alone, and no longer in the journal
	Failed   []UndoError // still in place, and still in the journal
}

// Report is the outcome of Clean or Rollback.
type Report struct{ Runs []RunReport }

// Err joins every failure; nil when nothing that should be gone is left.
func (r Report) Err() error {
	var errs []error
	for _, run := range r.Runs {
		for _, f := range run.Failed {
			errs = append(errs, fmt.Errorf("run %s: %w", run.RunID, errors.New(f.Error())))
		}
	}
	return errors.Join(errs...)
}

// String has one line for each thing found.
func (r Report) String() string {
	var b strings.Builder
	for _, run := range r.Runs {
		if run.InUse != "" {
			fmt.Fprintf(&b, "run %s: %s\n", run.RunID, run.InUse)
		}
		for _, e := range run.Undone {
			fmt.Fprintf(&b, "run %s: %s %s\n", run.RunID, e.undone(), e)
		}
		for _, l := range run.Left {
			fmt.Fprintf(&b, "run %s: %s: %v\n", run.RunID, l.Entry, l.Err)
		}
		for _, f := range run.Failed {
			fmt.Fprintf(&b, "run %s: %s\n", run.RunID, f.Error())
		}
	}
	return b.String()
}

// Clean undoes what every run in dir left whose owner is dead: the run that began last
// first, as it may have changed what an earlier one had left, and of each the newest entry
// first. It goes on past failures; each is in the report, and stays in its
// journal for the next try. Journals of live owners are reported and left
// alone. The error is nil when nothing that should be gone is left.
func Clean(ctx context.Context, dir string, undo map[Kind]Undoer) (Report, error) {
	return clean(ctx, dir, undo, func(Entry) bool { return true })
}

// CleanKind is Clean of the entries of one kind, in the folder of this journal: what a run
// must have put back before it notes what it finds. The report has no live runs.
func (j *Journal) CleanKind(ctx context.Context, kind Kind, undo Undoer) (Report, error) {
	r, err := clean(ctx, filepath.Dir(j.path), map[Kind]Undoer{kind: undo}, func(e Entry) bool { return e.Kind == kind })
	r.Runs = slices.DeleteFunc(r.Runs, func(run RunReport) bool { return run.InUse != "" })
	return r, err
}

func clean(ctx context.Context, dir string, undo map[Kind]Undoer, which func(Entry) bool) (Report, error) {
	var r Report
	names, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*"+suffix))
	if err != nil {
		return r, fmt.Errorf("clean %s: %w", dir, err)
	}
	if _, err := os.ReadDir(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return r, fmt.Errorf("clean: %w: run as root", err)
	}
	for _, path := range newestFirst(names) {
		if run, ok := cleanOne(ctx, path, undo, which); ok {
			r.Runs = append(r.Runs, run)
		}
	}
	removeStillborn(dir)
	return r, r.Err()
}

// newestFirst orders journals by when their owners were started, in this boot; what an
// earlier boot left is in no order.
func newestFirst(paths []string) []string {
	if len(paths) < 2 {
		return paths // most often: then each is read but once
	}
	start := map[string]uint64{}
	for _, path := range paths {
		f, err := openTrusted(path)
		if err != nil {
			continue // cleanOne says it
		}
		if raw, err := io.ReadAll(f); err == nil {
			if c := parse(raw); c.owner.Boot == bootID() {
				start[path] = c.owner.Start
			}
		}
		_ = f.Close()
	}
	slices.SortStableFunc(paths, func(a, b string) int { return cmp.Compare(start[b], start[a]) })
	return paths
}

// cleanOne cleans one journal; false when it vanished meanwhile, cleaned by its
// owner or by another cleaner.
func cleanOne(ctx context.Context, path string, undo map[Kind]Undoer, which func(Entry) bool) (RunReport, bool) {
	run := RunReport{Path: path, RunID: strings.TrimSuffix(filepath.Base(path), suffix)}
	fail := func(err error) (RunReport, bool) {
		run.Failed = append(run.Failed, UndoError{Err: fmt.Errorf("journal %s: %w", path, err)})
		return run, true
	}
	f, err := openTrusted(path)
	if errors.Is(err, os.ErrNotExist) {
		return run, false
	}
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	lockErr := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	raw, err := io.ReadAll(f)
	if err != nil {
		return fail(err)
	}
	c := parse(raw)
	run.OwnerPID = c.owner.PID
	if run.InUse = inUse(c, lockErr); run.InUse != "" {
		return run, true
	}
	if lockErr != nil {
		return fail(fmt.Errorf("lock: %w", lockErr))
	}
	if !samePlace(f, path) {
		return run, false
	}
	j := &Journal{f: f, path: path, run: run.RunID, entries: c.entries, size: c.size}
	j.rollback(ctx, undo, which, &run)
	for _, bad := range c.bad {
		fail(fmt.Errorf("%w: look at the file, then remove it", bad))
	}
	if len(run.Failed) == 0 && len(j.entries) == 0 {
		if err := j.remove(); err != nil {
			return fail(err)
		}
	}
	return run, true
}

// maxJournal is more than any run writes: a line per tap and cgroup of a sample.
const maxJournal = 256 << 20

// openTrusted opens a journal that only root or oneself can have written: clean
// ends processes and removes folders on its word.
func openTrusted(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, errors.New("is a symbolic link: ukprobe makes none: look at it, then remove it")
	}
	if err != nil {
		return nil, err
	}
	for _, look := range []func() (os.FileInfo, error){f.Stat, func() (os.FileInfo, error) { return os.Stat(filepath.Dir(path)) }} {
		if err := trusted(look); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

func trusted(look func() (os.FileInfo, error)) error {
	info, err := look()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() && !info.IsDir() {
		return errors.New("is not a regular file: ukprobe makes no others: look at it, then remove it")
	}
	if info.Mode().IsRegular() && info.Size() > maxJournal {
		return fmt.Errorf("is %d bytes long, more than any run writes: look at it, then remove it", info.Size())
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user: what it says is not done", info.Name())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by others (mode %v): what it says is not done", info.Name(), info.Mode().Perm())
	}
	return nil
}

// inUse says who has the journal, "" when it may be cleaned. The lock is the
// proof of life that holds across pid namespaces; pid and start time are the
// one that holds where the lock was lost.
func inUse(c content, lockErr error) string {
	locked := errors.Is(lockErr, unix.EWOULDBLOCK)
	switch {
	case c.owner.alive() && (locked || !c.closed):
		return fmt.Sprintf("in use by pid %d", c.owner.PID)
	case locked:
		return "in use by another process (a `ukprobe clean` at work, or a run in another pid namespace)"
	}
	return ""
}

// samePlace tells whether path still is the file f: another cleaner may have
// removed it between our open and our lock.
func samePlace(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// Rollback undoes, newest first, everything this journal still holds. It goes
// on past failures; what failed stays in the journal. The error is nil when
// nothing is left.
func (j *Journal) Rollback(ctx context.Context, undo map[Kind]Undoer) (Report, error) {
	run := RunReport{Path: j.path, RunID: j.run, OwnerPID: os.Getpid()}
	j.rollback(ctx, undo, func(Entry) bool { return true }, &run)
	r := Report{Runs: []RunReport{run}}
	return r, r.Err()
}

func (j *Journal) rollback(ctx context.Context, undo map[Kind]Undoer, which func(Entry) bool, run *RunReport) {
	entries := j.Entries()
	slices.Reverse(entries)
	for _, e := range entries {
		if !which(e) {
			continue
		}
		err := undoOne(ctx, undo, e)
		switch {
		case err == nil:
			run.Undone = append(run.Undone, e)
			err = j.Forget(e)
		case errors.Is(err, ErrNotOurs):
			run.Left = append(run.Left, UndoError{Entry: e, Err: err})
			err = j.Forget(e)
		}
		if err != nil {
			run.Failed = append(run.Failed, UndoError{Entry: e, Err: err})
		}
	}
}

func undoOne(ctx context.Context, undo map[Kind]Undoer, e Entry) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not tried: %w", err)
	}
	u := undo[e.Kind]
	if u == nil {
		return fmt.Errorf("this ukprobe does not know how to undo a %q: use the ukprobe that made it", e.Kind)
	}
	return u(ctx, e)
}

// stillbornAge keeps Clean off the temporary file of a run that is just opening
// its journal.
const stillbornAge = 10 * time.Second

// removeStillborn removes what runs left that were killed inside Open, before
// they changed anything; then the default directory if it is empty.
func removeStillborn(dir string) {
	names, _ := filepath.Glob(filepath.Join(escapeGlob(dir), ".*.new"))
	for _, name := range names {
		if fi, err := os.Lstat(name); err == nil && fi.Mode().IsRegular() && time.Since(fi.ModTime()) > stillbornAge {
			_ = os.Remove(name)
		}
	}
	if dir == DefaultDir {
		_ = os.Remove(dir)
	}
}

// escapeGlob makes a directory's name stand for itself in a glob pattern.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
