// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUndoProcess(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	e, err := ProcessEntry("sleep", cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}

	for key, value := range map[string]string{"start": "1", "boot": "another"} {
		reused := Entry{Kind: e.Kind, Name: e.Name, Data: map[string]string{}}
		for k, v := range e.Data {
			reused.Data[k] = v
		}
		reused.Data[key] = value
		if err := UndoProcess(context.Background(), reused); err != nil {
			t.Errorf("other %s: %v", key, err)
		}
		if _, err := ProcessStart(cmd.Process.Pid); err != nil {
			t.Fatalf("a process with another %s was killed", key)
		}
	}

	if err := UndoProcess(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGKILL {
		t.Errorf("ended by %v, want SIGKILL", ws)
	}
	if err := UndoProcess(context.Background(), e); err != nil {
		t.Errorf("second undo: %v", err)
	}
	if err := UndoProcess(context.Background(), Entry{Kind: KindProcess, Name: "x"}); err == nil {
		t.Error("an entry without a pid was accepted")
	}
}

func TestUndoTempDir(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "ukprobe-r1")
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	undo := func(name string) error {
		return UndoTempDir(context.Background(), Entry{Kind: KindTempDir, Name: name})
	}
	for _, name := range []string{base, "/", "", "ukprobe-x", dir + "/..", dir + "/"} {
		if err := undo(name); err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("%q: %v, want a refusal", name, err)
		}
	}
	if err := undo(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
	if err := undo(dir); err != nil {
		t.Errorf("second undo: %v", err)
	}
}

// TestUndoTempDirNeverMade: a directory that could not be made is nothing that is left,
// one that is there and cannot be removed is.
func TestUndoTempDirNeverMade(t *testing.T) {
	undo := func(name string) error {
		return UndoTempDir(t.Context(), Entry{Kind: KindTempDir, Name: name})
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := undo(file + "/ukprobe-r1"); err != nil {
		t.Errorf("below a file: %v", err)
	}
	if err := undo(filepath.Dir(file) + "/none/ukprobe-r1"); err != nil {
		t.Errorf("below nothing: %v", err)
	}

	dir := readOnly(t, "ukprobe-there")
	if err := undo(dir + "/ukprobe-none"); err != nil {
		t.Errorf("on a read-only file system: %v", err)
	}
	if err := undo(dir + "/ukprobe-there"); err == nil || !strings.Contains(err.Error(), "read-only file system") {
		t.Errorf("a folder on a read-only file system: %v, want that it is left", err)
	}
}

// readOnly is the root of a read-only file system with one folder, in a mount namespace
// that ends with the test's thread.
func readOnly(t *testing.T, folder string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a read-only file system")
	}
	dir := t.TempDir()
	runtime.LockOSThread() // for good: the thread is of no use to others
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skipf("no mount namespace: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	return dir
}
