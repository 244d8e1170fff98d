// SPDX-License-Identifier: Apache-2.0

package hostvm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// diagnose says why QEMU ended without a status from the command.
func (s *session) diagnose(caller, watched context.Context, up bool, qemuErr error) error {
	text, _ := os.ReadFile(s.file("console"))
	console := string(text)
	var err error
	switch cause := context.Cause(watched); {
	case caller.Err() != nil:
		return caller.Err()
	case panicked(console):
		err = ErrPanic
	case errors.Is(cause, ErrTimeout):
		err = fmt.Errorf("%w: more than %s", ErrTimeout, s.o.Timeout)
		if !up {
			err = fmt.Errorf("%w within %s", ErrNotUp, s.o.Timeout)
		}
	case errors.Is(cause, ErrNotUp):
		err = fmt.Errorf("%w within %s", ErrNotUp, upTimeout)
	case qemuErr != nil:
		err = qemuErr
	case !up:
		err = ErrNotUp
	default:
		err = ErrDied
	}
	return fmt.Errorf("%w\n%s", err, consoleTail(console))
}

// panicked says whether the kernel's console shows a panic.
func panicked(console string) bool {
	return strings.Contains(console, "Kernel panic - not syncing")
}

// consoleTail returns the last lines of the console, each marked.
func consoleTail(console string) string {
	const maxLines = 40
	console = strings.TrimSpace(strings.ReplaceAll(console, "\r", ""))
	if console == "" {
		return "(the kernel's console is empty)"
	}
	lines := strings.Split(console, "\n")
	if len(lines) > maxLines {
		lines = lines[len(lines)-maxLines:]
	}
	return "end of the kernel's console:\n  | " + strings.Join(lines, "\n  | ")
}
