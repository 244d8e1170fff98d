// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dead writes the journal of a run whose owner, started at so many ticks, is no more.
func dead(t *testing.T, dir, run string, start uint64, entries ...Entry) {
	t.Helper()
	var text []byte
	// A pid that is in use was another process then.
	lines := []line{{Op: opOpen, Version: formatVersion, Run: run, owner: &owner{PID: os.Getpid(), Start: start, Boot: bootID()}}}
	for i := range entries {
		lines = append(lines, line{Op: opAdd, Entry: &entries[i]})
	}
	for _, l := range lines {
		b, err := l.encode()
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	if err := os.WriteFile(filepath.Join(dir, run+suffix), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCleanNewestRunFirst: a second run found what the first had set, and would have it
// stay so. Names say nothing of the order.
func TestCleanNewestRunFirst(t *testing.T) {
	setting := func(was, set string) Entry {
		return Entry{Kind: "setting", Name: "thp", Data: map[string]string{"was": was, "set": set}}
	}
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		dir, now := t.TempDir(), "always"
		dead(t, dir, names[0], 1, setting("madvise", "never"))
		dead(t, dir, names[1], 2, setting("never", "always"))
		r, err := Clean(t.Context(), dir, map[Kind]Undoer{"setting": func(_ context.Context, e Entry) error {
			if now != e.Data["set"] {
				return fmt.Errorf("%w: it says %s", ErrNotOurs, now)
			}
			now = e.Data["was"]
			return nil
		}})
		if err != nil || now != "madvise" {
			t.Errorf("now %q, %v:\n%s", now, err, r)
		}
	}
}

// TestCleanTellsWhatIsNotOurs: left alone, told, and not asked about again.
func TestCleanTellsWhatIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	dead(t, dir, "r", 1, Entry{Kind: "setting", Name: "thp"})
	r, err := Clean(t.Context(), dir, map[Kind]Undoer{"setting": func(context.Context, Entry) error {
		return fmt.Errorf("%w: it says always", ErrNotOurs)
	}})
	if want := "run r: setting thp: left alone: it says always\n"; err != nil || r.String() != want {
		t.Errorf("%v, %q, want %q", err, r, want)
	}
	if got := files(t, dir); got != nil {
		t.Errorf("left: %v", got)
	}
}

// TestCleanKind: only what it is asked for; the rest stays for clean.
func TestCleanKind(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, "live")
	record(t, j, "own")
	dead(t, dir, "killed", 1, Entry{Kind: "test", Name: "one"}, Entry{Kind: "other", Name: "two"})
	var undone []string
	r, err := j.CleanKind(t.Context(), "test", recorder(&undone, "")["test"])
	if diff := cmp.Diff([]string{"one"}, undone); diff != "" || err != nil {
		t.Errorf("%v, %v:\n%s", err, r, diff)
	}
	if _, err := Clean(t.Context(), dir, nil); err == nil {
		t.Error("nothing of another kind is left")
	}
	if diff := cmp.Diff([]string{"killed.journal", "live.journal"}, files(t, dir)); diff != "" {
		t.Error(diff)
	}
}
