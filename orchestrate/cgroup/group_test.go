// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"golang.org/x/sys/unix"
)

// lab gives the machine's hierarchy, a journal of the test's own, and a run ID.
func lab(t *testing.T) (Hierarchy, *journal.Journal, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make cgroups")
	}
	h, err := Find()
	if err != nil {
		t.Skip(err)
	}
	runID := fmt.Sprintf("cgtest-%d-%d", os.Getpid(), time.Now().UnixNano())
	j, err := journal.Open(t.TempDir(), runID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(h.Path, base, runID)); !os.IsNotExist(err) {
			t.Errorf("cgroup of the run is left: %v", err)
		}
	})
	return h, j, runID
}

// startIn starts a process inside g, through clone3, that prints its cgroups
// and sleeps.
func startIn(t *testing.T, g *Group) (cmd *exec.Cmd, cgroups string) {
	t.Helper()
	cmd = exec.Command("sh", "-c", "cat /proc/self/cgroup; echo; exec sleep 60")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD()}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\n" {
			return cmd, cgroups
		}
		cgroups += line
	}
}

func TestBornInTheGroup(t *testing.T) {
	h, j, run := lab(t)
	g, err := h.New(j, run, "s1")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()

	cmd, cgroups := startIn(t, g)
	if want := "0::/ukprobe/" + run + "/s1\n"; !strings.HasSuffix(cgroups, want) {
		t.Errorf("the child is in\n%swant …%s", cgroups, want)
	}
	got, err := g.Pids()
	if diff := cmp.Diff([]int{cmd.Process.Pid}, got); diff != "" || err != nil {
		t.Errorf("pids (-want +got):\n%s%v", diff, err)
	}
	if _, err := h.New(j, run, "s1"); err == nil || !strings.Contains(err.Error(), "ukprobe clean") {
		t.Errorf("the same group twice: %v", err)
	}

	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGKILL {
		t.Errorf("the child ended by %v, want SIGKILL", ws)
	}
	if err := g.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestID holds the handle against the inode number, which the kernel makes from
// the same kernfs id on 64-bit machines.
func TestID(t *testing.T) {
	h, j, run := lab(t)
	seen := map[uint64]bool{}
	for _, name := range []string{"a", "b"} {
		g, err := h.New(j, run, name)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		var st unix.Stat_t
		if err := unix.Stat(g.Path, &st); err != nil {
			t.Fatal(err)
		}
		if g.ID != st.Ino || seen[g.ID] {
			t.Errorf("ID %d, inode %d, seen before: %v", g.ID, st.Ino, seen[g.ID])
		}
		seen[g.ID] = true
	}
}

func TestKillWithoutCgroupKill(t *testing.T) {
	h, j, run := lab(t)
	g, err := h.New(j, run, "old")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	cmd, _ := startIn(t, g)
	reaped := make(chan error, 1)
	go func() { reaped <- cmd.Wait() }()

	// What kill does on a kernel before 5.14, which has no cgroup.kill.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := drain(ctx, g.Path, true); err != nil {
		t.Fatal(err)
	}
	<-reaped
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGKILL {
		t.Errorf("ended by %v, want SIGKILL", ws)
	}
}

func TestUndoAlsoBelow(t *testing.T) {
	h, j, run := lab(t)
	g, err := h.New(j, run, "crashed")
	if err != nil {
		t.Fatal(err)
	}
	cmd, _ := startIn(t, g)
	inner := filepath.Join(g.Path, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(inner, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
		t.Fatal(err)
	}
	if got, err := g.Pids(); err != nil || !slices.Equal(got, []int{cmd.Process.Pid}) {
		t.Errorf("pids %v, %v", got, err)
	}
	r, err := j.Rollback(context.Background(), map[journal.Kind]journal.Undoer{journal.KindCgroup: Undo})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("run %s: removed cgroup ukprobe/%s/crashed\n", run, run); r.String() != want {
		t.Errorf("report %q, want %q", r, want)
	}
	_ = cmd.Wait()
	if _, err := os.Stat(g.Path); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
	_ = g.dir.Close()
}

func TestUndoRefusesWhatIsNotOurs(t *testing.T) {
	for _, e := range []journal.Entry{
		{Name: "ukprobe/r/s", Data: map[string]string{"path": "/sys/fs/cgroup/system.slice"}},
		{Name: "ukprobe/r/s", Data: nil},
		{Name: "system.slice", Data: map[string]string{"path": "/sys/fs/cgroup/system.slice"}},
		{Name: "ukprobe/../x", Data: map[string]string{"path": "/sys/fs/cgroup/ukprobe/../x"}},
	} {
		if err := Undo(context.Background(), e); err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("%v: %v", e, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "ukprobe", "r", "s")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	e := journal.Entry{Name: "ukprobe/r/s", Data: map[string]string{"path": dir}}
	if err := Undo(context.Background(), e); err == nil || !strings.Contains(err.Error(), "not on a cgroup2") {
		t.Errorf("an ordinary directory: %v", err)
	}
}
