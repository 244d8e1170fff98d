// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/results"
)

// holdingMatrix has samples that end and one that does not for a long time: by the
// seedless order of the warm-ups, none; by rounds, some of each.
func holdingMatrix(t *testing.T) string {
	t.Helper()
	return matrix(t,
		"system: process, app: hello, platform: process, samples: 3",
		"system: reference, app: hello, platform: qemumicrovm, samples: 3, ready: 'this never comes', timeout: 10m")
}

// inTheMiddle starts a run and waits until a sample has been stored and another
// guest is being waited for.
func inTheMiddle(t *testing.T, args ...string) *call {
	t.Helper()
	c := newRun(t, append([]string{"--matrix", holdingMatrix(t)}, args...)...).start()
	c.waitUntil("a QEMU of the run is there", patience(30*time.Second), func() bool { return len(qemusOf(t, c)) > 0 })
	return c
}

// qemusOf lists the run's VMMs.
func qemusOf(t *testing.T, c *call) []process {
	t.Helper()
	var out []process
	for _, p := range processesOf(t, c) {
		if strings.Contains(p.cmdline, "qemu-system-x86_64 ") && strings.Contains(p.cgroup, c.mark()) {
			out = append(out, p)
		}
	}
	return out
}

// stored checks that what was finished before the end is readable, and returns
// how many samples that is.
func stored(t *testing.T, c *call, status string) int {
	t.Helper()
	f := c.file()
	if f.Run.Status != status {
		t.Errorf("the run is %q, want %q", f.Run.Status, status)
	}
	n := 0
	for _, cell := range f.Cells {
		for _, s := range cell.Samples {
			if cell.System != "process" {
				t.Errorf("a sample of the guest that was never ready: %+v", s)
				continue
			}
			checkOK(t, f, s)
			n++
		}
	}
	return n
}

// Ctrl-C ends the guest at once, keeps what is finished and puts the host back.
func TestInterrupt(t *testing.T) {
	needRoot(t)
	for _, tc := range []struct {
		name   string
		signal syscall.Signal
	}{{"SIGINT", syscall.SIGINT}, {"SIGTERM", syscall.SIGTERM}, {"SIGQUIT", syscall.SIGQUIT}} {
		t.Run(tc.name, func(t *testing.T) {
			netns := mounts(t, func(at string) bool { return at == netnsDir })
			c := inTheMiddle(t)
			finished := strings.Count(c.stderr.String(), "process/hello")
			begun := time.Now()
			if err := c.cmd.Process.Signal(tc.signal); err != nil {
				t.Fatal(err)
			}
			c.wait(patience(10 * time.Second)).want(exitInterrupted)
			if took := time.Since(begun); took > patience(3*time.Second) {
				t.Errorf("it took %v to end", took)
			}
			// Nothing is left now, not only after a while.
			if left := leftOf(t, c); len(left) > 0 {
				t.Errorf("left on the host: %s", strings.Join(left, "\n"))
			}
			if diff := cmp.Diff(netns, mounts(t, func(at string) bool { return at == netnsDir })); inside() && diff != "" { // here alone nobody else makes it
				t.Errorf("%s (-before +after):\n%s", netnsDir, diff)
			}
			if n := stored(t, c, results.RunInterrupted); n != finished {
				t.Errorf("%d samples stored, %d finished:\n%s", n, finished, c.output())
			}
			c.says("interrupted", c.out())
			if text := oneLine(c.stdout.String()); !strings.Contains(text, "interrupted: ") || !strings.Contains(text, " of 3 samples were taken") {
				t.Errorf("the table does not say what was asked for:\n%s", c.stdout.String())
			}
			if f := c.file(); f.Run.Finished == nil {
				t.Error("an interrupted run has no end")
			}
		})
	}
}

// Before the first sample there is nothing to keep.
func TestInterruptAtTheStart(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	c := newRun(t, "--matrix", holdingMatrix(t)).start()
	c.waitUntil("the journal is there", patience(20*time.Second), func() bool {
		names, _ := filepath.Glob(c.journal() + "/*.journal")
		return len(names) > 0
	})
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	c.wait(patience(20 * time.Second)).want(exitInterrupted).says("interrupted")
}

// After SIGKILL in the middle of a sample the guest is gone with ukprobe, what was
// finished is readable, and clean removes everything else. A run that goes on
// beside it is not touched.
func TestKillAndClean(t *testing.T) {
	needRoot(t)
	c := inTheMiddle(t)
	finished := strings.Count(c.stderr.String(), "process/hello")
	other := inTheMiddle(t, "--journal-dir", c.journal())
	other.cmd.Env = append(other.cmd.Env, "UKPROBE_JOURNAL_DIR="+c.journal())
	_ = c.cmd.Process.Kill()
	c.wait(patience(5 * time.Second)).want(-int(syscall.SIGKILL))
	if left := eventually(func() string { return join(qemusOf(t, c)) }); left != "" {
		t.Errorf("QEMU outlives ukprobe: %s", left)
	}
	if n := stored(t, c, results.RunKilled); n != finished {
		t.Errorf("%d samples stored, %d finished", n, finished)
	}
	left := leftOf(t, c)
	for _, want := range []string{"/run/netns/ukprobe-", "/ukprobe/", "/tmp/ukprobe-", ".journal"} {
		if !strings.Contains(strings.Join(left, "\n"), want) {
			t.Errorf("nothing like %s is left after the kill, so cleaning proves nothing: %v", want, left)
		}
	}
	clean := newCall(t, "clean", "--journal-dir", c.journal()).run().want(0)
	for _, want := range []string{"removed netns ukprobe-", "removed cgroup ukprobe/", "removed tempdir ", "in use by pid " + itoa(other.cmd.Process.Pid)} {
		if !strings.Contains(clean.stdout.String(), want) {
			t.Errorf("clean does not say %q:\n%s", want, clean.stdout.String())
		}
	}
	if left := without(leftOf(t, c), other.mark()); len(left) > 0 {
		t.Errorf("left after clean: %v", left)
	}
	// The other run still has its guest, and ends in order.
	if len(qemusOf(t, other)) != 1 {
		t.Errorf("the live run has lost its guest: %v", leftOf(t, other))
	}
	_ = other.cmd.Process.Signal(syscall.SIGINT)
	other.wait(patience(10 * time.Second)).want(exitInterrupted)
	again := newCall(t, "clean", "--journal-dir", c.journal()).run().want(0)
	if got := again.stdout.String(); got != "nothing to clean\n" {
		t.Errorf("the second clean says %q", got)
	}
}

