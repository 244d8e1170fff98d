// SPDX-License-Identifier: Apache-2.0

// Package progversion asks programs for their versions.
package progversion

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"
)

// Ask is the first line with a digit that a program says when it is started with the
// arguments that make it tell its version. Some, like wrk, say it while they exit
// with 1.
func Ask(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	text, err := cmd.CombinedOutput()
	if v := First(string(text)); v != "" {
		return v, nil
	}
	if err == nil {
		err = errors.New("it printed no line with a number")
	}
	return "", err
}

// First is the first line with a digit in it.
func First(text string) string {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); strings.ContainsAny(l, "0123456789") {
			return l
		}
	}
	return ""
}
