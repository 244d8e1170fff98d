// SPDX-License-Identifier: Apache-2.0

package interference

import (
	"errors"
	"fmt"
	"golang.org/x/sys/unix"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/probe"
)

// script is a Seer that says what it is told, and changes the host's files meanwhile.
type script struct {
	begun, ended int
	cpus         []int
	times        []probe.CPUTime
	sources      []probe.Source
	err, endErr  error
	blind        string // interrupts are not seen, and why
	meanwhile    func()
	misses       uint64 // at each look
}

func (s *script) Begin(cpus []int, _ uint64) error {
	s.begun++
	s.cpus = cpus
	if s.meanwhile != nil {
		s.meanwhile()
	}
	return s.err
}

func (s *script) End() (probe.Look, error) {
	s.ended++
	return probe.Look{CPUs: s.times, Sources: s.sources}, s.endErr
}

func (s *script) Missed() uint64 { return 5 + s.misses*uint64(s.ended) }

func (s *script) SeesInterrupts() (bool, string) { return s.blind == "", s.blind }

// files are a host's, as package fs has them.
type files struct{ fstest.MapFS }

func (f files) put(path, text string) { f.MapFS[path] = &fstest.MapFile{Data: []byte(text)} }

func newMeter(s Seer, f fs.FS) *Meter {
	return &Meter{seer: s, group: 7, host: host{root: f, groupDir: "/sys/fs/cgroup/ukprobe/run"}}
}

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// second is a CPU's second of which others had so many milliseconds.
func second(cpu int, others, own, irq, soft float64) probe.CPUTime {
	return probe.CPUTime{CPU: cpu, Span: time.Second, Others: ms(others), Own: ms(own), IRQ: ms(irq), SoftIRQ: ms(soft),
		Mine: time.Second - ms(others+own+irq+soft)}
}

func source(kind probe.SourceKind, name string, cpu int, t float64) probe.Source {
	return probe.Source{Kind: kind, ID: 36, Name: name, CPU: cpu, Time: ms(t), Count: 1}
}

