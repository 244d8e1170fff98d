// SPDX-License-Identifier: Apache-2.0

package askprogram

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func ask(ctx context.Context, script string, limit time.Duration, stderr bool) (string, error) {
	return Ask(ctx, Question{Argv: []string{"/bin/sh", "-c", script}, Limit: limit, Stderr: stderr})
}

func TestAsk(t *testing.T) {
	for _, tt := range []struct {
		script string
		stderr bool
		want   string
		fails  bool
	}{
		{"echo v1; echo v2 >&2", false, "v1\n", false},
		{"echo v1; echo v2 >&2; echo v3", true, "v1\nv2\nv3\n", false},
		{"echo v1; exit 3", false, "v1\n", true},
		{"cat; echo v1", false, "v1\n", false},
	} {
		got, err := ask(t.Context(), tt.script, time.Minute, tt.stderr)
		if exit := new(exec.ExitError); got != tt.want || (err != nil) != tt.fails || err != nil && !errors.As(err, &exit) {
			t.Errorf("%s: %q, %v", tt.script, got, err)
		}
	}
	if _, err := Ask(t.Context(), Question{Argv: []string{"/none"}, Limit: time.Second}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
	t.Setenv("ASKED", "1")
	if got, err := Ask(t.Context(), Question{Argv: []string{"/bin/sh", "-c", "echo $ASKED$OTHER"}, Env: []string{"OTHER=2"}, Limit: time.Minute}); got != "2\n" || err != nil {
		t.Errorf("with an environment of its own: %q, %v", got, err)
	}
}

// TestChildHoldsOutput: a child left behind is killed, one out of reach not waited for.
func TestChildHoldsOutput(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pid")
	for name, script := range map[string]string{
		"in its group":     "sleep 60 & echo $! >" + pids + "; echo v1",
		"in its own group": "setsid sh -c 'echo $$ >" + pids + "; exec sleep 60' & until [ -s " + pids + " ]; do :; done; echo v1",
	} {
		_ = os.Remove(pids)
		begun := time.Now()
		got, err := ask(t.Context(), script, time.Minute, false)
		if took := time.Since(begun); got != "v1\n" || err != nil || took > 20*time.Second {
			t.Errorf("%s: %q, %v after %v", name, got, err, took)
		}
		text, err := os.ReadFile(pids)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if name == "in its group" {
			gone(t, pid)
		} else if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

// gone waits until a process runs no more.
func gone(t *testing.T, pid int) {
	t.Helper()
	for range 200 {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("child %d runs on", pid)
}

// TestNoEnd: neither a program that hangs nor its children outlast the limit or ctx.
func TestNoEnd(t *testing.T) {
	cause := errors.New("interrupted")
	const before = 2 * time.Second // the program has printed by then, also on a busy machine
	soon := func() context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(before, func() { cancel(cause) })
		return ctx
	}
	for want, with := range map[error]struct {
		ctx   func() context.Context
		limit time.Duration
	}{
		cause:                    {soon, time.Minute},
		context.DeadlineExceeded: {t.Context, before},
	} {
		begun := time.Now()
		got, err := ask(with.ctx(), "echo v1; sleep 60 & sleep 60", with.limit, false)
		if took := time.Since(begun); got != "v1\n" || !errors.Is(err, want) || took > 20*time.Second {
			t.Errorf("%q, %v after %v, want %v", got, err, took, want)
		}
	}
}

// TestFlood: of what has no end the beginning is kept.
func TestFlood(t *testing.T) {
	got, err := ask(t.Context(), "exec cat /dev/zero", 2*time.Second, true)
	if len(got) != MaxOutput || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
