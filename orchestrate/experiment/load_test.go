// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
	"github.com/ukprobe/ukprobe/probe"
)

// newLive is a guest that is ready, whose service is a server of the test in the lab's
// namespace.
func newLive(t *testing.T, h http.Handler) (*Live, *script) {
	t.Helper()
	b, s := newBoot(t, "exit 0")
	b.WorkDir, b.CPUs.Client = t.TempDir(), []int{0}
	var l net.Listener
	err := b.Lab.Do(func() (err error) {
		l, err = net.Listen("tcp", b.Lab.Gateway().Addr().String()+":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	b.Image = system.Boot{Service: &system.Service{Port: addr.Port()}}
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }()
	g, err := b.Cgroups.New(b.Journal, b.RunID, "s0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), g.Close()); err != nil {
			t.Error(err)
		}
	})
	return &Live{Boot: b, Addr: addr.Addr().Unmap(), Group: g, Watch: s, Sample: &Sample{}}, s
}

// paced answers so many requests a second, one after the other, and not more.
func paced(rate int) http.Handler {
	var mu sync.Mutex
	next := time.Now()
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); next.Before(now) {
			next = now // what was not asked for is not made up for
		}
		next = next.Add(time.Second / time.Duration(rate))
		time.Sleep(time.Until(next))
		_, _ = w.Write([]byte("ok"))
	})
}

func needWrk(t *testing.T) {
	t.Helper()
	if err := (workload.Wrk{}).Program().Find(); err != nil {
		t.Skip(err)
	}
}

var shortLoad = matrix.Workload{Duration: 2 * time.Second, Connections: 4, Threads: 1, Pipeline: 1}

// Lines that are taken are not kept, however they are written.
func TestLineFilter(t *testing.T) {
	const text = "one\n> two\nthree\n> four\n> five\nsix"
	for size := 1; size <= len(text); size++ {
		kept := newTail(100)
		var taken []string
		f := &lineFilter{rest: kept, taken: func(line string) bool {
			mine := strings.HasPrefix(line, "> ")
			if mine {
				taken = append(taken, line)
			}
			return mine
		}}
		for chunk := range slices.Chunk([]byte(text), size) {
			if n, err := f.Write(chunk); n != len(chunk) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := f.flush(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"> two", "> four", "> five"}, taken); diff != "" || kept.String() != "one\nthree\nsix" {
			t.Errorf("in pieces of %d: kept %q, taken %s", size, kept, diff)
		}
	}
	f := &lineFilter{rest: newTail(100), taken: func(string) bool { return false }}
	if n, err := f.Write(make([]byte, maxClientLine)); n != maxClientLine || err != nil || len(f.begun) != 0 {
		t.Errorf("a line without an end: %d bytes are held, %v", len(f.begun), err)
	}
}

// A server of known rate: wrk finds it, and a latency that is the rate's.
func TestKnownRate(t *testing.T) {
	needWrk(t)
	const rate = 200
	slow := paced(rate)
	var served atomic.Int64
	l, _ := newLive(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slow.ServeHTTP(w, r)
		served.Add(1)
	}))
	if err := l.Load(t.Context(), workload.Wrk{}, shortLoad); err != nil {
		t.Fatal(err)
	}
	v := l.Sample.Values
	t.Logf("%v requests per second from a server of %d, p50 %v ns", v["requests_per_second"], rate, v["latency_p50_ns"])
	// On a busy machine the server is slower than it wants to be, but never faster.
	if got, own := v["requests_per_second"], float64(served.Load())/(v["load_ns"]/1e9); got > rate*1.05 || got < own*0.9 || got > own*1.1 {
		t.Errorf("%v requests per second from a server of %d", got, rate)
	}
	// What the server has counted itself, but for the answers on their way at the end.
	if n := float64(served.Load()); v["requests"] > n || v["requests"] < n-float64(shortLoad.Connections) {
		t.Errorf("%v requests, and the server had %v", v["requests"], n)
	}
	// Four connections share it: each waits for four answers.
	if least := float64((4 * time.Second / rate).Nanoseconds()) * 0.9; v["latency_p50_ns"] < least {
		t.Errorf("p50 %v ns: below %v, what the rate allows", v["latency_p50_ns"], least)
	}
	// No more are on their way than there are connections.
	if n := v["requests_per_second"] * v["latency_mean_ns"] / 1e9; n < 1 || n > 1.05*float64(shortLoad.Connections) {
		t.Errorf("%v requests at a time, of %d connections; lacking %v", n, shortLoad.Connections, l.Sample.Lacking)
	}
	if v["errors"] != 0 || v["requests"] == 0 || v["client_busy_percent"] <= 0 || v["client_busy_percent"] > 90 {
		t.Errorf("values %v", v)
	}
	if !strings.Contains(l.Sample.Outputs["wrk"], "Requests/sec:") {
		t.Errorf("outputs %v", l.Sample.Outputs)
	}
}

