// SPDX-License-Identifier: Apache-2.0

// Package toomany knows what a person can do about too many open files, which may come from
// any call that opens one and has nothing to do with what the call is for.
package toomany

import (
	"errors"
	"syscall"
)

// Advice is what to do about an error: of a limit of open files to raise it, else what the
// caller says.
func Advice(err error, otherwise string) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return "ukprobe has as many files open as it may: raise `ulimit -n`"
	case errors.Is(err, syscall.ENFILE):
		return "this machine has as many files open as it may: raise the sysctl fs.file-max"
	}
	return otherwise
}
