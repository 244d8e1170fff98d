// SPDX-License-Identifier: Apache-2.0

package doctor

import (
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

// oneLine makes an error's text a line: the parts of a joined error stand in
// lines of their own.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