// A server of known delay: no latency is below it.
func TestKnownDelay(t *testing.T) {
	needWrk(t)
	const delay = 20 * time.Millisecond
	l, _ := newLive(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(delay) }))
	w := shortLoad
	w.Warmup = time.Second
	if err := l.Load(t.Context(), workload.Wrk{}, w); err != nil {
		t.Fatal(err)
	}
	if got := l.Sample.Values["latency_p50_ns"]; got < float64(delay.Nanoseconds()) {
		t.Errorf("p50 %v ns from a server that takes %v", got, delay)
	}
	if l.Sample.Outputs["wrk-warmup"] == "" {
		t.Error("the warm-up has no output")
	}
}

// Wrong answers are not throughput, however many there are.
func TestErrorsFail(t *testing.T) {
	needWrk(t)
	l, _ := newLive(t, http.NotFoundHandler())
	w := shortLoad
	w.Duration = time.Second
	err := l.Load(t.Context(), workload.Wrk{}, w)
	if err == nil || !strings.HasPrefix(err.Error(), "wrk: no request was answered: ") || !strings.HasSuffix(err.Error(), " answers with a status that is not 2xx or 3xx") {
		t.Errorf("error %v", err)
	}
	if l.Sample.Values["errors"] == 0 || l.Sample.Values["requests"] != 0 {
		t.Errorf("values %v", l.Sample.Values)
	}
}

// bash runs a script as a generator would.
type bash struct{ script string }

func (bash) Program() workload.Program   { return workload.Program{Name: "bash"} }
func (bash) Check(matrix.Workload) error { return nil }
func (g bash) Load(ctx context.Context, b workload.Bench, _ netip.AddrPort, _ matrix.Workload) error {
	_, err := b.Run(ctx, workload.Command{Name: "script", Threads: 1, Argv: []string{"bash", "-c", g.script, "bash", workload.Dir}, Files: map[string]string{"a": "file of the client"}})
	return err
}

