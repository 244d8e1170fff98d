// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/journal"
)

// ErrNoMemory says that memory can neither be counted nor limited by cgroup here.
var ErrNoMemory = errors.New("no cgroup memory controller")

// The journal's kinds of what memory needs: groups of the v1 controller, and the v2
// controller where it had to be switched on for the groups below the root.
const (
	KindMemory     journal.Kind = "cgroup-memory"
	KindController journal.Kind = "cgroup-controller"
)

// hold is a group that keeps a run's group from being removed as empty.
const hold = "hold"

// subtreeControl is the file of a v2 group with the controllers that are on below it.
const subtreeControl = "cgroup.subtree_control"

// Memory is where the memory of a group's processes is counted and can be limited: of
// cgroup v2 the group itself, of v1 a group of the same name. A nil Memory does nothing.
type Memory struct {
	Path string
	V2   bool

	root    string // v1: the path of the mount, and what is mounted there
	mounted string
	entry   *journal.Entry // nil: nothing of its own was made
	journal *journal.Journal
	marked  int64 // v2: how often it had been at its limit before Mark
}

// Memory says whether memory can be counted and limited by cgroup on this machine: an
// error wraps [ErrNoMemory] and says what to do.
func (h Hierarchy) Memory() error {
	if h.MemoryV1 != "" || slices.Contains(h.Controllers, "memory") {
		return nil
	}
	return fmt.Errorf("%w: neither v2 at %s nor a v1 mount has it: boot without cgroup_disable=memory, or `mkdir -p /sys/fs/cgroup/memory && mount -t cgroup -o memory none /sys/fs/cgroup/memory`", ErrNoMemory, h.Path)
}

// MemoryOf is where the memory of a sample's group is counted. It has to be asked for
// before there are processes in the group.
func (h Hierarchy) MemoryOf(j *journal.Journal, g *Group) (*Memory, error) {
	return h.memory(j, strings.TrimPrefix(g.Path, h.Path+"/"), g.Path)
}

// MemoryOfRun is where the memory of all groups of a run ID is counted together. It
// has to be asked for before the first of them is made.
func (h Hierarchy) MemoryOfRun(j *journal.Journal, runID string) (*Memory, error) {
	if !validName.MatchString(runID) {
		return nil, fmt.Errorf("make cgroup of run %q: want a name of letters, digits, '.', '_' and '-'", runID)
	}
	if err := h.Memory(); err != nil {
		return nil, err
	}
	if h.MemoryV1 != "" {
		m, err := h.memory(j, filepath.Join(base, runID, hold), "")
		if err == nil {
			m.Path = filepath.Dir(m.Path)
		}
		return m, err
	}
	if err := h.enableRoot(j); err != nil { // before the group: a rollback comes to it last
		return nil, err
	}
	g, err := h.New(j, runID, hold)
	if err != nil {
		return nil, err
	}
	m, err := h.memory(j, filepath.Join(base, runID, hold), g.Path)
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	if err := g.dir.Close(); err != nil { // from here on the entry alone is needed
		return nil, err
	}
	m.Path, m.entry = filepath.Dir(g.Path), &g.entry
	return m, nil
}

// HoldMemory has the memory of every group that a run is to make counted, from the
// first: where the controller is switched on once some groups have been used, these are
// charged differently from later ones. It has to be called before the first is made.
// Where there is no controller, or it is of v1, whose groups are each made for what is to
// be counted, it does nothing and returns nil.
func (h Hierarchy) HoldMemory(j *journal.Journal, runID string) (*Memory, error) {
	if h.MemoryV1 != "" || !slices.Contains(h.Controllers, "memory") {
		return nil, nil
	}
	return h.MemoryOfRun(j, runID)
}

// memory makes what is missing for the group of that name below the hierarchy's root.
func (h Hierarchy) memory(j *journal.Journal, name, v2 string) (*Memory, error) {
	if err := h.Memory(); err != nil {
		return nil, err
	}
	if h.MemoryV1 == "" {
		m := &Memory{Path: v2, V2: true, journal: j}
		return m, h.enable(j, filepath.Dir(v2))
	}
	m := &Memory{Path: filepath.Join(h.MemoryV1, name), root: h.MemoryV1, mounted: h.MemoryRoot, journal: j}
	m.entry = &journal.Entry{Kind: KindMemory, Name: name, Data: map[string]string{"path": m.Path}}
	if err := j.Record(*m.entry); err != nil {
		return nil, fmt.Errorf("make memory cgroup: %w", err)
	}
	if err := m.makeV1(); err != nil {
		return nil, errors.Join(fmt.Errorf("make memory cgroup %s: %w", m.Path, err), m.Close())
	}
	return m, nil
}

// makeV1 makes the group, and sees to it that the groups above count what is in it:
// before Linux 5.11 that had to be asked for.
func (m *Memory) makeV1() error {
	if err := os.MkdirAll(m.Path, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(filepath.Dir(m.Path)), filepath.Dir(m.Path)} {
		_ = write(filepath.Join(dir, "memory.use_hierarchy"), "1") // refused where groups are below, as those of a run before
	}
	return nil
}

// enable switches the memory controller on for the groups below dir, from the root of
// the hierarchy on.
func (h Hierarchy) enable(j *journal.Journal, dir string) error {
	rel, err := filepath.Rel(h.Path, dir)
	if err != nil {
		return err
	}
	if err := h.enableRoot(j); err != nil {
		return err
	}
	at := h.Path
	for _, word := range strings.Split(rel, "/") {
		at = filepath.Join(at, word)
		on, err := controls(at, "memory")
		if err != nil {
			return fmt.Errorf("memory controller: %w", err)
		}
		if on {
			continue
		}
		if err := switchOn(at, "memory"); err != nil {
			return err
		}
	}
	return nil
}

