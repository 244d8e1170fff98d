// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// hotEnv names the store that a process of the tests is killed in.
const hotEnv = "UKPROBE_TEST_HOT"

// dieInside changes a store so much that SQLite has to write before the commit, and kills
// its own process then.
func dieInside(file string) {
	db, err := sql.Open("sqlite", dsn(file, "rw", nil))
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 5; BEGIN IMMEDIATE; DELETE FROM sample; CREATE TABLE more (x); WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 60) INSERT INTO more SELECT randomblob(4000) FROM n"); err != nil {
		panic(err)
	}
	panic(syscall.Kill(os.Getpid(), syscall.SIGKILL))
}

// hotStore is a folder with a run that ended and one that was killed, and what a writer has
// left that was killed in the midst of a transaction.
func hotStore(t *testing.T, dir string) string {
	t.Helper()
	must(t, mustCreate(t, dir).Finish(RunOK))
	s := addRun(t, dir, "r2")
	must(t, errors.Join(s.AddSample(0, okSample(1)), s.AddSample(1, okSample(2)), s.Close()))
	file := filepath.Join(dir, DatabaseName)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), hotEnv+"="+file)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the writer ended with %v: %s", err, out)
	}
	if err := readOnce(file); !isHot(err) {
		t.Fatalf("no hot journal: %v", err)
	}
	return dir
}

// hotReaders read a store, without changing it.
var hotReaders = map[string]func(t *testing.T, dir string) error{
	"runs": func(t *testing.T, dir string) error {
		list, err := List(dir)
		if err == nil && (len(list) != 2 || list[1].Samples != 2 || list[1].Status != RunKilled) {
			t.Errorf("listed as %+v", list)
		}
		return err
	},
	"load": func(t *testing.T, dir string) error {
		f, err := Load(dir)
		if err == nil && len(f.Cells[0].Samples)+len(f.Cells[1].Samples) != 2 {
			t.Errorf("loaded as %+v", f.Cells)
		}
		return err
	},
	"compare": func(t *testing.T, dir string) error {
		_, _, err := Columns(dir + "@-1")
		return err
	},
	"export": func(t *testing.T, dir string) error {
		return ExportFile(filepath.Join(t.TempDir(), "out.json"), dir)
	},
	"salvage": func(t *testing.T, dir string) error {
		_, err := Salvage(filepath.Join(t.TempDir(), "out.json"), dir)
		return err
	},
	"import from": func(t *testing.T, dir string) error {
		return Import(t.TempDir(), []string{dir}, func(Imported) {})
	},
	"check": func(_ *testing.T, dir string) error { return CheckDir(dir) },
	"resume": func(_ *testing.T, dir string) error {
		s, err := Resume(dir)
		if err != nil {
			return err
		}
		return s.Close()
	},
}

// TestHotJournal: a writer that was killed while it changed the file itself leaves a
// journal that has to be rolled back, by whoever comes next.
func TestHotJournal(t *testing.T) {
	writers := map[string]func(t *testing.T, dir string) error{
		"import into": func(t *testing.T, dir string) error {
			return Import(dir, []string{oldFolder(t)}, func(Imported) {})
		},
		"create": func(t *testing.T, dir string) error { return addRun(t, dir, "r3").Finish(RunOK) },
		"go on": func(_ *testing.T, dir string) error {
			s, err := Resume(dir)
			if err != nil {
				return err
			}
			return errors.Join(s.BeginPart(Part{Started: started}), s.AddSample(0, okSample(3)), s.Finish(RunOK))
		},
	}
	for _, all := range []map[string]func(*testing.T, string) error{hotReaders, writers} {
		for name, do := range all {
			t.Run(name, func(t *testing.T) {
				dir := hotStore(t, t.TempDir())
				must(t, do(t, dir))
				must(t, checkIntegrity(t, dir))
			})
		}
	}
}

// TestHotJournalWhereNobodyWrites reads a copy, of which nothing stays.
func TestHotJournalWhereNobodyWrites(t *testing.T) {
	onTmpfs(t, "8m", func(dir string) {
		hotStore(t, filepath.Join(dir, "hot"))
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Error(err)
			return
		}
		temp := t.TempDir()
		old := os.Getenv("TMPDIR")
		must(t, os.Setenv("TMPDIR", temp))
		defer os.Setenv("TMPDIR", old)
		for name, read := range hotReaders {
			if err := read(t, filepath.Join(dir, "hot")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if left := entries(t, temp); len(left) > 0 {
			t.Errorf("left in the temporary folder: %v", left)
		}
	})
}
