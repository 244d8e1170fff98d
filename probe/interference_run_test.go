// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

func openInterference(t testing.TB, attach Rung) *Interference {
	t.Helper()
	needRoot(t)
	i, err := OpenInterference(attach)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// busy starts a shell of that name that counts without end on one CPU, born in a
// group if group is not 0. It ends with the test.
func busy(t *testing.T, name string, cpu, group int) (pid int) {
	t.Helper()
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Skipf("needs a shell: %v", err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, sh, 0o755); err != nil {
		t.Fatal(err)
	}
	// The middle one makes it nobody's child of ours.
	cmd := exec.Command("/bin/sh", "-c", `"$1" -c 'while :; do :; done' & echo $!; wait`, "sh", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if group != 0 {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, group
	}
	var old, set unix.CPUSet
	set.Set(cpu)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &old)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatal(err)
	}
	// Where cgroups have cpusets, a child that is born in another one loses its CPUs.
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		t.Fatal(err)
	}
	return pid
}

// lastCPU is one that this process may use.
func lastCPU(t testing.TB) int {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	last := 0
	for c := range 1024 {
		if set.IsSet(c) {
			last = c
		}
	}
	return last
}

func ownAffinity() (set unix.CPUSet, err error) {
	err = unix.SchedGetaffinity(0, &set)
	return set, err
}

func find(sources []Source, name string) *Source {
	for i := range sources {
		if strings.HasPrefix(sources[i].Name, name) {
			return &sources[i]
		}
	}
	return nil
}

// TestInterferenceKnownAnswer: of two loops on one CPU the one in the group is
// nobody's business, in whatever group below, and the other is named, with its share;
// without it nothing of that name is there. All that was seen makes up the time.
func TestInterferenceKnownAnswer(t *testing.T) {
	needRoot(t)
	dir, _, id := freshCgroup(t)
	first, _ := below(t, dir)
	_, deeper := below(t, first)
	cpu := lastCPU(t)
	for _, rung := range []Rung{TPBTF, RawTP, Tracepoint} {
		t.Run(string(rung), func(t *testing.T) {
			i := openInterference(t, rung)
			for _, h := range i.Hooks() {
				if h.Rung != rung {
					t.Errorf("%s is attached by %q: %s", h.Hook, h.Rung, h.Why())
				}
			}
			busy(t, "itf-mine", cpu, deeper)
			look := func() (CPUTime, []Source) {
				t.Helper()
				if err := i.Begin([]int{cpu}, id); err != nil {
					t.Fatal(err)
				}
				time.Sleep(400 * time.Millisecond)
				seen, err := i.End()
				times, sources := seen.CPUs, seen.Sources
				if err != nil || len(times) != 1 || times[0].CPU != cpu {
					t.Fatalf("%v: %v", times, err)
				}
				checkSum(t, times[0], sources)
				return times[0], sources
			}
			quiet, sources := look()
			if s := find(sources, "itf-"); s != nil {
				t.Errorf("without a foreign loop: %+v", *s)
			}
			if quiet.Mine < quiet.Span/20 {
				t.Errorf("a loop in the group had %v of %v", quiet.Mine, quiet.Span)
			}
			busy(t, "itf-hog", cpu, 0)
			disturbed, sources := look()
			s := find(sources, "itf-hog")
			if s == nil {
				t.Fatalf("the foreign loop is not there: %+v", sources)
			}
			if s.Kind != SourceTask || s.CPU != cpu || s.Count == 0 || s.Process == 0 || s.Time < disturbed.Span/20 || s.Time > disturbed.Others {
				t.Errorf("of %+v: %+v", disturbed, *s)
			}
			if s := find(sources, "itf-mine"); s != nil {
				t.Errorf("of the group: %+v", *s)
			}
			t.Logf("%+v: %+v", disturbed, sources[:min(len(sources), 6)])
		})
	}
}

