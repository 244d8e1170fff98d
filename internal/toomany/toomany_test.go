// SPDX-License-Identifier: Apache-2.0

package toomany

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

func TestAdvice(t *testing.T) {
	for err, want := range map[error]string{
		&fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}: "raise `ulimit -n`",
		fmt.Errorf("make it: %w", syscall.ENFILE):                 "fs.file-max",
		syscall.EPERM:          "run as root",
		errors.New("whatever"): "run as root",
	} {
		if got := Advice(err, "run as root"); !strings.Contains(got, want) || (want != "run as root") == strings.Contains(got, "root") {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
