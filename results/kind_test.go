// SPDX-License-Identifier: Apache-2.0

package results

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everyOpening is what every way to a store says of it.
func everyOpening(dir, other string) map[string]error {
	_, load := Load(dir)
	_, file := Load(filepath.Join(dir, DatabaseName))
	_, _, columns := Columns(dir)
	_, list := List(dir)
	_, resume := Resume(dir)
	_, create := Create(dir, Run{ID: "r9", Started: started}, Host{}, testCells())
	_, salvage := Salvage(filepath.Join(other, "saved.json"), dir)
	return map[string]error{
		"load": load, "load the file": file, "columns": columns, "list": list, "resume": resume, "create": create,
		"check": CheckDir(dir), "salvage": salvage, "export": ExportFile(filepath.Join(other, "out.json"), dir),
		"import from": Import(filepath.Join(other, "into"), []string{dir}, func(Imported) {}),
		"import into": Import(dir, []string{other}, func(Imported) {}),
	}
}

// TestNoFile: what is at the store's name and no file of its own is told by everybody, and
// nobody follows or makes anything.
func TestNoFile(t *testing.T) {
	store := leftRun(t, false, func(s *Store) error { return s.Finish(RunInterrupted) })
	before := mustLoad(t, store)
	for name, tt := range map[string]struct {
		make func(path string) error
		want string
	}{
		"folder":           {func(p string) error { return os.Mkdir(p, 0o755) }, "is a folder"},
		"FIFO":             {func(p string) error { return syscall.Mkfifo(p, 0o644) }, "is a FIFO"},
		"device":           {func(p string) error { return syscall.Mknod(p, syscall.S_IFCHR|0o644, 1<<8|3) }, "is a device"},
		"link to a store":  {func(p string) error { return os.Symlink(filepath.Join(store, DatabaseName), p) }, "is a link to " + filepath.Join(store, DatabaseName)},
		"dangling link":    {func(p string) error { return os.Symlink("nowhere.db", p) }, "is a link to nowhere.db, which is not there"},
		"link to a folder": {func(p string) error { return os.Symlink(store, p) }, "is a link to " + store},
		"link loop":        {func(p string) error { return os.Symlink(DatabaseName, p) }, "is a link to " + DatabaseName + ", which leads nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, DatabaseName)
			if err := tt.make(path); err != nil {
				t.Skipf("needs to make a %s: %v", name, err)
			}
			for what, err := range everyOpening(dir, t.TempDir()) {
				t.Run(what, func(t *testing.T) {
					if what == "load the file" && (name == "folder" || name == "link to a folder") {
						return // that is a results folder with this name
					}
					wantError(t, err, path+" "+tt.want)
				})
			}
			if d := cmp.Diff([]string{DatabaseName}, entries(t, dir)); d != "" {
				t.Errorf("made beside it (-want +got):\n%s", d)
			}
		})
	}
	if d := cmp.Diff(before, mustLoad(t, store)); d != "" {
		t.Errorf("the store that a link led to was changed (-was +is):\n%s", d)
	}
}

// TestNotEvenBegun: a file of no bytes and a journal are left by a kill -9 at the start.
func TestNotEvenBegun(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, DatabaseName)
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.WriteFile(path+"-journal", make([]byte, 512), 0o600))
	for what, do := range map[string]func() error{
		"load":          func() error { _, err := Load(dir); return err },
		"load the file": func() error { _, err := Load(path); return err },
		"columns":       func() error { _, _, err := Columns(dir); return err },
		"list":          func() error { _, err := List(dir); return err },
		"resume":        func() error { _, err := Resume(dir); return err },
		"salvage":       func() error { _, err := Salvage(filepath.Join(other, "saved.json"), dir); return err },
		"import":        func() error { return Import(filepath.Join(other, "into"), []string{dir}, func(Imported) {}) },
	} {
		t.Run(what, func(t *testing.T) { wantError(t, do(), path+" is empty: its writer was killed before it began") })
	}
	must(t, mustCreate(t, dir).Finish(RunOK))
	mustLoad(t, dir)
}