// TestInterferenceOfOurselves: this process and its children are no foreign tasks, also
// in a PID namespace of their own, where the kernel counts by other numbers.
func TestInterferenceOfOurselves(t *testing.T) {
	const inside = "UKPROBE_TEST_IN_PID_NAMESPACE"
	needRoot(t)
	t.Run("here", seesItself)
	if os.Getenv(inside) != "" {
		if os.Getpid() != 1 {
			t.Errorf("in a PID namespace of its own this is process %d", os.Getpid())
		}
		return
	}
	t.Run("in a PID namespace", func(t *testing.T) {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestInterferenceOfOurselves$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestInterferenceOfOurselves/here") {
			t.Errorf("%v:\n%s", err, out)
		}
	})
}

// seesItself looks at a CPU on which this process and a child of it are busy.
func seesItself(t *testing.T) {
	i := openInterference(t, Auto)
	_, _, id := freshCgroup(t)
	cpu := lastCPU(t)
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Skipf("needs a shell: %v", err)
	}
	path := filepath.Join(t.TempDir(), "itf-child")
	if err := os.WriteFile(path, sh, 0o755); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, set unix.CPUSet
	set.Set(cpu)
	if err := errors.Join(unix.SchedGetaffinity(0, &old), unix.SchedSetaffinity(0, &set)); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &old)
	child := exec.Command(path, "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	if err := i.Begin([]int{cpu}, id); err != nil {
		t.Fatal(err)
	}
	thread, process := cpuTime(t, unix.CLOCK_THREAD_CPUTIME_ID), cpuClock(child.Process.Pid)
	for before := cpuTime(t, process); cpuTime(t, process)-before < 20*time.Millisecond || cpuTime(t, unix.CLOCK_THREAD_CPUTIME_ID)-thread < 20*time.Millisecond; {
	}
	seen, err := i.End()
	times, sources := seen.CPUs, seen.Sources
	if err != nil {
		t.Fatal(err)
	}
	checkSum(t, times[0], sources)
	var self, others []string
	for _, s := range sources {
		switch {
		case s.Kind == SourceOwn:
			self = append(self, s.Name)
		case s.Process == int(i.own) || s.Name == "itf-child":
			others = append(others, s.Name)
		}
	}
	if len(others) > 0 || !slices.Contains(self, "itf-child") || len(self) < 2 {
		t.Errorf("of %+v own: %q, foreign: %q", times[0], self, others)
	}
}

// cpuClock is the clock of a process's CPU time (clock_getcpuclockid(3)).
func cpuClock(pid int) int32 { return int32(^pid<<3 | 2) }

func cpuTime(t *testing.T, clock int32) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// checkSum: no time is missing, and none counted twice.
func checkSum(t *testing.T, c CPUTime, sources []Source) {
	t.Helper()
	sum := c.Idle + c.Mine + c.Own + c.Engine + c.Others + c.IRQ + c.SoftIRQ
	if off := (c.Span - sum).Abs(); off > c.Span/1000 {
		t.Errorf("%v are %v, the whole is %v", c, sum, c.Span)
	}
	by := map[SourceKind]time.Duration{}
	for _, s := range sources {
		by[s.Kind] += s.Time
	}
	named := by[SourceTask] + by[SourceKThread] + by[SourceOwn] + by[SourceEngine] + by[SourceIRQ] + by[SourceSoftIRQ]
	if whole := c.Own + c.Engine + c.Others + c.IRQ + c.SoftIRQ; named+c.Unnamed != whole {
		t.Errorf("by name %v and %v without, in all %v", named, c.Unnamed, whole)
	}
}

