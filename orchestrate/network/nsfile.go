// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/internal/toomany"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// netnsDir is where iproute2 and the netns library keep namespaces' names.
	netnsDir = "/run/netns"
	// nsPrefix begins the name of every namespace of ukprobe.
	nsPrefix = "ukprobe-"
	// leaveWait is how long a namespace's last processes may take to end.
	leaveWait = time.Second
)

// ErrInUse says that a namespace is still held by a process.
var ErrInUse = errors.New("network namespace is still in use")

// namespace is one named network namespace that this run made.
type namespace struct {
	name   string
	handle netns.NsHandle
	inum   uint64
	entry  journal.Entry
	gone   bool
}

// newNamespace makes a namespace bound at /run/netns/<name>, journalled first.
func newNamespace(j *journal.Journal, name string) (*namespace, error) {
	path := filepath.Join(netnsDir, name)
	if _, err := os.Lstat(path); err == nil {
		return nil, nsExists(name)
	}
	ns := &namespace{name: name, handle: netns.None(), entry: journal.Entry{
		Kind: journal.KindNetNS, Name: name, Data: map[string]string{"path": path},
	}}
	if err := j.Record(ns.entry); err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	if err := ns.create(path); err != nil {
		return nil, errors.Join(err, j.Forget(ns.entry))
	}
	return ns, nil
}

func nsExists(name string) error {
	return fmt.Errorf("network namespace %s is already there: run `ukprobe clean`, or choose another run ID", name)
}

func (ns *namespace) create(path string) error {
	err := onThread(func() error { return nil }, func() (err error) {
		ns.handle, err = netns.NewNamed(ns.name)
		return err
	})
	if errors.Is(err, os.ErrExist) {
		return nsExists(ns.name)
	}
	if err == nil {
		var st unix.Stat_t
		err = unix.Fstat(int(ns.handle), &st)
		ns.inum = st.Ino
	}
	if err != nil {
		ns.forgetHandle()
		return errors.Join(
			fmt.Errorf("make network namespace %s: %w: %s", ns.name, err, toomany.Advice(err, "run as root (CAP_SYS_ADMIN), with "+netnsDir+" writable")),
			removeName(path))
	}
	return nil
}

func (ns *namespace) forgetHandle() {
	if ns.handle.IsOpen() {
		_ = ns.handle.Close()
	}
}

// remove takes the namespace away and writes that down. It may be called again.
func (ns *namespace) remove(j *journal.Journal) error {
	if ns.gone {
		return nil
	}
	ns.forgetHandle()
	if err := UndoNetNS(context.Background(), ns.entry); err != nil {
		return err
	}
	ns.gone = true
	return j.Forget(ns.entry)
}

// UndoNetNS is the journal's undoer for namespaces: it unmounts and removes the
// name, and every tap, bridge and qdisc inside dies with the namespace. While a
// process other than this one still holds the namespace nothing is removed, so
// that `ip netns pids` can show it too; the error, which wraps ErrInUse, names
// the pids. A name that is gone is no error.
func UndoNetNS(ctx context.Context, e journal.Entry) error {
	path := e.Data["path"]
	if !strings.HasPrefix(e.Name, nsPrefix) || path != filepath.Join(netnsDir, e.Name) || filepath.Base(path) != e.Name {
		return fmt.Errorf("%q is not a network namespace of ukprobe: left alone", path)
	}
	mounted, err := isMountPoint(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if mounted {
		if err := waitUnused(ctx, e.Name, path); err != nil {
			return err
		}
	}
	return removeName(path)
}

// waitUnused waits for processes that were just killed to be gone.
func waitUnused(ctx context.Context, name, path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for deadline := time.Now().Add(leaveWait); ; time.Sleep(10 * time.Millisecond) {
		who := holders(st.Ino)
		if len(who) == 0 {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%s: %w by %s: end them, then run `ukprobe clean`", name, ErrInUse, strings.Join(who, ", "))
		}
	}
}

// removeName unmounts what is bound at path, as often as it is, and removes it.
func removeName(path string) error {
	for {
		mounted, err := isMountPoint(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !mounted {
			break
		}
		if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w: run as root", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: run as root", err)
	}
	return nil
}

// isMountPoint asks statx(2), which tells since Linux 5.8.
func isMountPoint(path string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st); err != nil {
		return false, fmt.Errorf("statx %s: %w", path, err)
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return false, fmt.Errorf("statx %s: this kernel does not tell mount points (needs Linux 5.8)", path)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
