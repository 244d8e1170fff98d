// SPDX-License-Identifier: Apache-2.0

package askprogram

import (
	"context"
	"errors"
	"strings"
	"time"
)

// versionLimit is how long a program may take to tell its version.
const versionLimit = 5 * time.Second

// Version is the first line with a digit that a program prints when it is started with
// the arguments that make it tell its version. Some, like wrk, tell it while they exit
// with 1.
func Version(ctx context.Context, program string, args ...string) (string, error) {
	text, err := Ask(ctx, Question{Argv: append([]string{program}, args...), Limit: versionLimit, Stderr: true})
	if v := firstNumber(text); v != "" {
		return v, nil
	}
	if err == nil {
		err = errors.New("it printed no line with a number")
	}
	return "", err
}

// firstNumber is the first line with a digit in it.
func firstNumber(text string) string {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); strings.ContainsAny(l, "0123456789") {
			return l
		}
	}
	return ""
}
