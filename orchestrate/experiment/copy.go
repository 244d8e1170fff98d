// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// errOriginal is wrapped by errors about what was to be copied, as opposed to the
// place where the copy goes.
var errOriginal = errors.New("the original cannot be read")

// copyTo copies a file or a folder, making the folders on the way. Everybody may read
// and write the copy of a file, since a VMM in a jail is somebody else; the sample's
// folder keeps others out.
func copyTo(ctx context.Context, to, from string) error {
	st, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("%w: %w", errOriginal, err)
	}
	if st.IsDir() {
		return copyTree(ctx, to, from)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return copyFile(ctx, to, from, 0o666)
}

// copyFile copies a regular file. On a file system that can share blocks it shares them.
func copyFile(ctx context.Context, to, from string, mode fs.FileMode) (err error) {
	src, err := regular.Open(from)
	if err != nil {
		return fmt.Errorf("%w: %w", errOriginal, err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if err := dst.Chmod(mode); err != nil {
		return err
	}
	if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil {
		return nil
	}
	return copyData(ctx, dst, src)
}

// copyStep is how much is copied before ctx is looked at again.
const copyStep = 16 << 20

// copyData copies what is left of src until ctx ends.
func copyData(ctx context.Context, dst, src *os.File) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := io.CopyN(dst, src, copyStep) // by copy_file_range
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
			return fmt.Errorf("%w: free some room there, or set TMPDIR to another folder", err)
		case err != nil:
			return fmt.Errorf("%w: %w", errOriginal, err)
		}
	}
}

// copyTree copies the folder that is a program's root, with all that is in it: owners,
// modes and devices, but neither times nor extended attributes.
func copyTree(ctx context.Context, to, from string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	var place unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(to), &place); err != nil {
		return fmt.Errorf("statfs %s: %w", filepath.Dir(to), err)
	}
	if place.Flags&(unix.ST_NODEV|unix.ST_NOEXEC) != 0 {
		return fmt.Errorf("%s is on a file system mounted nodev or noexec, and a root needs devices and programs: set TMPDIR to a folder elsewhere, such as /var/tmp", filepath.Dir(to))
	}
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		var info fs.FileInfo
		if err == nil {
			info, err = e.Info()
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errOriginal, err)
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyOne(ctx, filepath.Join(to, below), path, info)
	})
}

// copyOne copies one entry of a folder.
func copyOne(ctx context.Context, to, from string, info fs.FileInfo) error {
	own, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: %s: no owner", errOriginal, from)
	}
	var err error
	switch mode := info.Mode(); {
	case mode.IsDir():
		err = os.Mkdir(to, 0o700)
	case mode.IsRegular():
		err = copyFile(ctx, to, from, 0o600)
	case mode&fs.ModeSymlink != 0:
		err = copyLink(to, from)
	case mode&fs.ModeDevice != 0:
		err = copyDevice(to, own)
	default:
		err = fmt.Errorf("%w: %s is a %v: only files, folders, links and devices are copied", errOriginal, from, mode.Type())
	}
	if err != nil {
		return err
	}
	if err := os.Lchown(to, int(own.Uid), int(own.Gid)); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil // has no mode
	}
	return os.Chmod(to, info.Mode()) // after chown, which takes setuid away
}

func copyLink(to, from string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return fmt.Errorf("%w: %w", errOriginal, err)
	}
	return os.Symlink(target, to)
}

// copyDevice makes a device node.
func copyDevice(to string, st *syscall.Stat_t) error {
	if err := unix.Mknod(to, st.Mode, int(st.Rdev)); err != nil {
		return fmt.Errorf("mknod %s: %w: needs root", to, err)
	}
	return nil
}
