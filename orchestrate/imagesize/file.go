// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// zstdLevel is one for all images and all time: what zstd calls level 3, its default.
const zstdLevel = zstd.SpeedDefault

const zstdModule = "github.com/klauspost/compress"

// zstdUsed says what a compressed size was made with.
func zstdUsed() string {
	version := "of unknown version"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == zstdModule {
				version = d.Version
			}
		}
	}
	return fmt.Sprintf("level %s (zstd's 3), %s %s", zstdLevel, zstdModule, version)
}

// counter counts bytes.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// compressed is how many bytes zstd makes of all that is read: one frame.
func (m *measurer) compressed(write func(w io.Writer) error) (int64, error) {
	var out counter
	z, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(zstdLevel), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	if err := write(z); err != nil {
		return 0, err
	}
	if err := z.Close(); err != nil {
		return 0, err
	}
	return out.n, nil
}

// copyFile writes a file's content.
func (m *measurer) copyFile(w io.Writer, path string) error {
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, regular.NewReader(m.ctx, f))
	return err
}

// blockSize is the unit of st_blocks (stat(2)).
const blockSize = 512

func allocated(st fs.FileInfo) int64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Blocks * blockSize
	}
	return 0
}

// file adds a file of the image, as it is.
func (m *measurer) file(kind, path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	z, err := m.compressed(func(w io.Writer) error { return m.copyFile(w, path) })
	if err != nil {
		return err
	}
	m.files(kind, st.Size(), allocated(st), z)
	return nil
}

func (m *measurer) files(kind string, size, disk, compressed int64) {
	m.add(FileBytes, size)
	m.add(AllocatedBytes, disk)
	m.add(CompressedBytes, compressed)
	if kind != "" {
		m.add(kind+"_file_bytes", size)
	}
}

// node is a regular file below a folder, under the first of its names.
type node struct {
	name string // below the folder, with a slash before it
	path string // on the host
	info fs.FileInfo
}

type inode struct{ dev, ino uint64 }

func inodeOf(st fs.FileInfo) inode {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return inode{sys.Dev, sys.Ino}
	}
	return inode{}
}

// regularFiles lists the regular files below a folder in the order of their names, one
// with several names (hard links) once.
func (m *measurer) regularFiles(dir string) ([]node, error) {
	var out []node
	seen := map[inode]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		id := inodeOf(st)
		if seen[id] {
			return nil
		}
		seen[id] = true
		out = append(out, node{path[len(dir):], path, st})
		return m.ctx.Err()
	})
	slices.SortFunc(out, func(a, b node) int { return cmp.Compare(a.name, b.name) })
	return out, err
}

// folder adds a folder of the image, as it is: the content of its regular files. They
// are compressed one after another, in one frame.
func (m *measurer) folder(dir string) error {
	list, err := m.regularFiles(dir)
	if err != nil {
		return err
	}
	var size, disk int64
	for _, n := range list {
		size += n.info.Size()
		disk += allocated(n.info)
	}
	z, err := m.compressed(func(w io.Writer) error {
		for _, n := range list {
			if err := m.copyFile(w, n.path); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.files("", size, disk, z)
	return nil
}