// enableRoot switches the memory controller on for the groups below the hierarchy's root:
// a change of the host.
func (h Hierarchy) enableRoot(j *journal.Journal) error {
	on, err := controls(h.Path, "memory")
	if err != nil {
		return fmt.Errorf("memory controller: %w", err)
	}
	if on {
		return nil
	}
	e := journal.Entry{Kind: KindController, Name: "memory", Data: map[string]string{"path": h.Path, "run": j.RunID()}}
	if err := j.Record(e); err != nil {
		return err
	}
	return switchOn(h.Path, "memory")
}

// controls tells whether a controller is on for the groups below dir.
func controls(dir, controller string) (bool, error) {
	on, err := os.ReadFile(filepath.Join(dir, subtreeControl))
	return slices.Contains(strings.Fields(string(on)), controller), err
}

func switchOn(dir, controller string) error {
	if err := write(filepath.Join(dir, subtreeControl), "+"+controller); err != nil {
		return fmt.Errorf("switch the %s controller on: %w: processes in %s itself are in the way", controller, err, dir)
	}
	return nil
}

// Limit sets how much memory the group may use, swap included.
func (m *Memory) Limit(bytes int64) error {
	n := strconv.FormatInt(bytes, 10)
	files := []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}
	values := []string{n, n}
	if m.V2 {
		files, values = []string{"memory.max", "memory.swap.max"}, []string{n, "0"}
	}
	for i, file := range files {
		err := write(filepath.Join(m.Path, file), values[i])
		if i > 0 && errors.Is(err, os.ErrNotExist) {
			continue // a kernel that does not count swap
		}
		if err != nil {
			return fmt.Errorf("limit memory to %d bytes: %w", bytes, err)
		}
	}
	return nil
}

// Within runs fn so that the processes that it starts from its own thread, which has
// to be locked, are counted from their first page on. Of v2 they are anyway, by
// being born in the group.
func (m *Memory) Within(fn func() error) (err error) {
	if m == nil || m.V2 {
		return fn()
	}
	runtime.LockOSThread()
	before, err := m.threadGroup()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	tid := strconv.Itoa(unix.Gettid())
	if err := write(filepath.Join(m.Path, "tasks"), tid); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("start in memory cgroup: %w", err)
	}
	defer func() {
		if back := write(filepath.Join(before, "tasks"), tid); back != nil {
			err = errors.Join(err, fmt.Errorf("take a thread out of memory cgroup %s: %w", m.Path, back))
			return // the thread stays locked, so that nothing else is done by it
		}
		runtime.UnlockOSThread()
	}()
	return fn()
}

// threadGroup is the path of the v1 memory group that this thread is in.
func (m *Memory) threadGroup() (string, error) {
	raw, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find this thread's memory cgroup: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(f) == 3 && slices.Contains(strings.Split(f[1], ","), "memory") {
			return filepath.Join(m.root, strings.TrimPrefix(f[2], strings.TrimSuffix(m.mounted, "/"))), nil
		}
	}
	return "", errors.New("find this thread's memory cgroup: /proc/thread-self/cgroup names none")
}

// Close removes what MemoryOf or MemoryOfRun made. Processes are killed by the
// [Group]; those that are just ending are waited for.
func (m *Memory) Close() error {
	if m == nil || m.entry == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	path := m.entry.Data["path"]
	removal := removeV1
	if m.V2 {
		removal = remove
	}
	if err := removal(ctx, path); err != nil {
		return err
	}
	err := m.journal.Forget(*m.entry)
	m.entry = nil
	return err
}

// removeV1 removes a v1 group with those below it, and the two above it where nothing
// else is in them.
func removeV1(ctx context.Context, path string) error {
	for {
		err := removeTree(path)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) || ctx.Err() != nil {
			return err
		}
		time.Sleep(pollEvery)
	}
	removeParents(path)
	return nil
}

// UndoMemory is the journal's undoer for memory groups of v1: it kills what is in the
// group and removes it.
func UndoMemory(ctx context.Context, e journal.Entry) error {
	path, err := left(e, unix.CGROUP_SUPER_MAGIC, "cgroup v1")
	if path == "" {
		return err
	}
	if err := signalAll(path); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, closeWait)
	defer cancel()
	return removeV1(ctx, path)
}

// UndoController is the journal's undoer for a controller that was switched on at the
// root of the v2 hierarchy. It takes it off from the inside out: the run's own groups,
// those of all runs, the root. Somebody else's groups that use it by now keep it, another
// run's too.
func UndoController(_ context.Context, e journal.Entry) error {
	root, run := e.Data["path"], e.Data["run"]
	var fs unix.Statfs_t
	if err := unix.Statfs(root, &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("path %q is not a cgroup2 file system: left alone (%w)", root, err)
	}
	var own []string
	if validName.MatchString(run) {
		err := walk(filepath.Join(root, base, run), func(dir string) error { own = append([]string{dir}, own...); return nil })
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("switch the controller %s off: %w", e.Name, err)
		}
	}
	for _, dir := range append(own, filepath.Join(root, base), root) {
		err := write(filepath.Join(dir, subtreeControl), "-"+e.Name)
		gone := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EACCES)
		used := errors.Is(err, unix.EBUSY) // below it
		if err != nil && !used && (dir == root || !gone) {
			return fmt.Errorf("switch the controller %s off: %w", e.Name, err)
		}
	}
	return nil
}

// write writes one value to a file of a cgroup, which is never created: where there is
// none, cgroupfs refuses that with EACCES instead of ENOENT.
func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
