// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/probe"
)

func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Microsecond) {
		if so() {
			return
		}
	}
	t.Fatalf("not so after 10 s: %s", what)
}

// bench is a Watcher at work on a fake instrument and a fake /proc.
type bench struct {
	*fakeSource
	fakeProc
	w   *Watcher
	log *logText
	run chan error

	sent  uint64       // events
	clock atomic.Int64 // unix nanoseconds; 0: the real one
}

// tick moves the bench's clock. A bench whose clock was set before its start has
// none but that.
func (b *bench) tick(d time.Duration) { b.clock.Add(int64(d)) }

func (b *bench) time() time.Time {
	if ns := b.clock.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Now()
}

type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newBench prepares; start runs it. The words of the filter are checked by start,
// so that processes can be added before.
func newBench(t *testing.T) *bench {
	return &bench{fakeSource: newFakeSource(t), fakeProc: newFakeProc(t), log: &logText{}, run: make(chan error, 1)}
}

func (b *bench) start(words Words, opt Options) *bench {
	t := b.fakeSource.t
	t.Helper()
	f, err := newFilter(words, b.proc)
	if err != nil {
		t.Fatal(err)
	}
	opt.Filter = f
	if opt.Keep == 0 {
		opt.Keep = time.Hour
	}
	if opt.MaxKept == 0 {
		opt.MaxKept = 100
	}
	opt.Log = slog.New(slog.NewTextHandler(b.log, nil))
	b.w = newWatcher(b.fakeSource, opt, b.proc)
	b.w.now = b.time
	b.w.beatEvery, b.w.lookAgainEvery = 10*time.Millisecond, 20*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	b.w.Begin()
	go func() { b.run <- b.w.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return b
}

// send returns when the event was taken in.
func (b *bench) send(e Event) {
	b.sent++
	b.events <- e
	waitFor(b.fakeSource.t, "an event to be taken in", func() bool { return b.w.taken.Load() == b.sent })
}

func (b *bench) come(id uint64, pid int, start uint64) {
	b.fakeSource.t.Helper()
	b.send(Event{Guest: b.guest(id, pid, start)})
}

func (b *bench) leave(id uint64) {
	b.fakeSource.t.Helper()
	b.send(Event{Guest: Guest{ID: id}, Gone: true})
}

func (b *bench) labels() []string {
	var out []string
	for r := range b.w.Each {
		l := r.VM.Label
		if r.Ended {
			l += " (ended)"
		}
		out = append(out, l)
	}
	return out
}

func (b *bench) want(labels ...string) {
	b.fakeSource.t.Helper()
	if diff := cmp.Diff(labels, b.labels()); diff != "" {
		b.fakeSource.t.Errorf("VMs (-want +got):\n%s", diff)
	}
}

func qemu(name string) []string { return []string{"qemu-system-x86_64", "-name", name} }

func userExits(n uint64) probe.Counts {
	return probe.Counts{Values: map[string]uint64{"kvm_userspace_exits": n}, UserExitCounts: map[string]uint64{"io": n}, ISA: probe.SVM}
}

func TestComeAndGo(t *testing.T) {
	b := newBench(t)
	b.add(10, 1, "/", true, qemu("web")...)
	b.add(11, 2, "/", true, "qemu-system-x86_64")
	b.start(Words{All: true}, Options{})
	b.set(1, userExits(5))
	b.come(1, 10, 1)
	b.come(2, 11, 2)
	b.want("qemu-11", "web")
	b.set(1, userExits(9)) // until its end
	b.leave(1)
	b.want("qemu-11", "web (ended)")
	for r := range b.w.Each {
		if r.VM.Label == "web" && (r.Counts.Values["kvm_userspace_exits"] != 9 || r.Err != nil) {
			t.Errorf("last figures: %+v", r)
		}
	}
	if ignore, ok := b.released[1]; !ok || ignore {
		t.Errorf("given back: %v", b.released)
	}
	totals := b.w.Totals()
	if diff := cmp.Diff(Totals{Running: 1, Kept: 1, Seen: 2}, totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
}

// TestLabels: one name, several VMs.
func TestLabels(t *testing.T) {
	b := newBench(t)
	for pid := 10; pid < 14; pid++ {
		b.add(pid, 1, "/", true, qemu("web")...)
	}
	b.add(20, 1, "/", true, qemu("web-12")...)
	b.start(Words{All: true}, Options{})
	b.come(1, 10, 1)
	b.come(2, 11, 1)
	b.come(3, 20, 1)
	b.come(4, 12, 1) // its label is the name of the one before
	b.want("web", "web-11", "web-12", "web-12-4")
	// Started anew, it goes on under its label, and the kept one makes room.
	b.leave(1)
	b.come(5, 13, 1)
	b.want("web", "web-11", "web-12", "web-12-4")
	if n := b.w.Totals().Kept; n != 0 {
		t.Errorf("%d kept, want none", n)
	}
}

// TestLabelsOfATable: where every VM is to be seen, none makes room for another.
func TestLabelsOfATable(t *testing.T) {
	b := newBench(t)
	b.add(10, 1, "/", true, qemu("web")...)
	b.add(11, 1, "/", true, qemu("web")...)
	b.start(Words{All: true}, Options{KeepLabels: true})
	b.come(1, 10, 1)
	b.leave(1)
	b.come(2, 11, 1)
	b.want("web (ended)", "web-11")
}

// TestPidReused: the VM that had the pid before keeps its own figures.
func TestPidReused(t *testing.T) {
	b := newBench(t)
	b.add(10, 1, "/", true, "qemu-system-x86_64")
	b.start(Words{All: true}, Options{})
	b.set(1, userExits(5))
	b.come(1, 10, 1)
	b.add(10, 2, "/", true, "qemu-system-x86_64")
	b.set(2, userExits(7))
	b.come(2, 10, 2) // before the end of the first was told
	b.want("qemu-10", "qemu-10-2")
	b.leave(1)
	b.want("qemu-10 (ended)", "qemu-10-2")
	var got []uint64
	for r := range b.w.Each {
		got = append(got, r.Counts.Values["kvm_userspace_exits"])
	}
	if diff := cmp.Diff([]uint64{5, 7}, got); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}

func TestNotMeant(t *testing.T) {
	b := newBench(t)
	b.add(10, 1, "/", true, qemu("web")...)
	b.add(11, 1, "/", true, qemu("db")...)
	b.start(Words{Names: []string{"^web"}}, Options{})
	b.come(1, 10, 1)
	b.come(2, 11, 1)
	b.come(3, 12, 1) // gone before it could be looked at
	b.want("web")
	if diff := cmp.Diff(map[uint64]bool{2: true, 3: true}, b.released); diff != "" {
		t.Errorf("given back (-want +got):\n%s", diff)
	}
}

// TestGoneAtOnce: with --all, one that ended while being attached counts too.
func TestGoneAtOnce(t *testing.T) {
	b := newBench(t).start(Words{All: true}, Options{})
	b.set(1, userExits(3))
	b.come(1, 10, 1)
	b.want("unknown-10")
	b.leave(1)
	b.want("unknown-10 (ended)")
}

func TestRunningAlready(t *testing.T) {
	b := newBench(t)
	b.add(10, 1, "/machine.slice/a", true, qemu("silent")...)
	b.add(11, 1, "/user.slice", true, qemu("other")...)
	b.add(12, 1, "/machine.slice/b", false, "sleep")
	b.adopted[10] = b.guest(1, 10, 1)
	b.start(Words{Cgroups: []string{"/machine.slice"}}, Options{})
	b.want("silent")
	b.come(1, 10, 1) // told a second time
	b.want("silent")
}

// TestMoved: a VM that libvirt moves into its scope after it was found.
func TestMoved(t *testing.T) {
	b := newBench(t)
	b.add(10, 1, "/elsewhere", true, qemu("late")...)
	b.start(Words{Cgroups: []string{"/machine.slice"}}, Options{})
	b.come(1, 10, 1)
	b.want()
	b.add(10, 1, "/machine.slice/x", true, qemu("late")...)
	b.mu.Lock()
	b.adopted[10] = b.guest(2, 10, 1)
	b.mu.Unlock()
	waitFor(t, "the second look", func() bool { return len(b.labels()) == 1 })
	b.want("late")
	if n := len(b.w.ignored); n != 0 {
		t.Errorf("%d are still looked at", n)
	}
}

func TestWaitingForPid(t *testing.T) {
	b := newBench(t)
	b.add(10, 1, "/", false, "sh", "start-vm")
	b.start(Words{PIDs: []int{10}}, Options{Keep: time.Millisecond})
	waitFor(t, "the message", func() bool { return strings.Contains(b.log.String(), "the process has no VM yet: waiting for it") })
	b.come(1, 10, 1)
	b.want("sh-10")
	b.remove(10)
	b.leave(1)
	// Nothing can come any more.
	select {
	case err := <-b.run:
		if !errors.Is(err, ErrAllEnded) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("still waiting for a process that has ended")
	}
}

func TestCgroupToCome(t *testing.T) {
	b := newBench(t).start(Words{Cgroups: []string{"not-there-yet.slice"}}, Options{})
	waitFor(t, "the message", func() bool { return strings.Contains(b.log.String(), "no such cgroup yet") })
}

func TestKept(t *testing.T) {
	b := newBench(t).start(Words{All: true}, Options{MaxKept: 3, Keep: time.Second})
	for id := range uint64(6) {
		b.come(id, 100+int(id), 1)
	}
	for id := range uint64(5) {
		b.leave(id)
	}
	b.want("unknown-102 (ended)", "unknown-103 (ended)", "unknown-104 (ended)", "unknown-105")
	if n := b.w.Totals().Forgotten; n != 2 {
		t.Errorf("%d forgotten before their time, want 2", n)
	}
	waitFor(t, "the kept ones to go", func() bool { return b.w.Totals().Kept == 0 })
	if n := b.w.Totals().Forgotten; n != 2 {
		t.Errorf("%d forgotten, want those that had to go early: 2", n)
	}
	b.want("unknown-105")
}

func TestEndGivesAllBack(t *testing.T) {
	b := newBench(t)
	f, _ := newFilter(Words{All: true}, b.proc)
	b.w = newWatcher(b.fakeSource, Options{Filter: f, Keep: time.Hour}, b.proc)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.w.Run(ctx) }()
	b.come(1, 10, 1)
	b.come(2, 11, 1)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[uint64]bool{1: false, 2: false}, b.released); diff != "" {
		t.Errorf("given back (-want +got):\n%s", diff)
	}
}

