// SPDX-License-Identifier: Apache-2.0

// Package hostfile reads the text of the kernel's small files, /proc/cpuinfo,
// /proc/self/status and the like, and words why one could not be read. It does not
// open them: whose root they lie under is its callers' business.
package hostfile

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Field is the first value of a key in a text of lines "key : value", or "" if there
// is none.
func Field(text, key string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// NotRead words the error of reading a file. The path is as package fs has it,
// without its leading slash.
func NotRead(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no /" + path
	case errors.Is(err, fs.ErrPermission):
		return "no permission to read /" + path
	}
	return fmt.Sprintf("/%s: %v", path, err)
}
