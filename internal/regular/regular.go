// SPDX-License-Identifier: Apache-2.0

// Package regular opens files of which nothing is known yet, such as images that a
// person names, and hashes them.
//
// It knows that what is not a regular file must not be waited for, that hashing a disk
// takes long and has to end with a context, and what shows that a file has changed
// since. It does not know what is in the files.
package regular

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotRegular is wrapped by the error for anything else: a folder, a named pipe, a
// device.
var ErrNotRegular = errors.New("not a regular file")

// Open opens a regular file for reading. It never waits: not for the writer of a named
// pipe either.
func Open(path string) (*os.File, error) {
	st, err := os.Stat(path) // first: opening a device may do something, such as arm a watchdog
	if err == nil {
		err = check(path, st)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // it may be another by now
	if err != nil {
		return nil, err
	}
	if st, err = f.Stat(); err == nil {
		err = check(path, st)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func check(path string, st fs.FileInfo) error {
	switch {
	case st.IsDir():
		return fmt.Errorf("%s: is a directory: %w", path, ErrNotRegular)
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s: %w", path, ErrNotRegular)
	}
	return nil
}

// Stamp is what shows that a file has changed: which file it is, its size in bytes,
// and when content and inode were last written to. A change within one tick of the
// kernel's clock (at most 10 ms) that keeps the size does not show.
type Stamp struct {
	Path         string
	Device, Node uint64
	Size         int64
	Modified     time.Time
	Changed      time.Time // the inode, which nobody can set back
}

func stampOf(path string, st fs.FileInfo) Stamp {
	s := Stamp{Path: path, Size: st.Size(), Modified: st.ModTime()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s.Device, s.Node, s.Changed = sys.Dev, sys.Ino, time.Unix(sys.Ctim.Unix())
	}
	return s
}

// Check returns an error that says what, if the file is no longer the one of the stamp.
// A change of the inode alone, as by a new hard link, is none.
func (s Stamp) Check() error {
	st, err := os.Stat(s.Path)
	if err != nil {
		return err
	}
	now := stampOf(s.Path, st)
	switch {
	case now.Device != s.Device || now.Node != s.Node:
		return fmt.Errorf("%s has been replaced by another file", s.Path)
	case now.Size != s.Size:
		return fmt.Errorf("%s has changed: it had %d bytes and has %d", s.Path, s.Size, now.Size)
	case !now.Modified.Equal(s.Modified):
		return fmt.Errorf("%s has changed: it was written to at %s", s.Path, now.Modified.Format(time.RFC3339Nano))
	}
	return nil
}

// Digest is the SHA-256 of a regular file in lower-case hex, with what tells whether it
// is still of the same bytes. A file whose stamp is that of an earlier call is not read
// again. It ends with ctx.
func Digest(ctx context.Context, path string) (sum string, s Stamp, err error) {
	f, err := Open(path)
	if err != nil {
		return "", Stamp{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", Stamp{}, err
	}
	s = stampOf(path, st)
	if sum, ok := known.Load(s); ok {
		return sum.(string), s, nil
	}
	begun := time.Now()
	h := sha256.New()
	n, err := io.Copy(h, NewReader(ctx, f))
	if err != nil {
		return "", Stamp{}, fmt.Errorf("read %s: %w", path, err)
	}
	if n != s.Size {
		return "", Stamp{}, fmt.Errorf("read %s: it has changed meanwhile, from %d to %d bytes", path, s.Size, n)
	}
	sum = hex.EncodeToString(h.Sum(nil))
	if begun.Sub(s.Changed) > settled {
		known.Store(s, sum)
	}
	return sum, s, nil
}

// known are digests by stamp, for the life of the process: each file is asked for by
// several cells of a run, and by the catalogue before them.
var known sync.Map // Stamp: string

// settled is how old the last change has to be for a stamp to stand for the bytes: a
// further one in the same tick would not show.
const settled = time.Second

// NewReader is r until ctx ends.
func NewReader(ctx context.Context, r io.Reader) io.Reader { return &reader{ctx: ctx, r: r} }

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
