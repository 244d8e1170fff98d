// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrGone says that a run's store was taken away while the run was written: SQLite goes on
// with a file that nobody finds any more.
var ErrGone = errors.New("the run's store was taken away while the run was written")

// gone says why the store that is open is not what its path leads to, and what became of
// it; nil if all is well, or nothing is open yet.
func (s *Store) gone() error {
	if s.db == nil || s.opened == nil {
		return nil
	}
	path := filepath.Join(s.dir, DatabaseName)
	why := s.other(path)
	if why == "" {
		return nil
	}
	run := s.file.Run.ID
	// The lock is on the folder itself, wherever it is now.
	if at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", s.lock.Fd())); err == nil && s.other(filepath.Join(at, DatabaseName)) == "" {
		return fmt.Errorf("results: %w: %s is %s now: what was stored is intact there; `ukprobe run --resume %s@%s` goes on", ErrGone, s.dir, at, at, run)
	}
	n := 0
	for i := range s.file.Cells {
		n += len(s.file.Cells[i].Samples)
	}
	advice := fmt.Sprintf("if the file or its folder was only moved, move it back (with its -wal, if there is one) and `ukprobe run --resume %s@%s` goes on; else begin the run anew", s.dir, run)
	if _, err := os.Lstat(path); err == nil {
		advice = "begin the run anew in another folder"
	}
	return fmt.Errorf("results: %w: %s %s: the %d samples of run %s are lost, and so are the other runs it had: %s", ErrGone, path, why, n, run, advice)
}

// other says why what is at path is not the file that is open, whole: it only ever grows.
func (s *Store) other(path string) string {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is not there any more"
	case err != nil:
		return "" // that it is gone is not known
	case !os.SameFile(st, s.opened):
		return "is another file now"
	case st.Size() < s.opened.Size():
		return fmt.Sprintf("was cut off, from %d bytes to %d", s.opened.Size(), st.Size())
	}
	s.opened = st
	return ""
}
