// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// lookPath finds a program by its path, or by its name in PATH. Its path is whole, for
// VMMs start in the folder /.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// learnt remembers what was found out about programs, so that it is found out once and not
// before each sample; again if another file, or a changed one, is in a program's place.
type learnt[T any] struct {
	mu sync.Mutex
	of map[programFile]T
}

// programFile tells a program's file from another one of its path.
type programFile struct {
	path        string
	inode       uint64
	size, mtime int64
}

// get returns what is known of a program, or else what find finds out. Errors are not
// remembered.
func (l *learnt[T]) get(path string, find func() (T, error)) (T, error) {
	var none T
	st, err := os.Stat(path)
	if err != nil {
		return none, err
	}
	key := programFile{path: path, size: st.Size(), mtime: st.ModTime().UnixNano()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		key.inode = sys.Ino
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if v, ok := l.of[key]; ok {
		return v, nil
	}
	v, err := find()
	if err != nil {
		return none, err
	}
	if l.of == nil {
		l.of = map[programFile]T{}
	}
	l.of[key] = v
	return v, nil
}
