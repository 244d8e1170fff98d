// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/internal/lockfile"
)

func TestStatusNow(t *testing.T) {
	for _, tt := range []struct {
		stored         string
		writer, holder int
		want           string
	}{
		{RunRunning, 7, 7, RunRunning},
		{RunRunning, 0, 7, RunRunning}, // who wrote it is not kept
		{RunRunning, 7, 0, RunKilled},
		{RunRunning, 0, 0, RunKilled},
		{RunRunning, 7, 8, RunKilled}, // that one writes another run
		{RunOK, 7, 0, RunOK},
		{RunInterrupted, 7, 7, RunInterrupted},
	} {
		if got := statusNow(tt.stored, tt.writer, tt.holder); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// TestOneWordForAKilledRun: lists, reports and comparisons say the same of a run, while it
// is written, once its writer is gone, and while the folder has another writer.
func TestOneWordForAKilledRun(t *testing.T) {
	for name, old := range map[string]bool{"store": false, "before there was a store": true} {
		t.Run(name, func(t *testing.T) {
			dir := leftRun(t, old, (*Store).Close)
			check := func(run, want string) {
				t.Helper()
				list, err := List(dir)
				must(t, err)
				head, _, err := Columns(run)
				must(t, err)
				if f := mustLoad(t, run); f.Run.Status != want || head.Run.Status != want || list[0].Status != want {
					t.Errorf("loaded %s, compared %s, listed %s: want %s", f.Run.Status, head.Run.Status, list[0].Status, want)
				}
			}
			check(dir, RunKilled)
			holder := 0
			askHolder = func(string) (int, string) { return holder, "ukprobe" }
			defer func() { askHolder = lockfile.Holder }()
			if holder = os.Getpid(); old {
				check(dir, RunRunning)
				return
			}
			check(dir, RunRunning)
			holder = os.Getpid() + 1 // another ukprobe, with a run of its own
			check(dir, RunKilled)
			holder = 0
			// A file cannot tell; whoever reads it is told.
			file := filepath.Join(t.TempDir(), "out.json")
			must(t, ExportFile(file, dir))
			text, err := os.ReadFile(file)
			must(t, err)
			if !bytes.Contains(text, []byte(`"status":"running"`)) || strings.Contains(string(text), RunKilled) {
				t.Errorf("exported as %s", text[:min(len(text), 500)])
			}
			if f := mustLoad(t, file); f.Run.Status != RunKilled {
				t.Errorf("of the file: %s", f.Run.Status)
			}
			must(t, validate(t, compileSchema(t, ""), text))
		})
	}
}

func TestRan(t *testing.T) {
	at := func(minutes int) time.Time { return started.Add(time.Duration(minutes) * time.Minute) }
	for name, tt := range map[string]struct {
		run   Run
		want  time.Duration
		known bool
	}{
		"in one go":            {Run{Started: at(0), Finished: ptrTo(at(5))}, 5 * time.Minute, true},
		"not ended":            {Run{Started: at(0)}, 0, false},
		"resumed":              {Run{Started: at(0), Finished: ptrTo(at(90)), Parts: []Part{{Started: at(0), Finished: ptrTo(at(4))}, {Started: at(60), Finished: ptrTo(at(61))}, {Started: at(80)}}}, 15 * time.Minute, true},
		"by an older ukprobe":  {Run{Started: at(0), Finished: ptrTo(at(90)), Parts: []Part{{Started: at(0)}, {Started: at(80)}}}, 0, false},
		"resumed, and running": {Run{Started: at(0), Parts: []Part{{Started: at(0), Finished: ptrTo(at(4))}, {Started: at(80)}}}, 0, false},
	} {
		if got, known := tt.run.Ran(); got != tt.want || known != tt.known {
			t.Errorf("%s: %s, %v", name, got, known)
		}
	}
}
