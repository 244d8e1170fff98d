// SPDX-License-Identifier: Apache-2.0

package lockfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// holderEnv has this test's program take the lock that it names, say so and keep it
// until its standard input ends.
const holderEnv = "LOCKFILE_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(holderEnv); path != "" {
		if _, err := Take(context.Background(), path, nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hold has another process hold the lock; it returns how to end that process.
func hold(t *testing.T, path string) (cmd *exec.Cmd, release func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), holderEnv+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	return cmd, func() { _ = in.Close() }
}

// TestTwoProcesses: the second waits, says so once, and has the lock when the first has
// given it up.
func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	cmd, release := hold(t, path)
	// The one that waits knows whom for.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	by := fmt.Sprintf("held by process %d (%s)", cmd.Process.Pid, cmd.Path)
	if _, err := Take(ctx, path, nil); err == nil || !strings.Contains(err.Error(), by) {
		t.Errorf("got %v, want it %s", err, by)
	}
	const long = quiet + 500*time.Millisecond
	time.AfterFunc(long, release)
	var said []string
	begun := time.Now()
	unlock, err := Take(t.Context(), path, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if took := time.Since(begun); took < long-100*time.Millisecond {
		t.Errorf("both had it: the second after %v", took)
	}
	if len(said) != 1 || !strings.Contains(said[0], "waiting for the lock "+path) {
		t.Errorf("said %q", said)
	}
}

// TestHolderDies: the lock of a process that was killed is free.
func TestHolderDies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	cmd, _ := hold(t, path)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	unlock, err := Take(ctx, path, t.Errorf)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

// TestGivenUp: a wait ends with its context, and leaves the lock where it is; within one
// process it is the same.
func TestGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Take(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Take(ctx, path, nil); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	unlock()
	again, err := Take(t.Context(), path, t.Errorf)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := Take(t.Context(), path+"/below", nil); err == nil {
		t.Error("a lock below a file")
	}
}

// TestCommandOf: a process names itself as it likes, and its name is shown.
func TestCommandOf(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	cmd.Args[0] = "\x1b[31mred\n"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	if got, want := commandOf(cmd.Process.Pid), "\uFFFD[31mred\uFFFD 60"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
