// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// exists tells whether a path is there.
func exists(root fs.FS, path string) bool {
	_, err := fs.Stat(root, path)
	return err == nil
}

// line is the content of a one-line file.
func line(root fs.FS, path string) (string, error) {
	raw, err := fs.ReadFile(root, path)
	return strings.TrimSpace(string(raw)), err
}

// notRead words why a file could not be read.
func notRead(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no /" + path
	case errors.Is(err, fs.ErrPermission):
		return "no permission to read /" + path
	}
	return fmt.Sprintf("/%s: %v", path, err)
}

// field is the first value of a "key: value" text.
func field(text, key string) string {
	for l := range strings.Lines(text) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// oneLine makes an error's text a line: the parts of a joined error stand in
// lines of their own.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
