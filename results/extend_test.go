// SPDX-License-Identifier: Apache-2.0

package results

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/plainjson"
)

// goOn resumes a folder's run, takes samples of cell 0 and ends.
func goOn(t *testing.T, dir string, after time.Duration, totals []int64, end func(*Store) error) {
	t.Helper()
	s, err := Resume(dir)
	must(t, err)
	must(t, s.BeginPart(Part{Started: started.Add(after), Argv: []string{"again"}}))
	for _, total := range totals {
		must(t, s.AddSample(0, okSample(total)))
	}
	must(t, end(s))
}

// TestImportOfAnotherState: of a run that is there already, what only goes further takes
// its place, what it goes on from leaves it as it is, and what has parted is refused. Each
// time the store is as it was, or as the source.
func TestImportOfAnotherState(t *testing.T) {
	finish := func(s *Store) error { return s.Finish(RunOK) }
	interrupted := func(s *Store) error { return s.Finish(RunInterrupted) }
	for name, tt := range map[string]struct {
		leave          func(*Store) error // the run, before it is copied
		here, there    func(t *testing.T, dir string)
		samples, after int // of the imported run, and of the store's afterwards
		updated        bool
		err            string
	}{
		"killed, resumed elsewhere": {(*Store).Close, nil,
			func(t *testing.T, dir string) { goOn(t, dir, time.Hour, []int64{7, 8}, finish) }, 7, 7, true, ""},
		"interrupted, resumed elsewhere twice": {interrupted, nil, func(t *testing.T, dir string) {
			goOn(t, dir, time.Hour, []int64{7}, (*Store).Close)
			goOn(t, dir, 2*time.Hour, []int64{8}, interrupted)
		}, 7, 7, true, ""},
		"ended elsewhere, with no sample more": {(*Store).Close, nil,
			func(t *testing.T, dir string) { goOn(t, dir, time.Hour, nil, finish) }, 5, 5, true, ""},
		"as it is":                 {(*Store).Close, nil, nil, 5, 5, false, ""},
		"resumed here":             {(*Store).Close, func(t *testing.T, dir string) { goOn(t, dir, time.Hour, []int64{7}, finish) }, nil, 5, 6, false, ""},
		"resumed here, and killed": {interrupted, func(t *testing.T, dir string) { goOn(t, dir, time.Hour, nil, (*Store).Close) }, nil, 5, 5, false, ""},
		"resumed in both places": {(*Store).Close,
			func(t *testing.T, dir string) { goOn(t, dir, time.Hour, []int64{7}, finish) },
			func(t *testing.T, dir string) { goOn(t, dir, 2*time.Hour, []int64{8, 9}, finish) }, 0, 6, false,
			"its part 2 was resumed at 2025-11-23 06:45:00 UTC after 5 samples, not at 2025-11-23 05:45:00 UTC after 5"},
	} {
		t.Run(name, func(t *testing.T) {
			here := leftRun(t, false, tt.leave)
			there := filepath.Join(t.TempDir(), "there")
			must(t, os.CopyFS(there, os.DirFS(here)))
			if tt.here != nil {
				tt.here(t, here)
			}
			if tt.there != nil {
				tt.there(t, there)
			}
			export := func(dir string) string {
				var b strings.Builder
				must(t, Export(&b, dir))
				return b.String()
			}
			was := export(here)
			file := filepath.Join(t.TempDir(), "elsewhere.json")
			must(t, ExportFile(file, there))
			for _, from := range []string{there, file} {
				var got Imported
				err := Import(here, []string{from}, func(i Imported) { got = i })
				want := was
				if tt.updated {
					want = export(there)
				}
				if d := cmp.Diff(want, export(here)); d != "" {
					t.Fatalf("from %s (-want +got):\n%s", from, d)
				}
				if tt.err != "" {
					wantError(t, err, tt.err)
					wantError(t, err, "ukprobe import --into NEW")
					continue
				}
				must(t, err)
				updated := tt.updated && from == there // then it is there
				if got.Updated != updated || got.Already == updated || got.Samples != tt.samples || updated && got.There != 5 {
					t.Errorf("from %s: %+v", from, got)
				}
			}
			list, err := List(here)
			must(t, err)
			f := mustLoad(t, here)
			if n := countsOf(f); len(list) != 1 || list[0].RunCounts != n || n.Samples != tt.after {
				t.Errorf("listed as %+v, there are %+v", list, n)
			}
			for i := range f.Cells {
				if d := cmp.Diff(f.Cells[i].Summarize(), f.Cells[i].Summary); d != "" {
					t.Errorf("summary of cell %d (-want +got):\n%s", i, d)
				}
			}
			_, cells, err := Columns(here)
			must(t, err)
			if n := len(cells[0].Values["total_ns"]) + len(cells[1].Values["total_ns"]); n != tt.after {
				t.Errorf("%d values for comparisons", n)
			}
			must(t, checkIntegrity(t, here))
		})
	}
}

