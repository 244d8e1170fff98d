// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ukprobe/ukprobe/internal/toomany"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"golang.org/x/sys/unix"
)

// withDirLock keeps other ukprobe processes from preparing or taking back
// /run/netns meanwhile. The lock is on its parent, for a descriptor of the
// directory itself would keep it from being unmounted.
func withDirLock(fn func() error) error {
	parent := filepath.Dir(netnsDir)
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := flock(f); err != nil {
		return fmt.Errorf("lock %s: %w", parent, err)
	}
	return fn()
}

func flock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// prepareDir makes /run/netns what `ip netns add` makes it: a shared mount
// point. Were it a plain directory, a later `ip netns add` would bind-mount it
// over itself with our namespaces below, where they could no longer be
// unmounted. It returns the journal entry, nil when nothing had to be done. The
// caller holds the lock.
func prepareDir(j *journal.Journal) (*journal.Entry, error) {
	mounted, err := isMountPoint(netnsDir)
	if mounted {
		return nil, nil
	}
	missing := errors.Is(err, os.ErrNotExist)
	if err != nil && !missing {
		return nil, err
	}
	e := journal.Entry{Kind: journal.KindNetNSDir, Name: netnsDir, Data: map[string]string{}}
	if missing {
		e.Data["mkdir"] = "yes"
	}
	if err := j.Record(e); err != nil {
		return nil, err
	}
	if err := mountDir(); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w: %s", netnsDir, err, toomany.Advice(err, "run as root (CAP_SYS_ADMIN)")),
			undoDir(e), j.Forget(e))
	}
	return &e, nil
}

func mountDir() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(netnsDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := flock(dir); err != nil { // as `ip netns add` does
		return fmt.Errorf("lock: %w", err)
	}
	if mounted, err := isMountPoint(netnsDir); mounted || err != nil {
		return err
	}
	if err := unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind mount: %w", err)
	}
	if err := unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make shared: %w", err)
	}
	return nil
}

// UndoNetNSDir takes back the mount of /run/netns, and the directory when this
// run made it. While any namespace has a name there it stays, as it does after
// `ip netns add`; that is no error.
func UndoNetNSDir(_ context.Context, e journal.Entry) error {
	if e.Name != netnsDir {
		return fmt.Errorf("%q is not %s: left alone", e.Name, netnsDir)
	}
	return withDirLock(func() error { return undoDir(e) })
}

func undoDir(e journal.Entry) error {
	list, err := os.ReadDir(netnsDir)
	if errors.Is(err, os.ErrNotExist) || len(list) > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	// EINVAL: not mounted. EBUSY: someone is just using it.
	err = unix.Unmount(netnsDir, unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("unmount %s: %w: run as root", netnsDir, err)
	}
	if err == nil && e.Data["mkdir"] != "" {
		_ = unix.Rmdir(netnsDir) // refuses, rightly, when a name has appeared meanwhile
	}
	return nil
}