// TestInterferenceOfWhoNeverLeaves: a task that has its CPU all the time is switched
// neither on nor off.
func TestInterferenceOfWhoNeverLeaves(t *testing.T) {
	i := openInterference(t, Auto)
	_, _, id := freshCgroup(t)
	cpu := lastCPU(t)
	if cpus, err := ownAffinity(); err != nil || cpus.Count() < 2 {
		t.Skipf("needs a second CPU, from which to look: %v", err)
	}
	pid := busy(t, "itf-alone", cpu, 0)
	time.Sleep(50 * time.Millisecond) // for the exec
	// Nobody else gets the CPU, for less than the 950 ms that the kernel lets it have.
	if err := unix.SchedSetAttr(pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0); err != nil {
		t.Skipf("needs a real-time task: %v", err)
	}
	for range 20 { // the kernel's own real-time threads may come in between
		if err := i.Begin([]int{cpu}, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
		seen, err := i.End()
		times, sources := seen.CPUs, seen.Sources
		if err != nil {
			t.Fatal(err)
		}
		if s := find(sources, "itf-alone"); times[0].Switches == 0 && s != nil && s.Time > times[0].Span/2 {
			return
		}
	}
	t.Error("in 20 looks of 2 ms it was never seen without a switch of tasks")
}

// TestInterferenceBeyondTheTable: what finds no row is counted without a name.
func TestInterferenceBeyondTheTable(t *testing.T) {
	i := openInterference(t, Auto)
	_, _, id := freshCgroup(t)
	cpu := lastCPU(t)
	if err := i.Begin([]int{cpu}, id); err != nil {
		t.Fatal(err)
	}
	sources := i.loader.maps[bpf.InterferenceMapSources]
	for n := range sources.MaxEntries() {
		key := bpf.InterferenceSourceKey{Cpu: 1023, Id: n}
		if err := sources.Put(key, bpf.InterferenceSourceTime{}); err != nil {
			break // others were there
		}
	}
	busy(t, "itf-late", cpu, 0)
	time.Sleep(100 * time.Millisecond)
	seen, err := i.End()
	times, named := seen.CPUs, seen.Sources
	if err != nil {
		t.Fatal(err)
	}
	checkSum(t, times[0], named)
	if times[0].UnnamedCount == 0 || times[0].Unnamed == 0 {
		t.Errorf("the table was full, and nothing is without a name: %+v", times[0])
	}
	if err := i.Begin([]int{cpu}, id); err != nil {
		t.Fatal(err)
	}
	if err := i.Begin([]int{cpu}, id); err == nil {
		t.Error("two looks at a time")
	}
	if seen, err = i.End(); err != nil || len(seen.Sources) > 100 {
		t.Errorf("%v; the rows of the look before are there: %d", err, len(seen.Sources))
	}
}

// TestInterferenceOfNoCPU: one that does not exist is an error, and leaves nothing on.
func TestInterferenceOfNoCPU(t *testing.T) {
	i := openInterference(t, Auto)
	if err := i.Begin([]int{lastCPU(t), 1 << 20}, 1); err == nil {
		t.Fatal("no error")
	}
	if err := i.Begin([]int{lastCPU(t)}, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := i.End(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkInterference is what each program takes by the kernel's own statistics,
// whose clocks are the row "nothing": on a CPU that is looked at, with a foreign task
// and one of the group, and on one that is not.
func BenchmarkInterference(b *testing.B) {
	needRoot(b)
	on, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		b.Fatal(err)
	}
	defer on.Close()
	i := openInterference(b, RawTP)
	own := ownCgroup(b)
	cpu := lastCPU(b)
	for _, bm := range []struct {
		name, program string
		looked        bool
		group         uint64
	}{
		{"nothing", "raw_tp_irq_entry", false, 0},
		{"switch, not looked at", "raw_tp_interference_switch", false, 0},
		{"switch of the group's task", "raw_tp_interference_switch", true, own},
		{"switch of a foreign task", "raw_tp_interference_switch", true, 1},
		{"irq entry", "raw_tp_irq_entry", true, 1},
		{"softirq exit", "raw_tp_softirq_exit", true, 1},
	} {
		b.Run(bm.name, func(b *testing.B) {
			if bm.looked {
				if err := i.Begin([]int{cpu}, bm.group); err != nil {
					b.Fatal(err)
				}
				defer func() { _, _ = i.End() }()
			}
			prog, err := i.loader.load(objInterference, bm.program, "")
			if err != nil {
				b.Fatal(err)
			}
			defer prog.Close()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for range b.N {
				if _, err := prog.Run(&ebpf.RunOptions{Context: []uint64{0, 0}, CPU: uint32(cpu), Flags: unix.BPF_F_TEST_RUN_ON_CPU}); err != nil {
					b.Fatal(err)
				}
			}
			stats, err := prog.Stats()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(stats.Runtime.Nanoseconds())/float64(stats.RunCount), "ns/run")
		})
	}
}

// endThreads starts threads without end that end at once: the kernel takes a thread's number
// away before it has left its CPU for the last time.
func endThreads() {
	ended := make(chan struct{})
	for {
		go func() {
			runtime.LockOSThread() // never unlocked
			ended <- struct{}{}
		}()
		<-ended
	}
}

// TestInterferenceOfAnEngine: what a named process starts is the engine's, also what it
// leaves to others, as a container's shim is, but neither the group's nor a container's of
// its own; another loop is foreign as ever.
func TestInterferenceOfAnEngine(t *testing.T) {
	const boxed = "UKPROBE_TEST_BOXED"
	if os.Getenv(boxed) != "" {
		endThreads()
	}
	needRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, _, id := freshCgroup(t)
	_, mine := below(t, dir)
	for _, rung := range []Rung{TPBTF, RawTP, Tracepoint} {
		t.Run(string(rung), func(t *testing.T) {
			i := openInterference(t, rung)
			cpu := lastCPU(t)
			sh, err := os.ReadFile("/bin/sh")
			if err != nil {
				t.Skipf("needs a shell: %v", err)
			}
			bin := t.TempDir()
			for _, name := range []string{"itf-engine", "itf-shim"} {
				if err := os.WriteFile(filepath.Join(bin, name), sh, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			const loop = "while :; do :; done"
			if err := os.Symlink(self, filepath.Join(bin, "itf-boxed")); err != nil {
				t.Fatal(err)
			}
			// It waits until it has been named. The loops are orphans at once.
			engine := exec.Command("/bin/sh", "-c", `read go; ("$0/itf-shim" -c "$1" & unshare --pid --fork --kill-child "$0/itf-boxed" -test.run="$2" &); sleep 60`, bin, loop, "^TestInterferenceOfAnEngine$")
			engine.Env = append(os.Environ(), boxed+"=1")
			engine.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			var all, set unix.CPUSet
			set.Set(cpu)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := errors.Join(unix.SchedGetaffinity(0, &all), unix.SchedSetaffinity(0, &set)); err != nil {
				t.Fatal(err)
			}
			goOn, err := engine.StdinPipe()
			if err == nil {
				err = engine.Start()
			}
			if err := errors.Join(err, unix.SchedSetaffinity(0, &all)); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = syscall.Kill(-engine.Process.Pid, syscall.SIGKILL); _ = engine.Wait() }()
			if err := i.Engine([]int{engine.Process.Pid}); err != nil {
				t.Fatal(err)
			}
			busy(t, "itf-mine", cpu, mine)
			busy(t, "itf-hog", cpu, 0)
			if _, err := goOn.Write([]byte("\n")); err != nil {
				t.Fatal(err)
			}
			kinds := map[string]SourceKind{}
			for deadline := time.Now().Add(30 * time.Second); len(kinds) < 3 && time.Now().Before(deadline); {
				if err := i.Begin([]int{cpu}, id); err != nil {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond)
				seen, err := i.End()
				if err != nil {
					t.Fatal(err)
				}
				checkSum(t, seen.CPUs[0], seen.Sources)
				for _, name := range []string{"itf-mine", "itf-hog", "itf-shim", "itf-boxed"} {
					if s := find(seen.Sources, name); s != nil {
						kinds[name] = s.Kind
					}
				}
				for _, s := range seen.Sources {
					if strings.HasPrefix(s.Name, "itf-boxed") && s.Kind != SourceTask {
						t.Fatalf("in a container of its own: %+v", s)
					}
				}
			}
			want := map[string]SourceKind{"itf-hog": SourceTask, "itf-shim": SourceEngine, "itf-boxed": SourceTask}
			if diff := cmp.Diff(want, kinds); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestInterferenceInPart: what a loop did before a moment is not in what was seen since.
func TestInterferenceInPart(t *testing.T) {
	i := openInterference(t, Auto)
	_, _, id := freshCgroup(t)
	cpu := lastCPU(t)
	if err := i.Begin([]int{cpu}, id); err != nil {
		t.Fatal(err)
	}
	pid := busy(t, "itf-early", cpu, 0)
	time.Sleep(20 * time.Millisecond)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	seen, err := i.End()
	if err != nil {
		t.Fatal(err)
	}
	if find(seen.Sources, "itf-early") == nil {
		t.Skip("the loop never had the CPU")
	}
	since, whole := seen.Between(now.Nano(), 0)
	if !whole {
		t.Skip("too busy a machine: the moment is not among the stretches that are kept")
	}
	checkSum(t, since.CPUs[0], since.Sources)
	if s := find(since.Sources, "itf-early"); s != nil || since.CPUs[0].Span >= seen.CPUs[0].Span {
		t.Errorf("%+v: %+v", since.CPUs[0], s)
	}
}

// TestInterferenceEngineHasProcesses: threads that an engine's process starts are not among
// its processes, for which the kernel's table has room; children are.
func TestInterferenceEngineHasProcesses(t *testing.T) {
	needRoot(t)
	for _, rung := range []Rung{TPBTF, RawTP} {
		t.Run(string(rung), func(t *testing.T) {
			i := openInterference(t, rung)
			if err := i.Engine([]int{os.Getpid()}); err != nil {
				t.Skip(err)
			}
			known := func(number int) bool {
				var one uint32
				return i.loader.maps[bpf.InterferenceMapEngine].Lookup(uint32(number), &one) == nil
			}
			tids, end := make(chan int), make(chan struct{})
			defer close(end)
			var threads []int
			for range 8 { // more than there are idle ones
				go func() {
					runtime.LockOSThread() // never unlocked: it ends
					tids <- unix.Gettid()
					<-end
				}()
			}
			for range 8 {
				threads = append(threads, <-tids)
			}
			child := exec.Command("/bin/sleep", "60")
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
			if !known(child.Process.Pid) {
				t.Error("its child is not among its processes")
			}
			if n := slices.IndexFunc(threads, func(tid int) bool { return tid != os.Getpid() && known(tid) }); n >= 0 {
				t.Errorf("its thread %d is among its processes", threads[n])
			}
		})
	}
}

// TestInterferenceNoEngine: without an engine nothing is attached to the start of tasks, and
// the rest works.
func TestInterferenceNoEngine(t *testing.T) {
	i := openInterference(t, Auto)
	before := len(i.Hooks())
	for range 2 {
		if err := i.NoEngine(); err != nil {
			t.Fatal(err)
		}
	}
	if after := i.Hooks(); len(after) != before-1 || slices.ContainsFunc(after, func(h HookStatus) bool { return h.Hook == HookEngineTask }) {
		t.Errorf("hooks: %+v", after)
	}
	if err := i.Engine([]int{1}); err == nil {
		t.Error("an engine after all, and no error")
	}
	cpu := lastCPU(t)
	busy(t, "itf-hog", cpu, 0)
	if err := i.Begin([]int{cpu}, 1); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	seen, err := i.End()
	if err != nil || find(seen.Sources, "itf-hog") == nil {
		t.Errorf("%v: %+v", err, seen.Sources)
	}
}
