// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// below makes a group in a group, and opens it for a child to be born in.
func below(t *testing.T, dir string) (path string, fd int) {
	t.Helper()
	path = filepath.Join(dir, "inner")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.Close()
		for deadline := time.Now().Add(5 * time.Second); unix.Rmdir(path) != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s is left", path)
				return
			}
		}
	})
	return path, int(f.Fd())
}

// level is how deep a group is below its hierarchy's root.
func level(t *testing.T, dir string) int {
	t.Helper()
	rel, err := filepath.Rel(v2Mount(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(strings.Split(rel, "/"))
}

// TestGroupsBelow: with GroupLevel what happens in a group below a watched one
// belongs to it, and without it does not.
func TestGroupsBelow(t *testing.T) {
	dir, _, id := freshCgroup(t)
	first, fd := below(t, dir)
	_, deeper := below(t, first)
	for _, rung := range []Rung{Auto, RawTP, Tracepoint} {
		for _, with := range []int{0, level(t, dir)} {
			p := openProbe(t, Options{Attach: rung, GroupLevel: with})
			if err := p.GroupsBelow(); err != nil {
				t.Skip(err)
			}
			w := watchProcess(t, p, id)
			for _, fd := range []int{fd, deeper} {
				process(t, fd, "/bin/echo", "hello from below")
			}
			var want []string
			if with > 0 {
				want = []string{"hello from below\n", "hello from below\n"}
				eventually(t, "two lines", func() bool { return len(w.Lines()) == 2 })
			}
			w.Drain()
			if diff := cmp.Diff(want, texts(w.Lines())); diff != "" {
				t.Errorf("%s, level %d: lines (-want +got):\n%s", rung, with, diff)
			}
			closeWatch(t, w)
		}
	}
}

// TestContainerBegins: of several execs in a container's cgroup its own begins with
// the first in a pid namespace of its own, and the runtime's exec is that of its
// parent's first child.
func TestContainerBegins(t *testing.T) {
	dir, _, id := freshCgroup(t)
	_, fd := below(t, dir)
	for _, rung := range []Rung{Auto, RawTP, Tracepoint} {
		p := openProbe(t, Options{Attach: rung, GroupLevel: level(t, dir)})
		if err := p.GroupsBelow(); err != nil {
			t.Skip(err)
		}
		w, err := p.Watch(Target{CgroupID: id, ConsoleWrite: true, ConsoleFD: 1, Ready: regexp.MustCompile("^hello "), Container: true})
		if err != nil {
			t.Fatal(err)
		}
		t0 := now()
		process(t, -1, "/bin/true") // the runtime: outside, this process's first child from here on
		t1 := now()
		process(t, fd, "/bin/true") // the runtime again, inside
		t2 := now()
		cmd := exec.Command("/bin/echo", "hello from a container")
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd, Cloneflags: unix.CLONE_NEWPID}
		if out, err := cmd.Output(); err != nil || len(out) == 0 {
			t.Fatalf("%v, %q", err, out)
		}
		eventually(t, "ready and ended", ended(w))
		tl := w.Timeline()
		runtime, _ := tl.At(EventRuntimeExec)
		own, _ := tl.At(EventVMMExec)
		end, _ := tl.At(EventVMMExit)
		if runtime.NS < t0 || runtime.NS > t1 || own.NS < t2 || end.NS < own.NS || own.TID != cmd.Process.Pid {
			t.Errorf("%s: runtime's exec %d (want %d to %d), own %d by %d (want after %d, by %d), end %d",
				rung, runtime.NS, t0, t1, own.NS, own.TID, t2, cmd.Process.Pid, end.NS)
		}
		if wrong := tl.Check(); len(wrong) > 0 {
			t.Error(wrong)
		}
		closeWatch(t, w)
		if p.config.Containers != 0 {
			t.Errorf("%d containers are still counted", p.config.Containers)
		}
	}
}

// TestNoContainerNoRuntime: the event is not asked of other guests.
func TestNoContainerNoRuntime(t *testing.T) {
	p := openProbe(t, Options{})
	_, _, id := freshCgroup(t)
	for container, want := range map[bool]bool{true: true, false: false} {
		w, err := p.Watch(Target{CgroupID: id, Container: container})
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, m := range w.Timeline().Missing {
			got = got || m.Name == EventRuntimeExec && m.Reason != ""
		}
		if got != want {
			t.Errorf("container %v: %s missing: %v", container, EventRuntimeExec, got)
		}
		closeWatch(t, w)
	}
}