// TestImportOfAnotherRunOfThatName: what shares no more than an id is told apart.
func TestImportOfAnotherRunOfThatName(t *testing.T) {
	here := leftRun(t, false, (*Store).Close)
	for want, change := range map[string][2]string{
		"its seed is 41, not 18446744073709551615": {`"seed":18446744073709551615`, `"seed":41`},
		"it began at 2025-11-23 04:45:01 UTC":      {`"started":"2025-11-23T04:45:00.123456789Z","seed"`, `"started":"2025-11-23T04:45:01.123456789Z","seed"`},
		"its cell 1 is osv/hello on qemu":          {`{"system":"reference"`, `{"system":"osv"`},
		"sample 1 of":                              {`"exits":17.5`, `"exits":18.5`},
	} {
		var b strings.Builder
		must(t, Export(&b, here))
		text := strings.Replace(b.String(), change[0], change[1], 1)
		if text == b.String() {
			t.Fatalf("no %s in %s", change[0], text)
		}
		file := filepath.Join(t.TempDir(), "x.json")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		wantError(t, Import(here, []string{file}, func(Imported) { t.Error("imported") }), want)
	}
}

// TestImportOfAnEscapedRun: what `ukprobe export` prints, with escapes for what a terminal
// would act on, is the run that it is of.
func TestImportOfAnEscapedRun(t *testing.T) {
	here := filepath.Join(t.TempDir(), "run")
	s := mustCreate(t, here)
	sample := okSample(7)
	sample.Console = []ConsoleLine{{FirstNS: 1, LastNS: 1, Text: "del \x7f csi \u009b2J turned \u202e \U000e0041"}}
	must(t, s.AddSample(0, sample))
	must(t, s.Close())
	earlier := filepath.Join(t.TempDir(), "earlier")
	must(t, os.CopyFS(earlier, os.DirFS(here)))
	goOn(t, here, time.Hour, []int64{8}, func(s *Store) error { return s.Finish(RunOK) })

	var plain, escaped strings.Builder
	must(t, Export(&plain, here))
	must(t, Export(plainjson.NewWriter(&escaped), here))
	if plain.String() == escaped.String() {
		t.Fatal("nothing is escaped")
	}
	file := filepath.Join(t.TempDir(), "x.json")
	must(t, os.WriteFile(file, []byte(escaped.String()), 0o600))
	for into, updated := range map[string]bool{here: false, earlier: true} {
		var got Imported
		must(t, Import(into, []string{file}, func(i Imported) { got = i }))
		if got.Updated != updated || got.Already == updated {
			t.Errorf("%+v", got)
		}
		if d := cmp.Diff(mustLoad(t, here).Cells, mustLoad(t, into).Cells); d != "" {
			t.Errorf("updated %v (-want +got):\n%s", updated, d)
		}
	}
}
