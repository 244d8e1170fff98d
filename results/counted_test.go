// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// blank overwrites the end of an index's root page, where its first entries are: SQLite
// reads them as nothing then, and notices no damage.
func blank(t *testing.T, dir, index string) {
	t.Helper()
	d, err := Open(dir)
	must(t, err)
	var page, size int64
	err = d.db.QueryRow("SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = ?", index).Scan(&page, &size)
	must(t, errors.Join(err, d.Close()))
	f, err := os.OpenFile(filepath.Join(dir, DatabaseName), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 512), page*size-512)
	must(t, errors.Join(err, f.Close()))
}

// TestBlankIndex: nobody takes a run of which an index hides a part for a whole one, and
// salvage has all of it.
func TestBlankIndex(t *testing.T) {
	for index, of := range map[string]string{"sqlite_autoindex_sample_1": "samples", "sqlite_autoindex_cell_1": "cells"} {
		for _, end := range []string{RunOK, RunInterrupted, RunRunning} {
			t.Run(of+" "+end, func(t *testing.T) {
				dir := leftRun(t, false, func(s *Store) error {
					if end == RunRunning {
						return s.Close()
					}
					return s.Finish(end)
				})
				whole := mustLoad(t, dir)
				blank(t, dir, index)
				_, load := Load(dir)
				_, resume := Resume(dir)
				all := map[string]error{
					"load": load, "resume": resume, "export": ExportFile(filepath.Join(t.TempDir(), "out.json"), dir),
					"import": Import(filepath.Join(t.TempDir(), "into"), []string{dir}, func(Imported) {}),
				}
				if of == "cells" || end == RunRunning { // else no sample is touched
					_, _, all["columns"] = Columns(dir)
				}
				for what, err := range all {
					t.Run(what, func(t *testing.T) {
						wantError(t, err, ErrDamaged.Error(), "the run's "+of, "0 are found", "ukprobe export --salvage --out FILE "+dir+"@RUN")
						if n := strings.Count(err.Error(), "--salvage"); n != 1 || strings.Contains(err.Error(), FileName) != lies(filepath.Join(dir, FileName)) {
							t.Errorf("the way out %d times, or by a file that is not there: %v", n, err)
						}
					})
				}
				out := filepath.Join(t.TempDir(), "saved.json")
				lost, err := Salvage(out, dir)
				must(t, err)
				if len(lost) != 1 || !strings.HasPrefix(lost[0], "nothing but an index of the store: ") {
					t.Errorf("told as lost: %q", lost)
				}
				if d := cmp.Diff(whole, mustLoad(t, out)); d != "" {
					t.Errorf("salvaged (-want +got):\n%s", d)
				}
			})
		}
	}
}

// TestBlankRunIndexes: the list of runs goes without the indexes of its table.
func TestBlankRunIndexes(t *testing.T) {
	for _, index := range []string{"sqlite_autoindex_run_1", "run_started"} {
		t.Run(index, func(t *testing.T) {
			dir := t.TempDir()
			must(t, mustCreate(t, dir).Finish(RunOK))
			other := leftRun(t, false, func(s *Store) error { return s.Finish(RunOK) })
			blank(t, dir, index)
			mustLoad(t, dir)
			list, err := List(dir)
			must(t, err)
			if len(list) != 1 {
				t.Errorf("listed: %+v", list)
			}
			f := mustLoad(t, other)
			if got, want := f.Run.ID, list[0].ID; got != want {
				t.Fatalf("the runs are %s and %s", got, want)
			}
			// Another state of the same run is not taken in as a further run.
			err = Import(dir, []string{other}, func(i Imported) {
				if !i.Already && !i.Updated {
					t.Errorf("%+v", i)
				}
			})
			if err != nil && !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			mustLoad(t, dir)
		})
	}
}

// TestHiddenWhileWritten: while a run is written, whoever reads it finds all that there is.
func TestHiddenWhileWritten(t *testing.T) {
	dir := t.TempDir()
	must(t, mustCreate(t, dir).Finish(RunOK))
	s := addRun(t, dir, "r2")
	defer s.Close()
	for i := range 5 {
		must(t, s.AddSample(i%2, okSample(int64(i+1))))
		f := mustLoad(t, dir+"@r2")
		_, cells, err := Columns(dir + "@r2")
		must(t, err)
		if got := fmt.Sprint(countsOf(f).Samples, cells[0].Counts.Samples+cells[1].Counts.Samples); got != fmt.Sprint(i+1, i+1) {
			t.Errorf("after %d samples: %s", i+1, got)
		}
		mustLoad(t, dir+"@r1")
	}
}

// TestBlankRow: a row of which nothing is left, or that is missing, is damage too.
func TestBlankRow(t *testing.T) {
	for name, damage := range map[string]string{
		"the run's id":  "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'TEXT NOT NULL UNIQUE', 'TEXT UNIQUE') WHERE name = 'run'",
		"the run's row": "DELETE FROM run_text",
	} {
		t.Run(name, func(t *testing.T) {
			dir := leftRun(t, false, func(s *Store) error { return s.Finish(RunOK) })
			path := filepath.Join(dir, DatabaseName)
			inDatabase(t, path, damage)
			if strings.HasPrefix(damage, "PRAGMA") { // as the table is read anew
				inDatabase(t, path, "UPDATE run SET id = NULL")
			}
			_, load := Load(dir)
			_, salvage := Salvage(filepath.Join(t.TempDir(), "saved.json"), dir)
			for what, err := range map[string]error{"load": load, "salvage": salvage} {
				t.Run(what, func(t *testing.T) { wantError(t, err, path, ErrDamaged.Error()) })
			}
		})
	}
}
