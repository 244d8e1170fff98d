// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/internal/screentest"
)

// TestLive: on a terminal a run shows the timeline of the guest that boots while it does;
// after Ctrl-C nothing of it is left there.
func TestLive(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs: with one nothing is drawn while a guest boots")
	}
	screen := screentest.New(t, 100, 30)
	c := newRun(t, "--matrix", holdingMatrix(t))
	c.cmd.Stderr = screen.TTY
	c.cmd.Env = append(c.cmd.Env, "TERM=xterm", "LC_ALL=C.UTF-8", "NO_COLOR=1")
	c.start()
	seen := func(word string) func() bool {
		return func() bool {
			return slices.ContainsFunc(screen.Lines(), func(l string) bool { return strings.Contains(l, word) })
		}
	}
	c.waitUntil("the guest's first instruction is on the screen", patience(60*time.Second), seen("guest_entry"))
	if !seen(" cells")() || !seen("booting ")() {
		t.Errorf("the screen shows\n%s", strings.Join(screen.Lines(), "\n"))
	}
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	c.wait(patience(30 * time.Second)).want(130)
	left := screen.Mark(t, "$")
	for _, l := range left {
		for _, word := range []string{" cells", "booting ", "guest_entry", "median so far"} {
			if strings.Contains(l, word) {
				t.Errorf("left behind: %q", l)
			}
		}
	}
	if !slices.ContainsFunc(left, func(l string) bool { return strings.Contains(l, "interrupted: ") }) {
		t.Errorf("not a word of it:\n%s", strings.Join(left, "\n"))
	}
}
