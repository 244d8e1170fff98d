// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/probe"
)

// fakeSource is an instrument that says what a test wants it to.
type fakeSource struct {
	t      *testing.T
	events chan Event

	mu       sync.Mutex
	counts   map[uint64]probe.Counts
	released map[uint64]bool // and whether to be ignored
	adopted  map[int]Guest
	networks map[uint64]string // devices, by VM
	beyond   uint64
	hooks    []probe.HookStatus
	fail     error
}

func newFakeSource(t *testing.T) *fakeSource {
	return &fakeSource{t: t, events: make(chan Event), counts: map[uint64]probe.Counts{}, released: map[uint64]bool{}, adopted: map[int]Guest{}}
}

func (f *fakeSource) Events() <-chan Event { return f.events }

func (f *fakeSource) Adopt(pid int) (Guest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, ok := f.adopted[pid]
	if !ok {
		return Guest{}, fmt.Errorf("no VM in process %d", pid)
	}
	return g, nil
}

func (f *fakeSource) Release(id uint64, ignore bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, twice := f.released[id]; twice {
		f.t.Errorf("VM %d is given back twice", id)
	}
	f.released[id] = ignore
	return nil
}

func (f *fakeSource) WatchNetwork(id uint64) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	device, ok := f.networks[id]
	if !ok {
		return "", errors.New("no such device")
	}
	return device, nil
}

func (f *fakeSource) Beyond() uint64            { return f.beyond }
func (f *fakeSource) Hooks() []probe.HookStatus { return f.hooks }

// guest makes a VM whose counts the test sets.
func (f *fakeSource) guest(id uint64, pid int, start uint64) Guest {
	return Guest{ID: id, PID: pid, Start: start, Found: epoch, Counts: func() (probe.Counts, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, gone := f.released[id]; gone {
			f.t.Errorf("VM %d is read after it was given back", id)
			return probe.Counts{}, errors.New("given back")
		}
		return f.counts[id], f.fail
	}}
}

func (f *fakeSource) set(id uint64, n probe.Counts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[id] = n
}

var epoch = time.Unix(1_700_000_000, 0)

// fakeProc is a /proc with the files that are read.
type fakeProc struct {
	t *testing.T
	proc
}

func newFakeProc(t *testing.T) fakeProc {
	p := fakeProc{t: t, proc: proc(t.TempDir())}
	if err := os.Mkdir(filepath.Join(string(p.proc), "self"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.write("self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n")
	return p
}

func (p fakeProc) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(string(p.proc), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// add makes a process; vm says that it has a VM of KVM open.
func (p fakeProc) add(pid int, start uint64, cgroup string, vm bool, args ...string) {
	p.t.Helper()
	comm := "init"
	if len(args) > 0 {
		comm = filepath.Base(args[0])
		comm = comm[:min(len(comm), 15)]
	}
	dir := fmt.Sprint(pid)
	p.write(dir+"/stat", fmt.Sprintf("%d (%s) S%s %d 0 0\n", pid, comm, strings.Repeat(" 0", 18), start))
	p.write(dir+"/cmdline", strings.Join(args, "\x00")+"\x00")
	p.write(dir+"/cgroup", "0::"+cgroup+"\n")
	fd := filepath.Join(string(p.proc), dir, "fd")
	if err := os.MkdirAll(fd, 0o755); err != nil {
		p.t.Fatal(err)
	}
	to := "/dev/null"
	if vm {
		to = "anon_inode:kvm-vm"
	}
	if err := os.Symlink(to, filepath.Join(fd, "5")); err != nil && !errors.Is(err, os.ErrExist) {
		p.t.Fatal(err)
	}
}

func (p fakeProc) remove(pid int) {
	if err := os.RemoveAll(filepath.Join(string(p.proc), fmt.Sprint(pid))); err != nil {
		p.t.Fatal(err)
	}
}
