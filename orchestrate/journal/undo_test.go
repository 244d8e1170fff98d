// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
