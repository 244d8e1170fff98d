// SPDX-License-Identifier: Apache-2.0

// Package journal is the write-ahead journal of what ukprobe changes on the
// host: every namespace, cgroup, process or directory is written down, and
// synced to disk, before it is made, so that it can be put back after a crash.
//
// There is one file per run, <dir>/<runID>.journal. Its owner holds flock(2)
// on it for as long as it lives; its first line also names the owner's pid, the
// pid's start time and the boot, so that a reused pid is not taken for the
// owner. A live run's journal is never touched by another process.
//
// The package knows the file and who owns it. It does not know how a namespace
// or a cgroup is undone: the packages that make them give an [Undoer] each.
// Undoers have to be idempotent, for a kill between "undone" and "written down
// as undone" makes the next [Clean] undo the same entry again.
package journal

import (
	"context"
	"errors"
	"strconv"
)

// DefaultDir is where journals live unless told otherwise.
const DefaultDir = "/run/ukprobe"

// Kind says what sort of host change an entry is, and so which Undoer takes it.
type Kind string

// The kinds of this release. A package may add its own.
const (
	KindNetNS     Kind = "netns"
	KindNetNSDir  Kind = "netns-dir"
	KindCgroup    Kind = "cgroup"
	KindProcess   Kind = "process"
	KindTempDir   Kind = "tempdir"
	KindSysctl    Kind = "sysctl"
	KindMount     Kind = "mount"
	KindChrootDev Kind = "chroot-dev"
)

// Entry is one change of the host. Kind and Name together identify it within
// a journal.
type Entry struct {
	Kind Kind              `json:"kind"`
	Name string            `json:"name"`
	Data map[string]string `json:"data,omitempty"`
}

// String is fit for a terminal, whatever stands in the journal.
func (e Entry) String() string { return printable(string(e.Kind)) + " " + printable(e.Name) }

// printable escapes what is not, and cuts what nobody reads.
func printable(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "…"
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// undone says what undoing it was: what stood there before is there again, or the thing
// is gone.
func (e Entry) undone() string {
	if _, ok := e.Data["was"]; ok {
		return "put back"
	}
	return "removed"
}

func (e Entry) is(other Entry) bool { return e.Kind == other.Kind && e.Name == other.Name }

// ErrNotOurs is an [Undoer]'s for what somebody else has changed since: nothing was done,
// and there is nothing left to do.
var ErrNotOurs = errors.New("left alone")

// Undoer puts one change back. Undoing what is already gone is no error.
type Undoer func(ctx context.Context, e Entry) error
