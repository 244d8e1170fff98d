// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/journal"
)

// memoryLab is lab on a machine whose memory controller can be used.
func memoryLab(t *testing.T) (Hierarchy, *journal.Journal, string) {
	t.Helper()
	h, j, runID := lab(t)
	if err := h.Memory(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if left := j.Entries(); len(left) > 0 {
			t.Errorf("in the journal still: %+v", left)
		}
		if h.MemoryV1 != "" {
			if _, err := os.Stat(filepath.Join(h.MemoryV1, base, runID)); !os.IsNotExist(err) {
				t.Errorf("memory cgroup of the run is left: %v", err)
			}
		}
	})
	return h, j, runID
}

// touch starts a program in a group that touches so many MiB, says so and sleeps.
func touch(t *testing.T, g *Group, m *Memory, mib int) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	script := fmt.Sprintf("x=$(head -c %d /dev/zero | tr '\\0' x); echo ${#x}; sleep 60; :", mib<<20) // bash stays, and keeps it
	cmd := exec.Command("bash", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD(), Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Within(cmd.Start); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

func usage(t *testing.T, m *Memory) Usage {
	t.Helper()
	u, err := m.Usage()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestMemoryCounts: what a process touches is counted in its group, in the run's, and
// not in the test's own.
func TestMemoryCounts(t *testing.T) {
	h, j, runID := memoryLab(t)
	run, err := h.MemoryOfRun(j, runID)
	if err != nil {
		t.Fatal(err)
	}
	g, err := h.New(j, runID, "one")
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.MemoryOf(j, g)
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Usage()
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := touch(t, g, m, 32)
	if line, err := out.ReadString('\n'); err != nil || line != fmt.Sprintf("%d\n", 32<<20) {
		t.Fatalf("%q, %v", line, err)
	}
	for name, of := range map[string]*Memory{"group": m, "run": run} {
		u := usage(t, of)
		// The kernel adds up what memory.stat has of all CPUs every two seconds, or later.
		for deadline := time.Now().Add(20 * time.Second); u.Anon < 32<<20 && time.Now().Before(deadline); u = usage(t, of) {
			time.Sleep(50 * time.Millisecond)
		}
		if u.Anon < 32<<20 || u.Anon > 160<<20 || u.Current < u.Anon || u.Kernel == 0 {
			t.Errorf("%s: %+v: want the 32 MiB that the process has touched, before: %+v", name, u, before)
		}
	}
	if n, err := m.OutOfMemory(); n != 0 || err != nil {
		t.Errorf("%d killed, %v", n, err)
	}
	if err := g.Kill(t.Context()); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if err := errors.Join(m.Close(), g.Close(), run.Close(), run.Close()); err != nil {
		t.Error(err)
	}
}

// TestMemoryLimit: a limit of the group, or of its run, ends who needs more, and that
// is told; who needs less lives.
func TestMemoryLimit(t *testing.T) {
	for _, of := range []string{"group", "run"} {
		for mib, lives := range map[int]bool{8: true, 200: false} {
			t.Run(fmt.Sprintf("%s/%d", of, mib), func(t *testing.T) {
				h, j, runID := memoryLab(t)
				run, err := h.MemoryOfRun(j, runID)
				if err != nil {
					t.Fatal(err)
				}
				defer run.Close()
				g, err := h.New(j, runID, "one")
				if err != nil {
					t.Fatal(err)
				}
				defer g.Close()
				m, err := h.MemoryOf(j, g)
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				limited := m
				if of == "run" {
					limited = run
				}
				if err := limited.Limit(100 << 20); err != nil {
					t.Fatal(err)
				}
				cmd, out := touch(t, g, m, mib)
				line, _ := out.ReadString('\n')
				killed, err := limited.OutOfMemory()
				full, errFull := limited.AtLimit()
				if err := errors.Join(err, errFull, g.Kill(t.Context())); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
				if whole := line == fmt.Sprintf("%d\n", mib<<20); whole != lives || killed > 0 == lives || full == lives {
					t.Errorf("it said %q, %d were killed, at the limit: %v; want it to live: %v", line, killed, full, lives)
				}
			})
		}
	}
}

// TestMemoryUndo: what a run that died has left is removed from the journal alone.
func TestMemoryUndo(t *testing.T) {
	h, j, runID := memoryLab(t)
	run, err := h.MemoryOfRun(j, runID)
	if err != nil {
		t.Fatal(err)
	}
	g, err := h.New(j, runID, "one")
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.MemoryOf(j, g)
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := touch(t, g, m, 1)
	_, _ = out.ReadString('\n')
	reaped := make(chan error, 1)
	go func() { reaped <- cmd.Wait() }()
	undo := map[journal.Kind]journal.Undoer{journal.KindCgroup: Undo, KindMemory: UndoMemory, KindController: UndoController}
	report, err := j.Rollback(context.Background(), undo)
	if err := errors.Join(err, report.Err()); err != nil {
		t.Fatal(err)
	}
	<-reaped
	if _, err := os.Stat(run.Path); !os.IsNotExist(err) {
		t.Errorf("%s: %v", run.Path, err)
	}
}

// TestUndoController: what a run that died has left on in its own groups does not keep
// the controller at the root; another run's groups do.
func TestUndoController(t *testing.T) {
	h, j, runID := lab(t)
	var controller string
	for _, c := range h.Controllers {
		if on, err := controls(h.Path, c); err == nil && !on && !strings.HasPrefix(c, "cpu") {
			controller = c
		}
	}
	if controller == "" {
		t.Skip("no v2 controller is off at the root")
	}
	mine, err := h.New(j, runID, "one")
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	others, err := h.New(j, runID+"x", "one")
	if err != nil {
		t.Fatal(err)
	}
	defer others.Close()
	e := journal.Entry{Kind: KindController, Name: controller, Data: map[string]string{"path": h.Path, "run": runID}}
	undo := func(dirs ...string) (left bool) {
		t.Helper()
		for _, dir := range append([]string{h.Path, filepath.Join(h.Path, base)}, dirs...) {
			if err := switchOn(dir, controller); err != nil {
				t.Fatal(err)
			}
		}
		if err := UndoController(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		left, err := controls(h.Path, controller)
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	own, other := filepath.Dir(mine.Path), filepath.Dir(others.Path)
	if undo(own, mine.Path) {
		t.Errorf("%s is left on at the root", controller)
	}
	if !undo(own, other) {
		t.Errorf("%s was taken from another run", controller)
	}
	if on, err := controls(other, controller); !on || err != nil {
		t.Errorf("%s is off in another run's group: %v", controller, err)
	}
	e.Data["run"] = runID + "x"
	if undo() {
		t.Errorf("%s is left on at the root", controller)
	}
}

func TestMemoryUndoRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, e := range map[string]journal.Entry{
		"not ours":       {Name: "other/x", Data: map[string]string{"path": "/sys/fs/cgroup/memory/other/x"}},
		"another's path": {Name: base + "/r/x", Data: map[string]string{"path": "/sys/fs/cgroup/memory/other/x"}},
		"no cgroup":      {Name: filepath.Join(base, "x"), Data: map[string]string{"path": filepath.Join(dir, base, "x")}},
	} {
		if p := e.Data["path"]; strings.HasPrefix(p, dir) {
			if err := os.MkdirAll(p, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := UndoMemory(t.Context(), e); err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := UndoController(t.Context(), journal.Entry{Name: "memory", Data: map[string]string{"path": dir}}); err == nil {
		t.Error("a folder that is no cgroup is written to")
	}
}

// TestWithinComesBack: the thread that starts a process is afterwards where it was.
func TestWithinComesBack(t *testing.T) {
	h, j, runID := memoryLab(t)
	if h.MemoryV1 == "" {
		t.Skip("only of cgroup v1")
	}
	g, err := h.New(j, runID, "one")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	m, err := h.MemoryOf(j, g)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	broken := errors.New("broken")
	if err := m.Within(func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	tasks, err := os.ReadFile(filepath.Join(m.Path, "tasks"))
	if err != nil || len(tasks) != 0 {
		t.Errorf("tasks %q, %v: want none", tasks, err)
	}
	var none *Memory
	if err := none.Within(func() error { return nil }); err != nil || none.Close() != nil {
		t.Errorf("%v", err)
	}
}

func TestNoMemoryController(t *testing.T) {
	h := Hierarchy{Path: "/sys/fs/cgroup", Controllers: []string{"cpu"}}
	_, err := h.MemoryOfRun(nil, "r")
	if !errors.Is(err, ErrNoMemory) || !strings.Contains(err.Error(), "cgroup_disable=memory") {
		t.Errorf("%v", err)
	}
}

func TestParseTable(t *testing.T) {
	want := map[string]int64{"anon": 7, "oom_kill": 2, "low": -1}
	if diff := cmp.Diff(want, parseTable("anon 7\nfile x\n\noom_kill 2\nlow -1\nodd\n")); diff != "" {
		t.Error(diff)
	}
}

// TestUsageOfV2 reads what a kernel with v2 writes, of both ages.
func TestUsageOfV2(t *testing.T) {
	for stat, kernel := range map[string]int64{"anon 5\nfile 6\nkernel 9\nslab 1\n": 9, "anon 5\nfile 6\nkernel_stack 1\npagetables 2\npercpu 3\nslab 4\n": 10} {
		dir := t.TempDir()
		for name, text := range map[string]string{"memory.stat": stat, "memory.current": "30\n", "memory.events": "low 0\nmax 4\noom 2\noom_kill 3\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m := &Memory{Path: dir, V2: true}
		u, err := m.Usage()
		if diff := cmp.Diff(Usage{Current: 30, Anon: 5, File: 6, Kernel: kernel}, u); diff != "" || err != nil {
			t.Errorf("%s%v", diff, err)
		}
		kills, err := m.OutOfMemory()
		full, errFull := m.AtLimit()
		if kills != 3 || !full || err != nil || errFull != nil {
			t.Errorf("%d kills, at the limit %v, %v, %v", kills, full, err, errFull)
		}
		err = m.Mark()
		if full, errFull = m.AtLimit(); full || err != nil || errFull != nil {
			t.Errorf("at the limit since now: %v, %v, %v", full, err, errFull)
		}
	}
	if _, err := (&Memory{Path: t.TempDir(), V2: true}).Usage(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v: want no zeros for a group that is gone", err)
	}
}