// The client runs on its CPUs, in the guests' namespace, in a group that is not the
// guest's, and has its files.
func TestWhereTheClientRuns(t *testing.T) {
	l, _ := newLive(t, http.NotFoundHandler())
	if err := l.Load(t.Context(), bash{`cat /proc/self/cgroup; grep Cpus_allowed_list /proc/self/status; readlink /proc/self/ns/net; cat "$1/a"; echo oh >&2`}, shortLoad); err != nil {
		t.Fatal(err)
	}
	out := l.Sample.Outputs["script"]
	for _, want := range []string{"/ukprobe/" + l.Boot.RunID + "/s0-client\n", "Cpus_allowed_list:\t0\n", fmt.Sprintf("net:[%d]\n", l.Boot.Lab.Inum()), "file of the client\n--- stderr ---\noh\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	if left, err := filepath.Glob(l.Boot.WorkDir + "/*"); err != nil || len(left) > 0 {
		t.Errorf("left in the work folder: %v, %v", left, err)
	}
}

func TestClientFails(t *testing.T) {
	l, _ := newLive(t, http.NotFoundHandler())
	for script, want := range map[string]string{
		"echo first >&2; echo 'no such database' >&2; exit 7": "bash: exit status 7: no such database",
		"echo told; exit 1": "bash: exit status 1: told",
		"kill -9 $$":        "bash: signal: killed",
	} {
		if err := l.Load(t.Context(), bash{script}, shortLoad); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", script, err, want)
		}
	}
	if err := l.Load(t.Context(), missing{}, shortLoad); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a program that is not there: %v", err)
	}
}

type missing struct{ bash }

func (missing) Load(ctx context.Context, b workload.Bench, _ netip.AddrPort, _ matrix.Workload) error {
	_, err := b.Run(ctx, workload.Command{Name: "no", Argv: []string{"ukprobe-no-such-program"}})
	return err
}

// When the time is over the client is killed with all that it has started, and its
// group is gone.
func TestClientIsKilled(t *testing.T) {
	l, _ := newLive(t, http.NotFoundHandler())
	ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, errGuestEnded)
	defer cancel()
	pid := filepath.Join(t.TempDir(), "pid")
	begun := time.Now()
	err := l.Load(ctx, bash{"setsid sleep 60 & echo $! > " + pid + ".new; mv " + pid + ".new " + pid + "; wait"}, shortLoad)
	if !errors.Is(err, errGuestEnded) || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	waitFor(t, pid)
	// A group with a process in it could not be removed.
	if _, err := os.Stat(l.Group.Path + "-client"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the client's group: %v", err)
	}
}

func TestSaturation(t *testing.T) {
	for _, tt := range []struct {
		cpus, threads int
		cpu           time.Duration // of one second
		percent       float64
		taint         string
	}{
		{1, 1, 940 * time.Millisecond, 94, ""},
		{1, 1, 960 * time.Millisecond, 96, "client: wrk used 96 % of its 1 CPUs' time: it may be what limits the throughput"},
		{4, 1, 960 * time.Millisecond, 96, "client: wrk used 96 % of its 1 CPUs' time: it may be what limits the throughput"},
		{2, 8, 1000 * time.Millisecond, 50, ""},
		{2, 8, 1920 * time.Millisecond, 96, "client: wrk used 96 % of its 2 CPUs' time: it may be what limits the throughput"},
	} {
		s := &Sample{}
		b := &bench{live: &Live{Boot: &Boot{}, Sample: s}}
		b.live.Boot.CPUs.Client = make([]int, tt.cpus)
		b.saturation("", workload.Command{Name: "wrk", Threads: tt.threads}, workload.Ran{Wall: time.Second, CPU: tt.cpu})
		if got := s.Values["client_busy_percent"]; got < tt.percent-0.01 || got > tt.percent+0.01 || strings.Join(s.Taints, "") != tt.taint {
			t.Errorf("%+v: %v %%, taints %q", tt, got, s.Taints)
		}
	}
}

// TestClientWaits: a busy loop of somebody else's on the client's CPU is noticed.
func TestClientWaits(t *testing.T) {
	l, _ := newLive(t, http.NotFoundHandler())
	loop := exec.Command("taskset", "-c", "0", "sh", "-c", "while :; do :; done")
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = loop.Process.Kill()
		_ = loop.Wait()
	}()
	b, err := l.newBench()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}()
	// Its other thread ends before it does.
	c := workload.Command{Name: "loop", Threads: 1, Argv: []string{"bash", "-c", "for ((i=0; i<500000; i++)); do :; done & wait; for ((i=0; i<500000; i++)); do :; done"}}
	r, err := b.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	b.saturation("", c, r)
	t.Logf("%v of %v waited, %v ran", r.Waited, r.Wall, r.CPU)
	if v := l.Sample.Values["client_waited_percent"]; v < 100*queueing || len(l.Sample.Taints) == 0 || !strings.HasPrefix(l.Sample.Taints[0], "client: loop waited for a CPU in ") {
		t.Errorf("%v %%, taints %q", v, l.Sample.Taints)
	}
	s := &Sample{}
	(&bench{live: &Live{Boot: &Boot{}, Sample: s}}).saturation("", workload.Command{Threads: 1}, workload.Ran{Wall: time.Second, Waited: -1})
	if _, told := s.Values["client_waited_percent"]; told || len(s.Lacking) != 1 || len(s.Taints) != 0 {
		t.Errorf("not known: %+v", s)
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		f    workload.Figures
		want string
	}{
		{workload.Figures{Requests: 1000}, ""},
		{workload.Figures{Requests: 1000, Errors: 10, Trouble: "10 timeouts"}, ""},
		{workload.Figures{Requests: 1000, Errors: 11, Trouble: "11 timeouts"}, "wrk: 11 errors beside 1000 good answers: 11 timeouts"},
		{workload.Figures{}, "wrk: no request was answered: no errors either"},
	} {
		err := judge("wrk", tt.f)
		if got := fmt.Sprint(err); got != tt.want && (err != nil || tt.want != "") {
			t.Errorf("%+v: %v, want %q", tt.f, err, tt.want)
		}
	}
}

// histogram is of n times of one length.
func histogram(n uint64, each time.Duration) probe.Histogram {
	return probe.Histogram{Count: n, SumNS: n * uint64(each.Nanoseconds()), Buckets: map[int]uint64{-100: n}}
}

// What a request cost, from two readings that differ by known counts.
func TestCosts(t *testing.T) {
	before := meter{cpu: time.Second, system: 500 * time.Millisecond, dropped: [2]uint64{5, 7}, counts: probe.Counts{
		Values: map[string]uint64{"kvm_exits": 1000, "kvm_userspace_exits": 10},
		Exits:  map[string]probe.Histogram{"hlt": histogram(1000, time.Millisecond)},
		Spans:  map[string]probe.Histogram{probe.SpanHalted: {}, probe.SpanWaited: {}},
	}}
	after := meter{cpu: 3 * time.Second, system: time.Second, dropped: [2]uint64{5, 9}, counts: probe.Counts{
		Values: map[string]uint64{"kvm_exits": 1400, "kvm_userspace_exits": 110},
		// 400 exits of 1 ms more: 100 ms in the VMM, 200 halted, 40 waited, 60 KVM's.
		Exits:     map[string]probe.Histogram{"hlt": histogram(1400, time.Millisecond)},
		Parts:     map[string]probe.Parts{"hlt": {VMM: 100 * time.Millisecond, Halted: 200 * time.Millisecond, Waited: 40 * time.Millisecond}},
		GuestTime: map[string]probe.Histogram{"hlt": histogram(400, 500*time.Microsecond)},
		Spans:     map[string]probe.Histogram{probe.SpanHalted: histogram(3, time.Millisecond), probe.SpanWaited: {}},
	}}
	l := &Live{Boot: &Boot{Accel: platform.KVM}, Sample: &Sample{}}
	l.nic.Name = "uktap0"
	l.costs("get_", before, after, 100)
	want := map[string]float64{
		"get_cpu_per_request_ns": 2e7, "get_cpu_system_per_request_ns": 5e6, "get_exits_per_request": 4, "get_userspace_exits_per_request": 1,
		"get_guest_per_request_ns": 2e6, "get_vmm_per_request_ns": 1e6, "get_halted_per_request_ns": 2e6, "get_waited_per_request_ns": 4e5, "get_kvm_per_request_ns": 6e5,
		"get_vmm_user_per_request_ns": 1.3e7,
	}
	if diff := cmp.Diff(want, l.Sample.Values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"uktap0 dropped 2 frames of the guest"}, l.Sample.Taints); diff != "" {
		t.Errorf("taints (-want +got):\n%s", diff)
	}

	// Without the hooks that tell waiting from working there is no figure for KVM.
	delete(after.counts.Spans, probe.SpanHalted)
	l.Sample = &Sample{}
	l.costs("", before, after, 100)
	if _, ok := l.Sample.Values["kvm_per_request_ns"]; ok || l.Sample.Values["vmm_per_request_ns"] != 1e6 || len(l.Sample.Lacking) != 3 {
		t.Errorf("values %v, lacking %v", l.Sample.Values, l.Sample.Lacking)
	}
}

// What the client waits for and the wire does not show is the host's; of a pipeline's
// requests that cannot be told.
func TestHostNetwork(t *testing.T) {
	answers := map[probe.Exchange]probe.Histogram{{Kind: "tcp_next", Side: "guest"}: histogram(100, 300*time.Microsecond)}
	f := workload.Figures{Latency: map[string]time.Duration{"mean": time.Millisecond}}
	for pipeline, want := range map[int]float64{0: 7e5, 1: 7e5, 2: 0} {
		l := &Live{Boot: &Boot{Accel: platform.TCG}, Sample: &Sample{}}
		l.Boot.Settings.Load.Pipeline = pipeline
		l.costs("set_", meter{}, meter{counts: probe.Counts{Network: probe.Network{Responses: answers}}}, 100)
		l.hostNetwork("set_", f)
		if got, ok := l.Sample.Values["set_host_network_per_request_ns"]; got != want || ok != (want != 0) {
			t.Errorf("pipeline of %d: %v, want %v", pipeline, got, want)
		}
	}
}

// Where no exit is seen none is counted as zero.
func TestNoExits(t *testing.T) {
	for want, b := range map[string]*Boot{
		"not under KVM: there are no exits":                    {Accel: platform.TCG},
		"--probes none: only the host kernel could see it":     {Accel: platform.KVM, Settings: matrix.Settings{Probes: matrix.ProbesNone}},
		"this KVM only emulates: its exits are no tracepoints": {Accel: platform.KVM, Emulated: true},
		"no exit was seen: is the hook attached?":              {Accel: platform.KVM},
	} {
		l := &Live{Boot: b, Sample: &Sample{}}
		l.costs("", meter{}, meter{cpu: time.Second}, 10)
		if _, ok := l.Sample.Values["exits_per_request"]; ok || len(l.Sample.Lacking) != 7 || l.Sample.Lacking[0].Reason != want {
			t.Errorf("values %v, lacking %v; want %q", l.Sample.Values, l.Sample.Lacking, want)
		}
	}
}

// cpuTime finds what a busy process of the group has used.
func TestCPUTime(t *testing.T) {
	l, _ := newLive(t, http.NotFoundHandler())
	cmd := exec.Command("bash", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	cmd.SysProcAttr = sysProcAttr(l.Group)
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	all, system, err := cpuTime(l.Group.Path)
	if err != nil {
		t.Fatal(err)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if all < used/2 || all > 2*used || system > all {
		t.Errorf("cpu.stat says %v, %v of it in the kernel; wait4 %v", all, system, used)
	}
	if _, _, err := cpuTime(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no group: %v", err)
	}
}

// Under load a tap's queue is the kernel's default.
func TestLengthenQueue(t *testing.T) {
	l, _ := newLive(t, http.NotFoundHandler())
	tap, err := l.Boot.Lab.Tap(network.TapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	l.nic, l.Boot.Platform = tap.Guest, program{wire: platform.TapWire}
	length := func() (n int) {
		err := l.Boot.Lab.Do(func() error {
			link, err := netlink.LinkByIndex(tap.Ifindex)
			if err == nil {
				n = link.Attrs().TxQLen
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := length(); n != network.DefaultTxQueueLen {
		t.Fatalf("before: %d", n)
	}
	if err := l.lengthenQueue(); err != nil {
		t.Fatal(err)
	}
	if n := length(); n != loadQueue {
		t.Errorf("%d, want %d", n, loadQueue)
	}
	if m, err := l.meter(); err != nil || m.dropped != [2]uint64{} {
		t.Errorf("dropped %v, %v", m.dropped, err)
	}
}
