// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestMain lets the test binary also play the run that gets killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("UKPROBE_TEST_OWNER"); dir != "" {
		ownerProcess(dir)
	}
	os.Exit(m.Run())
}

// ownerProcess opens a journal, records three entries and waits to be killed.
func ownerProcess(dir string) {
	j, err := Open(dir, "victim")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, name := range []string{"first", "second", "third"} {
		if err := j.Record(Entry{Kind: "test", Name: name}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("ready")
	time.Sleep(time.Minute)
	os.Exit(2)
}

func startOwner(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "UKPROBE_TEST_OWNER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("owner said %q", line)
	}
	return cmd
}

// recorder is an undoer that notes what it was asked to undo.
func recorder(undone *[]string, failOn string) map[Kind]Undoer {
	return map[Kind]Undoer{"test": func(_ context.Context, e Entry) error {
		*undone = append(*undone, e.Name)
		if e.Name == failOn {
			return errors.New("stuck")
		}
		return nil
	}}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func open(t *testing.T, dir, run string) *Journal {
	t.Helper()
	j, err := Open(dir, run)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func record(t *testing.T, j *Journal, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := j.Record(Entry{Kind: "test", Name: n}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseRemovesAnEmptyJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on demand")
	j := open(t, dir, "r1")
	record(t, j, "a")
	if diff := cmp.Diff([]string{"r1.journal"}, files(t, dir)); diff != "" {
		t.Fatalf("while open:\n%s", diff)
	}
	if err := j.Forget(Entry{Kind: "test", Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); got != nil {
		t.Errorf("left: %v", got)
	}
	if err := j.Record(Entry{Kind: "test", Name: "late"}); err == nil {
		t.Error("recorded into a closed journal")
	}
}

func TestCleanAfterSIGKILL(t *testing.T) {
	dir := t.TempDir()
	owner := startOwner(t, dir)
	ctx := context.Background()

	var undone []string
	r, err := Clean(ctx, dir, recorder(&undone, ""))
	if err != nil || undone != nil || len(r.Runs) != 1 {
		t.Fatalf("live owner: undone %v, runs %d, %v", undone, len(r.Runs), err)
	}
	if want := fmt.Sprintf("in use by pid %d", owner.Process.Pid); r.Runs[0].InUse != want {
		t.Errorf("live owner: %q, want %q", r.Runs[0].InUse, want)
	}
	if _, err := Open(dir, "victim"); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "in use by pid") {
		t.Errorf("open of a live run's ID: %v", err)
	}

	if err := owner.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, _ = owner.Process.Wait()
	if _, err := Open(dir, "victim"); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "ukprobe clean") {
		t.Errorf("open of a dead run's ID: %v", err)
	}

	// The first clean fails on one entry, goes on, and keeps just that one.
	r, err = Clean(ctx, dir, recorder(&undone, "second"))
	if err == nil || !strings.Contains(err.Error(), "undo test second: stuck") {
		t.Errorf("want the failure of second, got %v", err)
	}
	if diff := cmp.Diff([]string{"third", "second", "first"}, undone); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if !strings.Contains(r.String(), "run victim: removed test third\n") {
		t.Errorf("report:\n%s", r)
	}
	undone = nil
	if _, err = Clean(ctx, dir, recorder(&undone, "")); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"second"}, undone); diff != "" {
		t.Errorf("second clean (-want +got):\n%s", diff)
	}
	if got := files(t, dir); got != nil {
		t.Errorf("left: %v", got)
	}
}

func TestCleanTruncatedLastLine(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r1.journal")
	text := `{"op":"open","version":1,"run":"r1","pid":999999999,"start":1,"boot":"gone"}
{"op":"add","kind":"test","name":"a"}
{"op":"add","kind":"test","name":"b"}
{"op":"add","kind":"te`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var undone []string
	if _, err := Clean(context.Background(), dir, recorder(&undone, "a")); err == nil {
		t.Error("a failed and no error")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := parse(raw)
	if diff := cmp.Diff([]Entry{{Kind: "test", Name: "a"}}, c.entries); diff != "" || c.bad != nil {
		t.Errorf("journal after the partial clean (-want +got):\n%s%v\n%s", diff, c.bad, raw)
	}
	if _, err := Clean(context.Background(), dir, recorder(&undone, "")); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"b", "a", "a"}, undone); diff != "" {
		t.Errorf("undone (-want +got):\n%s", diff)
	}
}

