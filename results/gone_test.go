// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestGone takes a store away from under a run: the next sample, and the run's end, say so
// and what became of the samples, and leave alone what is in its place.
func TestGone(t *testing.T) {
	for name, tt := range map[string]struct {
		take func(t *testing.T, dir string) error
		want []string
		kept bool // in dir-moved
	}{
		"folder removed": {take: func(_ *testing.T, dir string) error { return os.RemoveAll(dir) }, want: []string{"not there any more", " samples of run r1 are lost"}},
		"folder moved":   {take: func(_ *testing.T, dir string) error { return os.Rename(dir, dir+"-moved") }, want: []string{"-moved now: what was stored is intact there", "run --resume"}, kept: true},
		"folder anew": {take: func(_ *testing.T, dir string) error {
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755))
		}, want: []string{"not there any more"}},
		"another run's in its place": {take: func(t *testing.T, dir string) error {
			if err := os.Rename(dir, dir+"-moved"); err != nil {
				return err
			}
			return mustCreate(t, dir).Finish(RunOK)
		}, want: []string{"-moved now: what was stored is intact there"}, kept: true},
		"file removed": {take: func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, DatabaseName)) }, want: []string{"not there any more"}},
		"file replaced": {take: func(_ *testing.T, dir string) error {
			path := filepath.Join(dir, DatabaseName)
			return errors.Join(copyFile(path+"2", path), os.Rename(path+"2", path))
		}, want: []string{"is another file now"}},
		"file cut off": {take: func(_ *testing.T, dir string) error { return os.Truncate(filepath.Join(dir, DatabaseName), 0) }, want: []string{"cut off", "to 0"}},
	} {
		for _, before := range []string{"a sample", "the end"} {
			t.Run(name+" before "+before, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "run")
				s := mustCreate(t, dir)
				must(t, s.AddSample(0, okSample(1)))
				must(t, s.AddSample(0, okSample(2)))
				must(t, tt.take(t, dir))
				stored, there := 2, []string{}
				if _, err := os.Stat(dir); err == nil {
					there = entries(t, dir)
				}
				if before == "a sample" {
					wantGone(t, s.AddSample(0, okSample(3)), nil)
					stored = len(s.Snapshot().Cells[0].Samples)
				}
				wantGone(t, s.Finish(RunOK), tt.want)
				if _, err := os.Stat(filepath.Join(dir, FileName)); err == nil != (name == "another run's in its place") {
					t.Errorf("run.json beside %v", there)
				}
				if !tt.kept {
					return
				}
				if f := mustLoad(t, dir+"-moved"); len(f.Cells[0].Samples) != stored {
					t.Errorf("%d samples, want %d", len(f.Cells[0].Samples), stored)
				}
				if name == "another run's in its place" {
					mustLoad(t, dir)
					must(t, checkIntegrity(t, dir))
				}
			})
		}
	}
}

func wantGone(t *testing.T, err error, parts []string) {
	t.Helper()
	if !errors.Is(err, ErrGone) {
		t.Fatalf("err = %v", err)
	}
	wantError(t, err, parts...)
}
