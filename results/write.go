// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// WriteFile writes a file that is there as a whole or as it was before, also after a loss
// of power. A link is followed; what is no regular file (a device, a pipe) is written to
// as it is. A store and a run.json are never replaced.
func WriteFile(path string, write func(io.Writer) error) error {
	return writeWhole(path, keepResults, write)
}

// keepResults says why a file is not to be replaced.
func keepResults(path string) error {
	name := filepath.Base(path)
	if strings.HasPrefix(name, DatabaseName) || isSQLite(path) {
		return errors.New("it is a database, and what it holds would be lost")
	}
	if _, err := runIDOf(path); err == nil || name == FileName {
		return errors.New("it is a run's file, and the run would be lost")
	}
	return nil
}

func isSQLite(path string) bool {
	const magic = "SQLite format 3\x00"
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(magic))
	_, err = io.ReadFull(f, head)
	return err == nil && bytes.Equal(head, []byte(magic))
}

// replaceFile writes a run to path: see writeWhole.
func replaceFile(path string, f *File, samples func(cell int) ([]json.RawMessage, error)) error {
	return writeWhole(path, func(string) error { return nil }, func(w io.Writer) error { return writeFile(w, f, samples) })
}

// writeWhole writes beside path first, and renames that over it: whoever reads path finds
// the old or the new file, whole. keep says why a regular file that is there is not to be
// replaced. No temporary file is left behind.
func writeWhole(path string, keep func(path string) error, write func(io.Writer) error) error {
	path, st, err := targetOf(path)
	if err != nil {
		return err
	}
	if st != nil && !st.Mode().IsRegular() {
		return writeInPlace(path, write)
	}
	perm := fs.FileMode(0o644)
	if st != nil {
		if err := keep(path); err != nil {
			return err
		}
		perm = st.Mode().Perm()
	}
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	removeStale(dir, name)
	// Not os.CreateTemp: the umask is to count.
	temp := filepath.Join(dir, fmt.Sprintf(".%s.%016x.tmp", name, rand.Uint64()))
	t, kept, err := makingFile(temp, perm)
	if err != nil {
		return err
	}
	defer kept()
	err = write(t)
	if err == nil && st != nil {
		err = t.Chmod(perm)
	}
	if err == nil {
		err = t.Sync()
	}
	if err = errors.Join(err, t.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp) // the error is told already
		return err
	}
	return syncDir(dir)
}

// targetOf follows links to what is to be written, and says what it is; nil if it is not
// there yet.
func targetOf(path string) (string, fs.FileInfo, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil {
			return "", nil, errors.New("it is a link to what is not there: remove it, or name the file itself")
		}
		return path, nil, nil
	case err != nil:
		return "", nil, err
	case st.IsDir():
		return "", nil, errors.New("it is a folder: name a file")
	case !st.Mode().IsRegular():
		return path, st, nil // /dev/stdout may be a link that only the kernel can follow
	}
	path, err = filepath.EvalSymlinks(path)
	return path, st, err
}

func writeInPlace(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// removeStale removes what writers that were killed have left beside a file. One that is
// at work is never that slow.
func removeStale(dir, name string) {
	const stale = time.Hour
	entries, _ := os.ReadDir(dir) // what cannot be listed stays
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "."+name+".") || !strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		if st, err := e.Info(); err == nil && st.Mode().IsRegular() && time.Since(st.ModTime()) > stale {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
