// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"

	"github.com/ukprobe/ukprobe/internal/deb"
)

// diskFile is the name inside a disk's cache entry.
const diskFile = "root.ext2"

// Disk is the raw image of an ext2 file system that holds one app, in the place of
// an initramfs.
type Disk struct {
	Path     string
	App      string
	Version  string // of the app's package
	SHA256   string // of the file at Path, in hexadecimal
	Size     int64  // of the file at Path, in bytes; most of the room in it is a hole
	Packages []deb.Package
}

// PlainDisk returns the root disk of an app for a kernel that needs no modules, gives
// itself its address and mounts devtmpfs on /dev. It holds what PlainInitramfs does,
// with the first process as /sbin/init, where the kernel looks for it on a disk. The
// same packages, recipe, Go release and e2fsprogs give the same bytes.
//
// The guest writes to it: give it a copy.
func (b *Builder) PlainDisk(ctx context.Context, app string) (Disk, error) {
	i, err := b.image(ctx, app, made{"disk-plain-", diskFile, tree.addDiskInit, tree.writeExt2})
	if err != nil {
		return Disk{}, fmt.Errorf("build the disk of %s: %w", app, err)
	}
	return Disk(i), nil
}

// addDiskInit adds the first process of a kernel that needs little help and makes
// the device nodes itself.
func (t tree) addDiskInit(r recipe, root string) error {
	if err := t.addFirstProcess(r, root, "/sbin/init", "init-plain"); err != nil {
		return err
	}
	t.folder("/dev")
	if r.proc {
		t.folder("/proc")
	}
	return nil
}
