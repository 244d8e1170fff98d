// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

// Guests that are told to stay do not end by themselves; how much CPU time they
// burn tells a halt from a spin.
func TestGuestsThatStay(t *testing.T) {
	const alive = 2 * time.Second
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
			ctx, cancel := context.WithTimeout(t.Context(), alive)
			defer cancel()
			var console bytes.Buffer
			cmd := command(ctx, qemuArgs("microvm", "tcg", kernel, tc.cmdline))
			cmd.Stdout = &console
			if err := cmd.Run(); ctx.Err() == nil {
				t.Fatalf("QEMU ended by itself (%v):\n%s", err, &console)
			}
			lines := strings.Split(strings.TrimSuffix(console.String(), "\n"), "\n")
			find(t, lines, CountsPattern)
			if has(lines, ReadyPattern) != tc.ready {
				t.Errorf("ready is %v, want %v:\n%s", !tc.ready, tc.ready, &console)
			}
			used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			if busy := used > alive/5; busy != tc.busy {
				t.Errorf("QEMU used %v of CPU time in %v: busy is %v, want %v", used, alive, busy, tc.busy)
			}
		})
	}
}
