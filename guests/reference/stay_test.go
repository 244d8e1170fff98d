// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Guests that are told to stay do not end by themselves; how much CPU time they
// burn tells a halt from a spin.
func TestGuestsThatStay(t *testing.T) {
	const alive, window = 2 * time.Second, time.Second
	kernel := writeImage(t, Image())
	for _, tc := range []struct {
		cmdline     string
		ready, busy bool
	}{
		{"", true, false},
		{"end=halt", true, false},
		{"end=spin", true, true},
		{"spin=early end=exit", false, true},
	} {
		t.Run(tc.cmdline, func(t *testing.T) {
			needAccel(t, "tcg")
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var console bytes.Buffer
			cmd := command(ctx, qemuArgs("microvm", "tcg", kernel, tc.cmdline))
			cmd.Stdout = &console
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(alive)
			before := runnable(t, cmd.Process.Pid)
			time.Sleep(window)
			after := runnable(t, cmd.Process.Pid)
			cancel()
			if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("QEMU ended by itself (%v):\n%s", err, &console)
			}
			lines := strings.Split(strings.TrimSuffix(console.String(), "\n"), "\n")
			find(t, lines, CountsPattern)
			if has(lines, ReadyPattern) != tc.ready {
				t.Errorf("ready is %v, want %v:\n%s", !tc.ready, tc.ready, &console)
			}
			most := time.Duration(0)
			for tid := range after {
				most = max(most, after[tid]-before[tid])
			}
			if busy := most > window/2; busy != tc.busy {
				t.Errorf("a thread of QEMU wanted a CPU for %v of %v: busy is %v, want %v", most, window, busy, tc.busy)
			}
		})
	}
}

// runnable is how long each thread of a process has run or waited for a CPU, so that a
// busy host makes no difference: /proc/PID/task/TID/schedstat (sched-stats.rst).
func runnable(t *testing.T, pid int) map[string]time.Duration {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of QEMU: %v, %v", files, err)
	}
	out := map[string]time.Duration{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		var ran, waited int64
		if _, err := fmt.Sscan(string(text), &ran, &waited); err != nil {
			t.Fatalf("%s: %q: %v", f, text, err)
		}
		out[f] = time.Duration(ran + waited)
	}
	return out
}
