// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// disk begins to look at the guest's disks, if that is wanted, or says why it does not.
func (b *Boot) disk(g *cgroup.Group, l platform.Launch, dir string) (_ *probe.Disk, why string) {
	if !b.DiskIO {
		return nil, ""
	}
	if b.Settings.Probes == matrix.ProbesNone {
		return nil, "--probes none: only the host kernel could see it"
	}
	o := probe.DiskOptions{Attach: b.Attach, Group: g.ID, Files: b.diskFiles(l, dir), Unlinked: l.Scratch == nil}
	if b.Platform.Wire() == platform.MovedWire { // in a group below: the file is the sample's own
		o.Group = 0
	}
	d, err := probe.OpenDisk(o)
	if err != nil {
		return nil, err.Error()
	}
	if b.Attached != nil {
		b.Attached(d.Hook())
	}
	return d, ""
}

// diskFiles are the files behind a guest's disks: what the VMM opens.
func (b *Boot) diskFiles(l platform.Launch, dir string) []string {
	if l.Scratch != nil {
		return []string{filepath.Join(dir, l.Scratch.Name)}
	}
	var out []string
	for _, d := range b.Image.Disks {
		path := d.Path
		for name, from := range l.Copies {
			if from == d.Path {
				path = filepath.Join(dir, name)
			}
		}
		out = append(out, path)
	}
	for name := range l.Files {
		if filepath.Ext(name) == ".qcow2" { // an overlay of one of them
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out
}

// fill makes a file of so many bytes, each of which is written: to read a hole is to read
// nothing. What is in it cannot be compressed, and is the same each time. Everybody may
// write to it, as to a copy (see copyTo).
func fill(ctx context.Context, path string, size int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(0o666); err != nil {
		return err
	}
	noise := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 1<<20)
	for size > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(size, int64(len(buf)))]
		_, _ = noise.Read(part) // never fails
		if _, err := f.Write(part); err != nil {
			return err
		}
		size -= int64(len(part))
	}
	return f.Sync() // or the first samples would be written back during it
}
