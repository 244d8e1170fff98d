// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/internal/toomany"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"golang.org/x/sys/unix"
)

// base is the group under the hierarchy's root that holds all of ukprobe's.
const base = "ukprobe"

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Group is one cgroup, <v2>/ukprobe/<runID>/<name>.
type Group struct {
	Path string
	// ID is what bpf_get_current_cgroup_id() gives for tasks of this group.
	ID uint64

	dir     *os.File
	entry   journal.Entry
	journal *journal.Journal
}

// New makes the group of one sample, journalled first. It needs root. A group
// of that name that is already there is an error.
func (h Hierarchy) New(j *journal.Journal, runID, name string) (*Group, error) {
	if !validName.MatchString(runID) || !validName.MatchString(name) {
		return nil, fmt.Errorf("make cgroup %q of run %q: want names of letters, digits, '.', '_' and '-'", name, runID)
	}
	path := filepath.Join(h.Path, base, runID, name)
	if _, err := os.Lstat(path); err == nil {
		return nil, exists(path)
	}
	g := &Group{Path: path, journal: j, entry: journal.Entry{
		Kind: journal.KindCgroup, Name: filepath.Join(base, runID, name), Data: map[string]string{"path": path},
	}}
	if err := j.Record(g.entry); err != nil {
		return nil, fmt.Errorf("make cgroup: %w", err)
	}
	if err := g.create(); err != nil {
		return nil, errors.Join(err, j.Forget(g.entry))
	}
	return g, nil
}

func exists(path string) error {
	return fmt.Errorf("make cgroup %s: already there: run `ukprobe clean`, or choose another run ID", path)
}

// create makes the directory and opens it; on failure nothing of it is left.
func (g *Group) create() error {
	if err := g.mkdir(); err != nil {
		return err
	}
	dir, err := os.Open(g.Path)
	if err == nil {
		g.dir = dir
		g.ID, err = id(dir)
	}
	if err != nil {
		if g.dir != nil {
			_ = g.dir.Close()
		}
		return errors.Join(fmt.Errorf("cgroup %s: %w", g.Path, err), removeTree(g.Path))
	}
	return nil
}

// mkdir makes the group and the two above it. Another run that closes may
// remove ukprobe/ between our steps, so the parents are tried again.
func (g *Group) mkdir() error {
	var err error
	for range 10 {
		if err = os.MkdirAll(filepath.Dir(g.Path), 0o755); err != nil && !errors.Is(err, os.ErrNotExist) {
			break
		}
		if err = os.Mkdir(g.Path, 0o755); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, os.ErrExist) {
		return exists(g.Path)
	}
	if err != nil {
		removeParents(g.Path)
		return fmt.Errorf("make cgroup %s: %w: %s", g.Path, err, toomany.Advice(err, "run as root, with the cgroup v2 mount writable"))
	}
	return nil
}

// id asks the kernel for the file handle of a cgroup directory, which for
// cgroup2 is the 64-bit kernfs node id, the same number
// bpf_get_current_cgroup_id() gives (kernel: cgroup_id() is kn->id).
func id(dir *os.File) (uint64, error) {
	handle, _, err := unix.NameToHandleAt(int(dir.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil {
		return 0, fmt.Errorf("name_to_handle_at: %w", err)
	}
	if handle.Size() != 8 {
		return 0, fmt.Errorf("name_to_handle_at: a handle of %d bytes, want 8: not a cgroup2 directory", handle.Size())
	}
	return binary.NativeEndian.Uint64(handle.Bytes()), nil
}

// FD is the open directory, for syscall.SysProcAttr's CgroupFD with
// UseCgroupFD (clone3 with CLONE_INTO_CGROUP, Linux 5.7). The group owns it;
// it is good until Close.
func (g *Group) FD() int { return int(g.dir.Fd()) }

// RunID is the id of the group above: that of all the run's groups.
func (g *Group) RunID() (uint64, error) {
	dir, err := os.Open(filepath.Dir(g.Path))
	if err != nil {
		return 0, fmt.Errorf("cgroup of the run: %w", err)
	}
	defer dir.Close()
	run, err := id(dir)
	if err != nil {
		return 0, fmt.Errorf("cgroup %s: %w", dir.Name(), err)
	}
	return run, nil
}

// Pids lists the processes in the group and in groups below it.
func (g *Group) Pids() ([]int, error) { return pids(g.Path) }

// Kill sends SIGKILL to every process in the group and below and waits until
// none is left or ctx ends; the error then names those that remain.
func (g *Group) Kill(ctx context.Context) error { return kill(ctx, g.Path) }

// Close kills what is in the group and removes it, and ukprobe/<runID> and
// ukprobe/ after the last group. It may be called again.
func (g *Group) Close() error {
	if g.dir == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	if err := remove(ctx, g.Path); err != nil {
		return err
	}
	err := errors.Join(g.dir.Close(), g.journal.Forget(g.entry))
	g.dir = nil
	return err
}

// left is the path of a journalled group that is still there, on a file system of that
// kind; "" if it is gone, or not ours to touch, with the reason.
func left(e journal.Entry, magic int64, kind string) (string, error) {
	path := e.Data["path"]
	if path == "" || filepath.Clean(path) != path || !strings.HasSuffix(path, "/"+e.Name) || !strings.HasPrefix(e.Name, base+"/") {
		return "", fmt.Errorf("path %q is not a cgroup of ukprobe: left alone", path)
	}
	var fs unix.Statfs_t
	err := unix.Statfs(path, &fs)
	if errors.Is(err, unix.ENOENT) {
		removeParents(path)
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if fs.Type != magic {
		return "", fmt.Errorf("%s is not on a %s file system: left alone", path, kind)
	}
	return path, nil
}

// Undo is the journal's undoer for cgroups: it kills what is in the group and
// removes it. A group that is gone is no error. Only a directory of a cgroup2
// file system below a ukprobe/ is touched.
func Undo(ctx context.Context, e journal.Entry) error {
	path, err := left(e, unix.CGROUP2_SUPER_MAGIC, "cgroup2")
	if path == "" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, closeWait)
	defer cancel()
	return remove(ctx, path)
}

// parsePids reads cgroup.procs. A 0 is a process of another pid namespace.
func parsePids(text string) ([]int, error) {
	var out []int
	for _, f := range strings.Fields(text) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("cgroup.procs: %w", err)
		}
		out = append(out, pid)
	}
	return out, nil
}

// groupDepth is how deep New makes its groups: base, run, sample.
const groupDepth = 3

// Level is how deep New's groups are below the root of the hierarchy, which may lie
// above its mount point: what bpf_get_current_ancestor_cgroup_id counts in. It holds
// in the host's own cgroup namespace only.
func (h Hierarchy) Level() int { return len(strings.FieldsFunc(h.Root, isSlash)) + groupDepth }

func isSlash(r rune) bool { return r == '/' }

// Name is the group's path below the root of the hierarchy, such as
// /ukprobe/RUN/SAMPLE, as /proc/PID/cgroup writes it.
func (h Hierarchy) Name(g *Group) string { return strings.TrimPrefix(g.Path, h.Path) }