func TestJudgement(t *testing.T) {
	tests := []struct {
		name      string
		script    script
		shared    []int
		engine    bool
		atMost    int
		steal     [2]int // ticks of cpu 1, before and after
		disturbed bool
		taints    []string
		values    map[string]float64
	}{
		{name: "nobody", script: script{times: []probe.CPUTime{second(1, 0, 0, 0, 0), second(2, 0, 0, 0, 0)}}, atMost: 1,
			values: map[string]float64{"interference_ns": 0, "interference_percent": 0, "irq_ns": 0, "softirq_ns": 0, "steal_ns": 0}},
		{name: "below the threshold", script: script{times: []probe.CPUTime{second(1, 9, 0, 0.5, 0), second(2, 9, 0, 0, 0)},
			sources: []probe.Source{source(probe.SourceTask, "cc1", 1, 9)}}, atMost: 1,
			values: map[string]float64{"interference_ns": 18e6, "interference_percent": 0.95, "irq_ns": 5e5, "softirq_ns": 0, "steal_ns": 0}},
		{name: "a task", script: script{times: []probe.CPUTime{second(1, 34, 0, 0, 0), second(2, 0, 0, 0, 0)},
			sources: []probe.Source{source(probe.SourceTask, "cc1", 1, 22), source(probe.SourceTask, "cc1", 1, 12)}}, atMost: 1,
			disturbed: true, taints: []string{"foreign task cc1 ran 34ms (3.4 %) on cpu 1"},
			values: map[string]float64{"interference_ns": 34e6, "interference_percent": 3.4, "irq_ns": 0, "softirq_ns": 0, "steal_ns": 0}},
		{name: "a kernel thread and an interrupt", script: script{times: []probe.CPUTime{second(1, 20, 0, 30, 0), second(2, 0, 0, 0, 0)},
			sources: []probe.Source{source(probe.SourceIRQ, "", 1, 30), source(probe.SourceKThread, "kswapd0", 1, 20)}}, atMost: 1,
			disturbed: true, taints: []string{"interrupt virtio1-req.0 ran 30ms (3.0 %) on cpu 1", "kernel thread kswapd0 ran 20ms (2.0 %) on cpu 1"},
			values: map[string]float64{"interference_ns": 20e6, "interference_percent": 5, "irq_ns": 30e6, "softirq_ns": 0, "steal_ns": 0}},
		{name: "many short ones", script: script{times: []probe.CPUTime{second(1, 12, 0, 0, 0), second(2, 0, 0, 0, 0)},
			sources: []probe.Source{source(probe.SourceTask, "a", 1, 7), source(probe.SourceTask, "b", 1, 5)}}, atMost: 1,
			disturbed: true, taints: []string{"foreign tasks and interrupts ran 12ms (1.2 %) on cpu 1, the most of it foreign task a (0.7 %)"},
			values: map[string]float64{"interference_ns": 12e6, "interference_percent": 1.2, "irq_ns": 0, "softirq_ns": 0, "steal_ns": 0}},
		{name: "a build", script: script{times: []probe.CPUTime{second(1, 100, 0, 0, 0), second(2, 0, 0, 0, 0)},
			sources: []probe.Source{source(probe.SourceTask, "a", 1, 20), source(probe.SourceTask, "b", 1, 20), source(probe.SourceTask, "c", 1, 20),
				source(probe.SourceTask, "d", 1, 20), source(probe.SourceTask, "e", 1, 20)}}, atMost: 1,
			disturbed: true, taints: []string{"foreign task a ran 20ms (2.0 %) on cpu 1", "foreign task b ran 20ms (2.0 %) on cpu 1",
				"foreign task c ran 20ms (2.0 %) on cpu 1", "foreign tasks and interrupts ran 100ms (10.0 %) on cpu 1, these and others"},
			values: map[string]float64{"interference_ns": 100e6, "interference_percent": 10, "irq_ns": 0, "softirq_ns": 0, "steal_ns": 0}},
		{name: "soft interrupts are not judged", script: script{times: []probe.CPUTime{second(1, 0, 0, 0, 300), second(2, 0, 0, 0, 0)},
			sources: []probe.Source{source(probe.SourceSoftIRQ, "NET_RX", 1, 300)}}, atMost: 1,
			values: map[string]float64{"interference_ns": 0, "interference_percent": 0, "irq_ns": 0, "softirq_ns": 300e6, "steal_ns": 0}},
		{name: "the client where it is planned", script: script{times: []probe.CPUTime{second(1, 0, 500, 0, 0), second(2, 0, 0, 0, 0)},
			sources: []probe.Source{source(probe.SourceOwn, "wrk", 1, 500)}}, atMost: 1, shared: []int{1},
			values: map[string]float64{"interference_ns": 0, "interference_percent": 0, "irq_ns": 0, "softirq_ns": 0, "steal_ns": 0}},
		{name: "the client where it is not", script: script{times: []probe.CPUTime{second(1, 0, 500, 0, 0), second(2, 0, 0, 0, 0)},
			sources: []probe.Source{source(probe.SourceOwn, "wrk", 1, 500)}}, atMost: 1, shared: []int{0},
			disturbed: true, taints: []string{"ukprobe's own wrk ran 500ms (50.0 %) on cpu 1"},
			values: map[string]float64{"interference_ns": 500e6, "interference_percent": 50, "irq_ns": 0, "softirq_ns": 0, "steal_ns": 0}},
		{name: "another's container while a VM boots", script: script{times: []probe.CPUTime{{CPU: 1, Span: time.Second, Engine: ms(500), Mine: ms(500)}, second(2, 0, 0, 0, 0)},
			sources: []probe.Source{source(probe.SourceEngine, "dockerd", 1, 500)}}, atMost: 1,
			disturbed: true, taints: []string{"foreign task dockerd ran 500ms (50.0 %) on cpu 1"},
			values: map[string]float64{"interference_ns": 500e6, "interference_percent": 50, "irq_ns": 0, "softirq_ns": 0, "steal_ns": 0}},
		{name: "the engine's work is what is measured", engine: true, script: script{times: []probe.CPUTime{{CPU: 1, Span: time.Second, Engine: ms(500), Mine: ms(500)}, second(2, 0, 0, 0, 0)},
			sources: []probe.Source{source(probe.SourceEngine, "dockerd", 1, 500)}}, atMost: 1,
			values: map[string]float64{"interference_ns": 0, "interference_percent": 0, "irq_ns": 0, "softirq_ns": 0, "steal_ns": 0}},
		{name: "one tick of steal is no proof", script: script{times: []probe.CPUTime{second(1, 0, 0, 0, 0), second(2, 0, 0, 0, 0)}}, atMost: 0, steal: [2]int{5, 6},
			values: map[string]float64{"interference_ns": 0, "interference_percent": 0, "irq_ns": 0, "softirq_ns": 0, "steal_ns": 10e6}},
		{name: "steal", script: script{times: []probe.CPUTime{second(1, 0, 0, 0, 0), second(2, 0, 0, 0, 0)}}, atMost: 1, steal: [2]int{5, 10},
			disturbed: true, taints: []string{"the hypervisor below took 40ms (4.0 %) of cpu 1 (steal)"},
			values: map[string]float64{"interference_ns": 0, "interference_percent": 4, "irq_ns": 0, "softirq_ns": 0, "steal_ns": 50e6}},
		{name: "interrupts unseen", script: script{times: []probe.CPUTime{second(1, 0, 0, 0, 0), second(2, 0, 0, 0, 0)}, blind: "no tracefs"}, atMost: 1,
			taints: []string{"interrupts not seen: no tracefs"}, values: map[string]float64{"interference_ns": 0, "interference_percent": 0, "steal_ns": 0}},
		{name: "nothing measured", script: script{err: errors.New("look at cpu 1: refused")}, atMost: 1,
			taints: []string{"interference not measured: look at cpu 1: refused"}, values: map[string]float64{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := files{fstest.MapFS{}}
			f.put("sys/kernel/irq/36/actions", "virtio1-req.0\n")
			stat := func(ticks int) {
				f.put("proc/stat", fmt.Sprintf("cpu  1 2 3 4 5 6 7 99 0 0\ncpu1 1 2 3 4 5 6 7 %d 0 0\ncpu2 0 0 0 0 0 0 0 3 0 0\nintr 5\n", ticks))
			}
			stat(tt.steal[0])
			tt.script.meanwhile = func() { stat(tt.steal[1]) }
			w := newMeter(&tt.script, f).Window([]int{2, 1, 1}, tt.shared)
			if tt.engine {
				w.OfEngine()
			}
			w.Open().Close()
			r := w.Result(tt.atMost)
			if r.Disturbed != tt.disturbed {
				t.Errorf("disturbed: %v", r.Disturbed)
			}
			if diff := cmp.Diff(tt.taints, r.Taints); diff != "" {
				t.Errorf("taints (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.values, r.Values, floats); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]int{1, 2}, tt.script.cpus); diff != "" {
				t.Errorf("looked at (-want +got):\n%s", diff)
			}
		})
	}
}

var floats = cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })

// TestWindow: several guests at a time are one look, several after each other add up,
// and a closed one is closed once.
func TestWindow(t *testing.T) {
	s := &script{times: []probe.CPUTime{second(1, 5, 0, 0, 0)}, sources: []probe.Source{source(probe.SourceTask, "a", 1, 5)}}
	w := newMeter(s, fstest.MapFS{}).Window([]int{1}, nil)
	if r := w.Result(1); len(r.Values) != 0 || r.Disturbed {
		t.Errorf("never opened: %+v", r)
	}
	first, second := w.Open(), w.Open()
	first.Close()
	first.Close()
	if s.begun != 1 || s.ended != 0 {
		t.Errorf("two at a time: begun %d times, ended %d", s.begun, s.ended)
	}
	second.Close()
	w.Open().Close()
	if s.begun != 2 || s.ended != 2 {
		t.Errorf("one more: begun %d times, ended %d", s.begun, s.ended)
	}
	r := w.Result(1)
	want := []Source{{Kind: "task", Name: "a", CPU: 1, Time: ms(10), Count: 2}}
	if diff := cmp.Diff(want, r.Sources); diff != "" || r.Values["interference_ns"] != 10e6 || !floatsEqual(r.Values["interference_percent"], 0.5) {
		t.Errorf("%v (-want +got):\n%s", r.Values, diff)
	}
	if _, ok := r.Values["steal_ns"]; ok {
		t.Error("steal, without /proc/stat")
	}
	var none *Window
	none.Open().Close()
	if r := none.Result(1); len(r.Values) != 0 || r.Disturbed || r.Taints != nil {
		t.Errorf("of nothing: %+v", r)
	}
}