func join(ps []process) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	return strings.Join(out, "\n")
}

func without(names []string, part string) []string {
	var out []string
	for _, n := range names {
		if !strings.Contains(n, part) {
			out = append(out, n)
		}
	}
	return out
}

// With its default folder for journals, too, nothing is left, and the folder goes
// with the last journal.
func TestDefaultJournalDir(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	c := newRun(t, "--only", "system=process,app=hello", "--samples", "1", "--warmup", "0", "--journal-dir", "/run/ukprobe")
	c.start()
	c.waitUntil("the journal is in /run/ukprobe", patience(20*time.Second), func() bool {
		names, _ := filepath.Glob("/run/ukprobe/*" + c.mark() + ".journal")
		return len(names) == 1
	})
	c.wait(patience(30 * time.Second)).want(0)
	if names, err := os.ReadDir("/run/ukprobe"); err == nil && len(names) == 0 {
		t.Error("/run/ukprobe is empty and still there")
	}
}

// Killed while it stores: the run is whole at any moment, and reading does not hold it up.
func TestStoreIsAlwaysWhole(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	m := matrix(t, "system: process, app: hello, platform: process, samples: 100")
	c := newRun(t, "--matrix", m).start()
	c.waitUntil("there is a run", patience(20*time.Second), func() bool { _, err := results.Load(c.out()); return err == nil })
	// For a second at least, and over the writing of some samples.
	begun, samples := time.Now(), 0
	for reads := 0; time.Since(begun) < patience(time.Second) || samples < 3 && time.Since(begun) < patience(20*time.Second); reads++ {
		f, err := results.Load(c.out())
		if err != nil {
			t.Fatalf("read %d: %v", reads, err)
		}
		if n := len(f.Cells[0].Samples); n < samples {
			t.Fatalf("read %d: %d samples after %d", reads, n, samples)
		}
		samples = len(f.Cells[0].Samples)
	}
	newCall(t, "runs", c.out()).run().want(0).prints(" running ")
	_ = c.cmd.Process.Kill()
	c.wait(patience(5 * time.Second))
	if n := stored(t, c, results.RunKilled); n == 0 {
		t.Error("no sample was stored in time")
	}
	newCall(t, "runs", c.out()).run().want(0).prints(" killed ")
	newCall(t, "clean", "--journal-dir", c.journal()).run().want(0)
}

// A second run into the folder of the first is refused while that goes on, by its
// process, and added to it afterwards.
func TestTwoRunsInOneFolder(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	c := inTheMiddle(t)
	args := []string{"--only", "system=process,app=hello", "--samples", "2", "--out", c.out()}
	newRun(t, args...).run().want(exitFailed).says("another ukprobe is writing its run into "+c.out(), "(pid "+itoa(c.cmd.Process.Pid)+": ")
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	c.wait(patience(10 * time.Second)).want(exitInterrupted)
	first := c.file()
	newRun(t, args...).run().want(0)
	if second := c.file(); second.Run.ID == first.Run.ID || second.Run.Status != results.RunOK {
		t.Errorf("the latest run: %+v", second.Run)
	}
	if f, err := results.Load(c.out() + "@-1"); err != nil || f.Run.ID != first.Run.ID {
		t.Errorf("the one before: %v", err)
	}
	newCall(t, "runs", c.out()).run().want(0).prints(first.Run.ID, " interrupted ", " ok ")
	newCall(t, "export", c.out()+"@"+first.Run.ID).run().want(0).prints(`"id":"` + first.Run.ID + `"`)
}

// TestKilledReturnProbes: tracefs keeps the definitions of return probes, and clean
// removes them.
func TestKilledReturnProbes(t *testing.T) {
	needHostVM(t, "this kernel has no kprobes")
	needRoot(t)
	mine := func() int {
		text, err := os.ReadFile("/sys/kernel/tracing/kprobe_events")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "r4096:ebpf_")
	}
	c := inTheMiddle(t, "--attach", "kprobe")
	used := mine()
	if used == 0 {
		t.Fatal("no return probe is attached")
	}
	newCall(t, "clean", "--journal-dir", c.journal()).run()
	if n := mine(); n != used {
		t.Errorf("clean took %d return probes from a run that goes on", used-n)
	}
	_ = c.cmd.Process.Kill()
	c.wait(patience(5 * time.Second)).want(-int(syscall.SIGKILL))
	eventually(func() string { return join(qemusOf(t, c)) })
	newCall(t, "clean", "--journal-dir", c.journal()).run().want(0)
	if n := mine(); n != 0 {
		t.Errorf("%d return probes are left", n)
	}
}
