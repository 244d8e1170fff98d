// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestListGoes: what is removed while it is listed is left out; a size that cannot be
// read is an error.
func TestListGoes(t *testing.T) {
	dir := t.TempDir()
	for _, app := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(dir, "rootfs-"+app, "root"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	broken := errors.New("broken")
	var failure error
	kinds := []Kind{{Name: regexp.MustCompile("^rootfs-([ab])$"), System: "process", Kind: "rootfs", Has: "root", Size: func(entry string) (int64, error) {
		if filepath.Base(entry) == "rootfs-a" {
			return 0, failure
		}
		return 7, nil
	}}}
	failure = &fs.PathError{Op: "open", Path: "root.json", Err: fs.ErrNotExist}
	if got, err := List(dir, kinds); err != nil || len(got) != 1 || got[0].App != "b" || got[0].Size != 7 {
		t.Errorf("%+v, %v, want only b", got, err)
	}
	failure = broken
	if _, err := List(dir, kinds); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if got, err := List(filepath.Join(dir, "nosuch"), kinds); err != nil || len(got) != 0 {
		t.Errorf("a folder that is not there: %+v, %v", got, err)
	}
}