func TestInstrumentStops(t *testing.T) {
	b := newBench(t).start(Words{All: true}, Options{})
	b.come(1, 10, 1)
	close(b.events)
	if err := <-b.run; err == nil || !strings.Contains(err.Error(), "the instrument has stopped") {
		t.Errorf("%v", err)
	}
}

// TestNetwork: a VM without a device is none to worry about, one whose device
// cannot be watched is counted.
func TestNetwork(t *testing.T) {
	b := newBench(t)
	b.add(10, 1, "/", true, qemu("web")...)
	b.add(11, 1, "/", true, qemu("none")...)
	b.add(12, 1, "/", true, qemu("bad")...)
	b.networks = map[uint64]string{1: "tap0", 2: ""}
	b.start(Words{All: true}, Options{Network: true})
	b.come(1, 10, 1)
	b.come(2, 11, 1)
	b.come(3, 12, 1)
	b.come(4, 13, 1) // ended by now
	if n := b.w.Totals().NetworkErrors; n != 1 || !strings.Contains(b.log.String(), `msg="the VM's network is not watched" vm=bad pid=12 err="no such device"`) {
		t.Errorf("%d errors, %s", n, b.log)
	}
}

// TestReadErrors: one VM that cannot be read is told as such.
func TestReadErrors(t *testing.T) {
	b := newBench(t).start(Words{All: true}, Options{})
	b.come(1, 10, 1)
	b.mu.Lock()
	b.fail = errors.New("torn")
	b.mu.Unlock()
	for r := range b.w.Each {
		if r.Err == nil {
			t.Error("no error")
		}
	}
	if n := b.w.Totals().ReadErrors; n != 1 {
		t.Errorf("%d errors counted", n)
	}
	b.leave(1)
	if n := b.w.Totals().ReadErrors; n != 2 {
		t.Errorf("%d errors counted", n)
	}
}