func floatsEqual(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

// TestMissed: what the programs have not seen is told, of this sample alone.
func TestMissed(t *testing.T) {
	for misses, want := range map[uint64][]string{0: nil, 2: {"interference: 4 switches or interrupts of the host were not seen"}} {
		w := newMeter(&script{times: []probe.CPUTime{second(1, 0, 0, 0, 0)}, misses: misses}, fstest.MapFS{}).Window([]int{1}, nil)
		w.Open().Close()
		w.Open().Close()
		if diff := cmp.Diff(want, w.Result(1).Taints); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestManySources: what a result leaves out is in its values.
func TestManySources(t *testing.T) {
	s := &script{times: []probe.CPUTime{{CPU: 1, Span: time.Second, Others: ms(60), Unnamed: ms(20), UnnamedCount: 9}}}
	for n := range 40 {
		s.sources = append(s.sources, source(probe.SourceTask, fmt.Sprintf("t%02d", n), 1, 1))
	}
	w := newMeter(s, fstest.MapFS{}).Window([]int{1}, nil)
	w.Open().Close()
	r := w.Result(1)
	if len(r.Sources) != maxSources || r.Sources[0] != (Source{Kind: KindUnnamed, Name: "more than the table holds", CPU: 1, Time: ms(20), Count: 9}) {
		t.Errorf("%d sources, first %v", len(r.Sources), r.Sources[0])
	}
	if r.Values["interference_ns"] != 60e6 || !strings.HasPrefix(r.Taints[0], "many short tasks (more than the table holds) ran 20ms") {
		t.Errorf("%v, %q", r.Values, r.Taints)
	}
}

// TestThrottling: quotas of the groups above, of both versions of cgroups, and heat.
func TestThrottling(t *testing.T) {
	f := files{fstest.MapFS{}}
	f.put("proc/self/cgroup", "9:name=systemd:/\n5:cpu,cpuacct:/user/me\n0::/other\n")
	f.put("sys/fs/cgroup/ukprobe/run/cpu.stat", "usage_usec 5\n")
	set := func(v2us, v1ns, parent, heat int) {
		f.put("sys/fs/cgroup/ukprobe/cpu.stat", fmt.Sprintf("usage_usec 5\nnr_throttled 1\nthrottled_usec %d\n", v2us))
		f.put("sys/fs/cgroup/cpu/user/me/cpu.stat", fmt.Sprintf("nr_periods 0\nthrottled_time %d\n", v1ns))
		f.put("sys/fs/cgroup/cpu/user/cpu.stat", fmt.Sprintf("throttled_time %d\n", parent))
		f.put("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", fmt.Sprintf("%d\n", heat))
		f.put("sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count", "7\n")
	}
	set(1000, 5, 5, 0)
	s := &script{times: []probe.CPUTime{second(1, 0, 0, 0, 0)}, meanwhile: func() { set(31_000, 40_000_005, 5, 2) }}
	w := newMeter(s, f).Window([]int{1}, nil)
	w.Open().Close()
	r := w.Result(1)
	want := []string{"throttled for 40ms (4.0 %): a cgroup's CPU quota was used up", "cpu 1 or its package was slowed down by heat 2 times"}
	if diff := cmp.Diff(want, r.Taints); diff != "" || !r.Disturbed || r.Values["throttled_ns"] != 40e6 {
		t.Errorf("%v (-want +got):\n%s", r.Values, diff)
	}
	container := func(us int) { f.put("sys/fs/cgroup/cpu.stat", fmt.Sprintf("throttled_usec %d\n", us)) }
	container(5)
	s = &script{times: s.times, meanwhile: func() { container(50_005) }}
	w = newMeter(s, f).Window([]int{1}, nil)
	w.Open().Close()
	if got := w.Result(1).Values["throttled_ns"]; got != 50e6 {
		t.Errorf("the group at the mount point, of a container, was throttled for 50 ms: %v", got)
	}
	s = &script{times: s.times}
	w = newMeter(s, fstest.MapFS{}).Window([]int{1}, nil)
	w.Open().Close()
	if _, ok := w.Result(1).Values["throttled_ns"]; ok {
		t.Error("no group counts it, and there is a figure")
	}
}

// FuzzHostFiles: whatever these files say, times are not negative.
func FuzzHostFiles(f *testing.F) {
	f.Add("cpu0 1 2 3 4 5 6 7 8 9 10\ncpu 1\n", "throttled_usec 5\nthrottled_time 9\n")
	f.Add("cpu-1 1 2 3 4 5 6 7 99999999999999999999\n", "throttled_usec -5\n")
	f.Add("cpu1 0 0 0 0 0 0 0 9223372036854775807\n", "throttled_usec 9223372036854775807")
	f.Fuzz(func(t *testing.T, stat, cpuStat string) {
		for c, d := range parseSteal(stat) {
			if c < 0 || d < 0 {
				t.Errorf("cpu %d: %v", c, d)
			}
		}
		if d, ok := parseThrottled(cpuStat); d < 0 || !ok && d != 0 {
			t.Errorf("%v, %v", d, ok)
		}
	})
}

// TestCounts: of guests at the same time it counts from the first one's start to the last
// one's end, and one of which that is not known has all counted.
func TestCounts(t *testing.T) {
	for _, tt := range []struct {
		name     string
		counts   [][2]int64
		from, to int64
	}{
		{"one", [][2]int64{{5, 9}}, 5, 9},
		{"two", [][2]int64{{5, 9}, {3, 7}}, 3, 9},
		{"one without a start", [][2]int64{{5, 9}, {0, 7}}, 0, 9},
		{"one without an end", [][2]int64{{5, 0}, {3, 7}}, 3, 0},
		{"one without an end comes last", [][2]int64{{3, 7}, {5, 0}, {4, 9}}, 3, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newMeter(&script{}, fstest.MapFS{}).Window([]int{1}, nil)
			for _, c := range tt.counts {
				w.Open().Counts(c[0], c[1])
			}
			if from, to := w.spans[0].counts(); from != tt.from || to != tt.to {
				t.Errorf("from %d to %d, want %d to %d", from, to, tt.from, tt.to)
			}
		})
	}
}

// TestStealOutside: of steal that may have been before the start nothing is certain.
func TestStealOutside(t *testing.T) {
	r := readings{steal: map[int]time.Duration{1: 50 * time.Millisecond, 2: 10 * time.Millisecond}, throttled: map[string]time.Duration{"a": 40 * time.Millisecond}}
	got := r.certain(20 * time.Millisecond)
	if got.steal[1] != 30*time.Millisecond || got.steal[2] != 0 || got.throttled["a"] != 20*time.Millisecond || r.steal[1] != 50*time.Millisecond {
		t.Errorf("%+v of %+v", got, r)
	}
}

// TestOnlyTheGuestsTime looks at a CPU with a loop on it: what the loop had before the
// time that counts is not judged, however long it was.
func TestOnlyTheGuestsTime(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	seer, err := probe.OpenInterference(probe.Auto)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = seer.Close() })
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		t.Fatal(err)
	}
	at := 0
	for !cpus.IsSet(at) {
		at++
	}
	w := NewMeter(seer, 1, "/sys/fs/cgroup/ukprobe/none").Window([]int{at}, []int{at})
	hog := exec.Command("/bin/sh", "-c", "while :; do :; done")
	hog.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := hog.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hog.Process.Kill(); _ = hog.Wait() }()
	cpus.Zero()
	cpus.Set(at)
	if err := unix.SchedSetaffinity(hog.Process.Pid, &cpus); err != nil {
		t.Fatal(err)
	}
	var now unix.Timespec
	o := w.Open()
	time.Sleep(60 * time.Millisecond)
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	o.Close()
	o.Counts(now.Nano()-int64(ms(1)), now.Nano()-int64(ms(0.6)))
	r := w.Result(1)
	if len(r.Taints) > 0 && strings.HasPrefix(r.Taints[0], "interference: what was before") {
		t.Skip("too busy a machine: ", r.Taints[0])
	}
	for _, s := range r.Sources {
		if s.Time > ms(0.4) {
			t.Errorf("%s had %v of 0.4 ms", s, s.Time)
		}
	}
	if v := r.Values["interference_ns"]; v > 0.4e6 {
		t.Errorf("in 0.4 ms others had %v ns", v)
	}
}
