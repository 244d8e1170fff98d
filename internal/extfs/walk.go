// SPDX-License-Identifier: Apache-2.0

package extfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// Entry is something that was found.
type Entry struct {
	Name    string      // its path, from "/"
	Inode   uint64      // the same for all names of a file
	Mode    fs.FileMode // its type: 0, fs.ModeDir, fs.ModeSymlink, or fs.ModeIrregular
	Size    int64       // bytes
	Target  string      // of a link
	Content io.Reader   // of a file; to be read before visit returns
}

// Bounds of what is walked through.
const (
	rootInode = 2
	maxDepth  = 64
	maxNames  = 1 << 20
)

// Walk visits all but the root, a folder before what is in it. Names are what the file
// system says: they may hold anything but a slash and a zero byte.
func (f *FS) Walk(visit func(Entry) error) error {
	root, err := f.read(rootInode)
	if err != nil {
		return err
	}
	w := &walk{fs: f, visit: visit, seen: map[uint64]bool{}}
	return w.folder(root, "/", 0)
}

type walk struct {
	fs    *FS
	visit func(Entry) error
	seen  map[uint64]bool // folders
	names int
}

func (w *walk) folder(dir *inode, name string, depth int) error {
	if dir.mode != fs.ModeDir || depth > maxDepth || w.seen[dir.number] {
		return fmt.Errorf("%w: folder %q: not one, in itself, or deeper than %d", errDamaged, name, maxDepth)
	}
	w.seen[dir.number] = true
	for n := uint64(0); int64(n)*w.fs.size < dir.size; n++ {
		block, err := dir.data(n)
		if err != nil {
			return err
		}
		if err := w.entries(block, name, depth); err != nil {
			return err
		}
	}
	return nil
}

// entries goes through a block of a folder (directory.rst). Those of a hashed folder's
// index look like empty ones.
func (w *walk) entries(block []byte, dir string, depth int) error {
	const fixed = 8
	for len(block) >= fixed {
		number, length, nameLen := binary.LittleEndian.Uint32(block), int(binary.LittleEndian.Uint16(block[4:])), int(block[6])
		if length < fixed || length > len(block) || fixed+nameLen > length {
			return fmt.Errorf("%w: folder %q", errDamaged, dir)
		}
		name := string(block[fixed : fixed+nameLen])
		block = block[length:]
		if number == 0 || nameLen == 0 || name == "." || name == ".." {
			continue
		}
		if w.names++; w.names > maxNames {
			return fmt.Errorf("more than %d names: %w", maxNames, ErrUnknown)
		}
		if err := w.one(uint64(number), path.Join(dir, name), depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) one(number uint64, name string, depth int) error {
	i, err := w.fs.read(number)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	e := Entry{Name: name, Inode: number, Mode: i.mode, Size: i.size}
	switch i.mode {
	case 0:
		e.Content = i.content()
	case fs.ModeSymlink:
		if e.Target, err = i.target(); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	if err := w.visit(e); err != nil {
		return err
	}
	if i.mode == fs.ModeDir {
		return w.folder(i, name, depth+1)
	}
	return nil
}