func TestCleanKeepsAnUnreadableJournal(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "r1.journal"), []byte("what?\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Clean(context.Background(), dir, nil)
	if err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("want an error naming line 1, got %v", err)
	}
	if diff := cmp.Diff([]string{"r1.journal"}, files(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestCleanOfNothing(t *testing.T) {
	r, err := Clean(context.Background(), filepath.Join(t.TempDir(), "none"), nil)
	if err != nil || len(r.Runs) != 0 {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestUnknownKindStays(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, "r1")
	record(t, j, "a")
	if _, err := j.Rollback(context.Background(), nil); err == nil || !strings.Contains(err.Error(), `does not know how to undo a "test"`) {
		t.Errorf("got %v", err)
	}
	if err := j.Close(); !errors.Is(err, ErrLeft) {
		t.Errorf("Close: %v, want ErrLeft", err)
	}
	// Given up by a process that lives on: anyone may clean it now.
	var undone []string
	if _, err := Clean(context.Background(), dir, recorder(&undone, "")); err != nil || len(undone) != 1 {
		t.Errorf("clean after Close: undone %v, %v", undone, err)
	}
}

func TestRollbackStopsWithItsContext(t *testing.T) {
	j := open(t, t.TempDir(), "r1")
	record(t, j, "a", "b")
	ctx, cancel := context.WithCancel(context.Background())
	undo := map[Kind]Undoer{"test": func(context.Context, Entry) error { cancel(); return nil }}
	if _, err := j.Rollback(ctx, undo); err == nil || !strings.Contains(err.Error(), "not tried") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]Entry{{Kind: "test", Name: "a"}}, j.Entries()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if err := j.Forget(Entry{Kind: "test", Name: "a"}); err != nil {
		t.Fatal(err)
	}
}

func TestBadRunID(t *testing.T) {
	for _, id := range []string{"", ".x", "a/b", "../x", "a b", strings.Repeat("x", 65)} {
		if j, err := Open(t.TempDir(), id); err == nil {
			t.Errorf("run ID %q accepted", id)
			_ = j.Close()
		}
	}
}

// TestDiskFull fills a tiny tmpfs: a Record that fails must leave a journal
// that can still be read and written.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("ukprobe-test", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	j := open(t, dir, "r1")
	record(t, j, "a")
	fat := Entry{Kind: "test", Name: "fat", Data: map[string]string{"x": strings.Repeat("x", 32<<10)}}
	if err := j.Record(fat); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("Record on a full disk: %v, want ENOSPC", err)
	}
	record(t, j, "b")
	raw, err := os.ReadFile(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	c := parse(raw)
	if diff := cmp.Diff([]Entry{{Kind: "test", Name: "a"}, {Kind: "test", Name: "b"}}, c.entries); diff != "" || c.bad != nil {
		t.Errorf("on disk (-want +got):\n%s%v", diff, c.bad)
	}
	_, _ = j.Rollback(context.Background(), recorder(new([]string), ""))
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func TestEntriesAreFitForATerminal(t *testing.T) {
	e := Entry{Kind: "\x1b[2Jnetns", Name: strings.Repeat("\x07", 1000)}
	if text := e.String(); strings.ContainsAny(text, "\x1b\x07") || len(text) > 1000 {
		t.Errorf("%q", text)
	}
	if text := (Entry{Kind: "tap", Name: "uk-1"}).String(); text != "tap uk-1" {
		t.Errorf("%q", text)
	}
}