// TestTwoHundred: VMs that come and go leave nothing, however they are read
// meanwhile.
func TestTwoHundred(t *testing.T) {
	b := newBench(t).start(Words{All: true}, Options{MaxKept: 10})
	b.leave(1 << 50) // it is at work
	before := runtime.NumGoroutine()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for r := range b.w.Each {
					_ = r.VM.Label
				}
				b.w.Totals()
			}
		})
	}
	for id := range uint64(200) {
		b.set(id, userExits(id))
		b.come(id, 1000+int(id), id)
		if id >= 5 {
			b.leave(id - 5)
		}
	}
	close(stop)
	readers.Wait()
	totals := b.w.Totals()
	if totals.Running != 5 || totals.Kept != 10 || totals.Seen != 200 || len(b.released) != 195 {
		t.Errorf("%+v, %d given back", totals, len(b.released))
	}
	if len(b.w.vms) != 15 || len(b.w.labels) != 15 || len(b.w.ignored) != 0 {
		t.Errorf("%d VMs, %d labels, %d ignored are remembered, want 15, 15, 0", len(b.w.vms), len(b.w.labels), len(b.w.ignored))
	}
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

// TestIgnoredAreBounded: however many VMs are not meant.
func TestIgnoredAreBounded(t *testing.T) {
	b := newBench(t).start(Words{Cgroups: []string{"/x"}}, Options{})
	for id := range uint64(maxIgnored + 10) {
		b.come(id, 1<<20+int(id), 1)
	}
	b.w.mu.Lock()
	n := len(b.w.ignored)
	b.w.mu.Unlock()
	if n > maxIgnored {
		t.Errorf("%d are remembered", n)
	}
}

func TestFilterText(t *testing.T) {
	f := Filter{PIDs: []Wanted{{PID: 3}}, Cgroups: []Cgroup{{path: "/a"}}, Names: []*regexp.Regexp{regexp.MustCompile("^w")}}
	if got, want := f.String(), "pid 3, cgroup /a, name ^w"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := f.flags(), "--pid 3 or --cgroup /a or --name ^w"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	all := Filter{All: true}
	if got := all.String(); got != "every VM" {
		t.Errorf("%q", got)
	}
	if got := all.flags(); got != "--all" {
		t.Errorf("%q", got)
	}
}
