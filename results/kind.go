// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkKind says why what lies at a store's path cannot be one. Of a link neither the lock
// nor the log would be that of the file: they go by the folder and the name.
func checkKind(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	var what string
	switch mode := st.Mode(); {
	case mode.IsRegular():
		return nil
	case mode&fs.ModeSymlink != 0:
		return fmt.Errorf("results: %s is a link%s: a store is only read and written in its own folder: name that one, or remove the link", path, aim(path))
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a FIFO"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	default:
		what = "no regular file"
	}
	return fmt.Errorf("results: %s is %s, and a store is a file: move it away, or choose another directory", path, what)
}

// aim is where a link leads to, as far as that can be told.
func aim(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return " to " + real
	}
	to, readErr := os.Readlink(path)
	switch {
	case readErr != nil:
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return " to " + to + ", which is not there"
	}
	return " to " + to + ", which leads nowhere"
}

// noRun is the error of a folder that has neither a store with a run nor a run.json.
func noRun(dir string, err error) error {
	path := filepath.Join(dir, DatabaseName)
	if st, statErr := os.Lstat(path); statErr == nil && st.Mode().IsRegular() && st.Size() == 0 {
		return fmt.Errorf("results: no run in %s: %w", dir, emptyStore(path))
	}
	return fmt.Errorf("results: no run in %s: %w", dir, err)
}

func emptyStore(path string) error {
	return fmt.Errorf("%s is empty: its writer was killed before it began: the next run may be written there", path)
}
