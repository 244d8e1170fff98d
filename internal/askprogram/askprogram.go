// SPDX-License-Identifier: Apache-2.0

// Package askprogram runs programs for the few words that they print, such as their
// version.
//
// It knows that a program found on a machine may hang, print without end, or leave
// children behind that hold its output open. It does not know what the words mean.
package askprogram

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MaxOutput is how many bytes are kept of what a program prints; the rest is thrown
// away.
const MaxOutput = 64 << 10

// drain is how long the output may stay open after the program's end, or after it was
// killed: by a child that has left its process group.
const drain = time.Second

// Question is a program to run, with nothing to read.
type Question struct {
	Argv  []string
	Env   []string // nil: that of ukprobe
	Limit time.Duration
	// Stderr has the answer hold what is printed there too, in the order printed.
	Stderr bool
}

// Ask runs the program and returns what it printed. When it ends, or Limit or ctx does,
// its process group is killed. An error may come with an answer, of a program that fails
// or has not ended: it wraps the *exec.ExitError, context.DeadlineExceeded, or the cause
// of ctx's end.
func Ask(ctx context.Context, q Question) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, q.Limit)
	defer cancel()
	cmd := exec.CommandContext(limited, q.Argv[0], q.Argv[1:]...)
	out := &head{left: MaxOutput}
	cmd.Env, cmd.Stdout = q.Env, out
	if q.Stderr {
		cmd.Stderr = out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = drain
	if err := cmd.Start(); err != nil {
		return "", err
	}
	if awaitEnd(cmd.Process.Pid) == nil {
		_ = killGroup(cmd.Process.Pid) // its pid is not another's before Wait
	}
	err := cmd.Wait()
	switch {
	case err == nil, cmd.ProcessState.Success(): // what held the output open is no matter
		err = nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case limited.Err() != nil:
		err = fmt.Errorf("no end within %v: %w", q.Limit, limited.Err())
	}
	return string(out.text), err
}

// awaitEnd waits until a child has ended, and leaves it to be waited for.
func awaitEnd(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func killGroup(pid int) error {
	err := unix.Kill(-pid, unix.SIGKILL)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// head keeps the beginning of what is written to it.
type head struct {
	text []byte
	left int
}

var _ io.Writer = (*head)(nil)

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.text = append(h.text, p[:n]...)
	h.left -= n
	return len(p), nil
}
