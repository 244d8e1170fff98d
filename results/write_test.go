// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func writes(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

// TestWriteFile: links stay links, a mode stays as it is, and nothing is left behind but
// what another writer is at.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "a"), filepath.Join(t.TempDir(), "link")
	must(t, os.WriteFile(file, []byte("before"), 0o600))
	must(t, os.Symlink(file, link))
	stale, recent := filepath.Join(dir, ".a.tmp"), filepath.Join(dir, ".a.0123.tmp")
	must(t, errors.Join(os.WriteFile(stale, nil, 0o600), os.WriteFile(recent, nil, 0o600)))
	must(t, os.Chtimes(stale, time.Time{}, time.Now().Add(-2*time.Hour)))
	must(t, WriteFile(link, writes("after")))
	data, err := os.ReadFile(file)
	must(t, err)
	st, err := os.Stat(file)
	must(t, err)
	if string(data) != "after" || st.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v", data, st.Mode())
	}
	if st, err := os.Lstat(link); err != nil || st.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link: %v, %v", st, err)
	}
	if d := cmp.Diff([]string{".a.0123.tmp", "a"}, entries(t, dir)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	must(t, os.Remove(file))
	wantError(t, WriteFile(link, writes("")), "a link to what is not there")
	wantError(t, WriteFile(dir, writes("")), "it is a folder")
}

// TestWriteFileToPipe: what is no regular file is written to, and not replaced.
func TestWriteFileToPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	r, err := os.OpenFile(pipe, os.O_RDWR, 0) // opened to write too: nobody waits
	must(t, err)
	defer r.Close()
	run := leftRun(t, false, func(s *Store) error { return s.Finish(RunOK) })
	must(t, WriteFile(pipe, writes("text")))
	text := make([]byte, 4)
	if _, err := io.ReadFull(r, text); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	null := filepath.Join(dir, "null")
	must(t, os.Symlink("/dev/null", null))
	must(t, errors.Join(WriteFile(null, writes("text")), ExportFile(null, run), ExportFile(pipe, run)))
	if st, err := os.Stat("/dev/null"); err != nil || st.Mode().Type() != os.ModeDevice|os.ModeCharDevice {
		t.Fatalf("/dev/null: %v, %v", st, err)
	}
	if d := cmp.Diff([]string{"null", "pipe"}, entries(t, dir)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestWriteFileKeepsResults: neither a store nor a run's file is replaced, by whatever name.
func TestWriteFileKeepsResults(t *testing.T) {
	dir := leftRun(t, false, func(s *Store) error { return s.Finish(RunOK) })
	other, link := filepath.Join(dir, "one.json"), filepath.Join(t.TempDir(), "link")
	must(t, ExportFile(other, dir))
	must(t, copyFile(filepath.Join(dir, "copy"), filepath.Join(dir, DatabaseName)))
	must(t, os.Symlink(filepath.Join(dir, DatabaseName), link))
	for path, want := range map[string]string{
		filepath.Join(dir, DatabaseName): "it is a database",
		filepath.Join(dir, "copy"):       "it is a database",
		link:                             "it is a database",
		filepath.Join(dir, FileName):     "it is a run's file",
		other:                            "it is a run's file",
	} {
		wantError(t, WriteFile(path, writes("report")), want)
	}
	mustLoad(t, dir)
	mustLoad(t, other)
}

// TestExportTakesTheLock of a store whose run.json it writes.
func TestExportTakesTheLock(t *testing.T) {
	dir := leftRun(t, false, func(s *Store) error { return s.Finish(RunOK) })
	path := filepath.Join(dir, FileName)
	lock, err := lockDir(dir)
	must(t, err)
	wantError(t, ExportFile(path, dir), "another ukprobe is writing")
	must(t, ExportFile(filepath.Join(dir, "one.json"), dir))
	must(t, lock.Close())
	must(t, os.Remove(path))
	must(t, ExportFile(path, dir))
	_, err = Salvage(path, dir)
	must(t, err)
}
