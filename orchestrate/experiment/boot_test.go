// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
)

// script is an Instrument and its Watch: it says what a test tells it to, so that
// an experiment's decisions can be tested without a kernel's events.
type script struct {
	mu       sync.Mutex
	events   []probe.Event
	ready    string // name of the ready event
	lines    []probe.Line
	counts   probe.Counts
	progress chan struct{}

	watchErr, deviceErr, countsErr, closeErr error

	target  probe.Target
	devices []int
	closed  int
}

func (s *script) Watch(t probe.Target) (Watch, error) {
	s.target = t
	if s.watchErr != nil {
		return nil, s.watchErr
	}
	return s, nil
}

func (s *script) WatchDevice(ifindex int) error {
	s.devices = append(s.devices, ifindex)
	return s.deviceErr
}

func (s *script) Progress() <-chan struct{} { return s.progress }

func (s *script) Drain() {}

func (s *script) Events() probe.Timeline { return s.Timeline() }

func (s *script) Timeline() probe.Timeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	return probe.Timeline{Events: append([]probe.Event(nil), s.events...), ReadyEvent: s.ready}
}

func (s *script) Lines() []probe.Line           { return s.lines }
func (s *script) Counts() (probe.Counts, error) { return s.counts, s.countsErr }

func (s *script) Close() error {
	s.closed++
	return s.closeErr
}

// happens adds an event, as the kernel would while a guest runs.
func (s *script) happens(name string, ns int64) {
	s.mu.Lock()
	s.events = append(s.events, probe.Event{Name: name, NS: ns})
	s.mu.Unlock()
	select {
	case s.progress <- struct{}{}:
	default:
	}
}

// program is a platform that runs a command as it is.
type program struct {
	argv     []string
	wire     platform.Wire
	vmm      string
	firmware platform.Firmware
	more     func(*platform.Launch) // what a launch has beside its command
}

func (program) Name() string                                             { return "program" }
func (p program) Wire() platform.Wire                                    { return p.wire }
func (p program) Firmware() platform.Firmware                            { return p.firmware }
func (p program) Program() string                                        { return p.vmm }
func (program) Accel(string, system.Boot, platform.Host) (string, error) { return platform.None, nil }
func (p program) Launch(_ system.Boot, r platform.Resources, _ *network.Guest, args string) (platform.Launch, error) {
	l := platform.Launch{Argv: p.argv, Env: []string{"PATH=/usr/bin:/bin", "NETWORK=" + args}, Console: platform.Console{Write: true}, Accel: r.Accel}
	if p.more != nil {
		p.more(&l)
	}
	return l, nil
}

// addressed is a system that tells its network in its own syntax.
type addressed struct{ system.System }

func (addressed) Name() string { return "addressed" }

func (addressed) CommandLine(_ system.Boot, net *system.Addresses) (string, error) {
	if net == nil {
		return "", nil
	}
	return "addr=" + net.Prefix.String(), nil
}

// newBoot makes an experiment in a real laboratory of its own, with a shell
// script for a guest.
func newBoot(t *testing.T, shell string) (*Boot, *script) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces and cgroups")
	}
	run := fmt.Sprintf("exptest-%d-%d", os.Getpid(), time.Now().UnixNano())
	j, err := journal.Open(t.TempDir(), run)
	if err != nil {
		t.Fatal(err)
	}
	lab, err := network.NewLab(j, run)
	if err != nil {
		t.Fatal(errors.Join(err, j.Close()))
	}
	groups, err := cgroup.Find()
	if err != nil {
		t.Fatal(err)
	}
	before := len(j.Entries())
	s := &script{ready: probe.EventConsoleReady, progress: make(chan struct{}, 1)}
	b := &Boot{
		Instrument: s, Journal: j, Lab: lab, Cgroups: groups, RunID: run,
		System: addressed{}, Platform: program{argv: []string{"/bin/sh", "-c", shell}},
		Image: system.Boot{Ready: "^ready$"}, Accel: platform.None,
		Settings: matrix.Settings{Timeout: 20 * time.Second, MemoryMiB: 64, VCPUs: 1},
	}
	t.Cleanup(func() {
		// After each sample nothing of it is left: no cgroup, no wire.
		if left := j.Entries(); len(left) != before {
			t.Errorf("the journal still has %+v", left)
		}
		if _, err := os.Stat(filepath.Join(groups.Path, "ukprobe", run)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the run's cgroup is still there: %v", err)
		}
		if err := errors.Join(lab.Close(), j.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b, s
}

// sample takes one sample, and fails the test if ukprobe rather than the guest failed.
func sample(t *testing.T, ctx context.Context, b *Boot) Sample {
	t.Helper()
	s, err := b.Sample(ctx, "s0")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tellPid is how a shell script writes its pid, whole, into a file.
func tellPid(path string) string {
	return "echo $$ > " + path + ".new; mv " + path + ".new " + path + "; "
}

// waitFor waits for a script's file.
func waitFor(t *testing.T, path string) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if text, err := os.ReadFile(path); err == nil {
			return strings.TrimSpace(string(text))
		}
	}
	t.Errorf("the guest has not written %s", path)
	return "0"
}

// gone: the guest's process is not there any more.
func gone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil || n < 2 {
		t.Fatalf("pid %q", pid)
	}
	if err := syscall.Kill(n, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the guest %d is still there: %v", n, err)
	}
}

func TestVerdicts(t *testing.T) {
	happens := func(names ...string) func(*script, func()) {
		return func(s *script, _ func()) {
			for i, name := range names {
				s.happens(name, int64(i+1))
			}
		}
	}
	tests := []struct {
		name    string
		shell   string
		prepare func(b *Boot, s *script)          // before the sample
		during  func(s *script, interrupt func()) // once the guest runs
		status  string
		reason  string // begins with "…" if only its end counts
	}{
		{"ready and idle", "exec sleep 60", nil, happens(probe.EventConsoleReady, probe.EventIdle), OK, ""},
		{"ready, never idle", "exec sleep 60", nil, happens(probe.EventConsoleReady), OK, ""},
		{"ready and ended", "exit 0", func(_ *Boot, s *script) { s.happens(probe.EventConsoleReady, 1) }, nil, OK, ""},
		{"ended early", "exit 3", nil, nil, Failed, `the process ended before the guest was ready (no console line matched "^ready$"): exit status 3; it printed nothing`},
		{"ended early without an error", "exit 0", nil, nil, Failed, `the process ended before the guest was ready (no console line matched "^ready$"): exit status 0; it printed nothing`},
		{"its last words", "echo first >&2; printf 'no \\033[31mspace\\n' >&2; exit 1", func(b *Boot, s *script) {
			b.Platform = program{argv: b.Platform.(program).argv, vmm: "tiny-vmm"}
			s.lines = []probe.Line{{Text: "booting\n"}, {Text: "pa\x07nic\r\n"}}
		}, nil, Failed, "tiny-vmm ended before the guest was ready (no console line matched \"^ready$\"): exit status 1: no \uFFFD[31mspace; its last line: \"pa\uFFFDnic\""},
		{"ended early, with a service", "exit 3", func(b *Boot, s *script) {
			b.Image, s.ready = system.Boot{Service: &system.Service{Port: 81}}, probe.EventFirstResponse
		}, nil, Failed, "the process ended before the guest was ready (no answer on TCP port 81): exit status 3; it printed nothing"},
		{"killed", "kill -9 $$", nil, nil, Failed, "…: signal: killed; it printed nothing"},
		{"timeout", "exec sleep 60", func(b *Boot, _ *script) { b.Settings.Timeout = 300 * time.Millisecond }, nil,
			Timeout, `not ready after 300ms: no console line matched "^ready$"; it printed nothing`},
		{"timeout of a service", "exec sleep 60", func(b *Boot, s *script) {
			b.Image, b.Settings.Timeout, s.ready = system.Boot{Service: &system.Service{Port: 81}}, 300*time.Millisecond, probe.EventFirstResponse
			s.lines = []probe.Line{{Text: "up\n"}}
		}, nil, Timeout, `not ready after 300ms: no answer on TCP port 81; its last line: "up"`},
		{"interrupted", "exec sleep 60", nil, func(_ *script, interrupt func()) { interrupt() }, Interrupted, "interrupted"},
		{"interrupted when ready", "exec sleep 60", nil, func(s *script, interrupt func()) {
			s.happens(probe.EventConsoleReady, 1)
			interrupt()
		}, OK, ""},
		{"given up by KVM", "exec sleep 60", nil, happens(probe.EventInternalError), Failed,
			"KVM gave the guest up (KVM_EXIT_INTERNAL_ERROR): where KVM only emulates, guests that use the FPU or SSE cannot run: use --accel tcg"},
		{"given up by KVM without the FPU", "exec sleep 60", func(b *Boot, _ *script) { b.Image.FPUFree = true }, happens(probe.EventInternalError),
			Failed, "KVM gave the guest up (KVM_EXIT_INTERNAL_ERROR)"},
		{"crashed", "exec sleep 60", nil, happens(probe.EventShutdown), Failed, "the guest crashed: triple fault (KVM_EXIT_SHUTDOWN); it printed nothing"},
		{"crashed after it was ready", "exec sleep 60", nil, happens(probe.EventConsoleReady, probe.EventShutdown), OK, ""},
		{"its child lives on", "sleep 60 & exit 4", nil, nil, Failed, "…: exit status 4; it printed nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pidFile := filepath.Join(t.TempDir(), "pid")
			b, s := newBoot(t, tellPid(pidFile)+tt.shell)
			if tt.prepare != nil {
				tt.prepare(b, s)
			}
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			if tt.during != nil {
				go func() {
					waitFor(t, pidFile)
					tt.during(s, interrupt)
				}()
			}
			begun := time.Now()
			got := sample(t, ctx, b)
			end, endOnly := strings.CutPrefix(tt.reason, "…")
			if got.Status != tt.status || got.Reason != tt.reason && (!endOnly || !strings.HasSuffix(got.Reason, end)) {
				t.Errorf("%s: %q, want %s: %q", got.Status, got.Reason, tt.status, tt.reason)
			}
			if tt.name == "ready, never idle" && time.Since(begun) < settle {
				t.Errorf("ended after %v: a guest is given %v to go idle", time.Since(begun), settle)
			}
			if s.closed != 1 {
				t.Errorf("the watch was closed %d times", s.closed)
			}
			gone(t, waitFor(t, pidFile))
		})
	}
}

// TestGuestIsBornInItsPlace: in the sample's cgroup and the lab's namespace, with
// the environment that the platform gives, and watched as what it is.
func TestGuestIsBornInItsPlace(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	b, s := newBoot(t, "exec 2>&1 > "+out+"; readlink /proc/self/ns/net; grep ^0:: /proc/self/cgroup; pwd; env | sort")
	b.Image = system.Boot{Ready: "^ready$", Segments: []probe.Segment{{Lo: 1, Hi: 2}}, Service: &system.Service{Port: 81}}
	b.Accel = platform.KVM
	rom := probe.Segment{Lo: 3, Hi: 4, Stage: probe.StageOptionROM}
	p := b.Platform.(program)
	p.firmware = platform.Firmware{Name: "bios", OptionROM: &rom}
	b.Platform = p
	got := sample(t, t.Context(), b)
	if diff := cmp.Diff(b.Platform.(program).argv, got.Argv); diff != "" {
		t.Errorf("argv (-want +got):\n%s", diff)
	}
	text := waitFor(t, out)
	for _, want := range []string{fmt.Sprintf("net:[%d]\n", b.Lab.Inum()), "/ukprobe/" + b.RunID + "/s0\n", "\n/\n", "\nPATH=/usr/bin:/bin"} {
		if !strings.Contains(text, want) {
			t.Errorf("the guest sees\n%s\nwithout %q", text, want)
		}
	}
	target := s.target
	if target.CgroupID == 0 || !target.ConsoleWrite || target.ConsoleFD != 1 || !target.KVM || target.ServicePort != 81 || !target.Ready.MatchString("ready") {
		t.Errorf("target %+v", target)
	}
	if diff := cmp.Diff([]probe.Segment{{Lo: 1, Hi: 2}, rom}, target.Image); diff != "" || target.NoFirmware {
		t.Errorf("no firmware %v; segments (-want +got):\n%s", target.NoFirmware, diff)
	}
	if len(s.devices) != 0 {
		t.Errorf("devices %v without a wire", s.devices)
	}
}

// TestFirmwareOfAPlatform: a VMM without one starts the image itself; a process has
// no VMM, so that the question does not arise.
func TestFirmwareOfAPlatform(t *testing.T) {
	for _, tt := range []struct {
		platform program
		want     bool
	}{
		{program{vmm: "tiny-vmm"}, true},
		{program{vmm: "tiny-vmm", firmware: platform.Firmware{Name: "bios"}}, false},
		{program{}, false},
	} {
		b := Boot{Platform: tt.platform}
		if got := b.noFirmware(); got != tt.want {
			t.Errorf("%+v: no firmware is %v", tt.platform, got)
		}
	}
	rom := probe.Segment{Lo: 3, Hi: 4, Stage: probe.StageOptionROM}
	b := Boot{Platform: program{firmware: platform.Firmware{Name: "bios", OptionROM: &rom}}}
	if got := b.segments(); len(got) != 0 {
		t.Errorf("an option ROM %v before an image that is not known", got)
	}
}

// TestWires: a tap or a veth is made for the sample, watched, told to the guest,
// and gone afterwards (newBoot's clean-up looks into the journal).
func TestWires(t *testing.T) {
	for name, wire := range map[string]platform.Wire{"tap": platform.TapWire, "veth": platform.VethWire} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			b, s := newBoot(t, "echo $NETWORK > "+out+"; exec sleep 60")
			p := b.Platform.(program)
			p.wire = wire
			b.Platform = p
			s.happens(probe.EventConsoleReady, 1)
			if got := sample(t, t.Context(), b); got.Status != OK {
				t.Errorf("%s: %s", got.Status, got.Reason)
			}
			if text := waitFor(t, out); text != "addr=198.18.0.2/24" {
				t.Errorf("the guest was told %q", text)
			}
			if len(s.devices) != 1 || s.devices[0] < 2 {
				t.Errorf("devices %v, want the wire's", s.devices)
			}
		})
	}
}

// TestErrorsEndTheSample: what is wrong with ukprobe or the host is an error, and
// nothing is left behind even then.
// TestChangedImage: an image that is not the measured one any more is not booted, and
// fails its sample only.
func TestChangedImage(t *testing.T) {
	b, s := newBoot(t, "echo ready; exec sleep 60")
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, []byte("measured"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stamp, err := regular.Digest(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	b.Image.Files = []regular.Stamp{stamp}
	if err := os.WriteFile(path, []byte("rebuilt meanwhile"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := sample(t, t.Context(), b)
	if got.Status != Failed || !strings.Contains(got.Reason, path+" has changed") || got.Argv != nil || s.target.CgroupID != 0 {
		t.Errorf("%s: %q, argv %q", got.Status, got.Reason, got.Argv)
	}
}

func TestErrorsEndTheSample(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name   string
		set    func(b *Boot, s *script)
		closed int
	}{
		{"the watch", func(_ *Boot, s *script) { s.watchErr = broken }, 0},
		{"the device", func(b *Boot, s *script) {
			b.Platform = program{argv: []string{"/bin/true"}, wire: platform.VethWire}
			s.deviceErr = broken
		}, 1},
		{"the counts", func(_ *Boot, s *script) { s.countsErr = broken }, 1},
		{"closing", func(_ *Boot, s *script) { s.closeErr = broken }, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, s := newBoot(t, "exit 0")
			tt.set(b, s)
			if _, err := b.Sample(t.Context(), "s0"); !errors.Is(err, broken) {
				t.Errorf("error %v, want %v", err, broken)
			}
			if s.closed != tt.closed {
				t.Errorf("the watch was closed %d times, want %d", s.closed, tt.closed)
			}
		})
	}
	t.Run("the ready pattern", func(t *testing.T) {
		b, s := newBoot(t, "exit 0")
		b.Image.Ready = "("
		if _, err := b.Sample(t.Context(), "s0"); err == nil || !strings.Contains(err.Error(), "ready pattern") || s.closed != 0 {
			t.Errorf("error %v, %d closed", err, s.closed)
		}
	})
}

// TestProgramThatDoesNotStart is the guest's failure, not ukprobe's.
func TestProgramThatDoesNotStart(t *testing.T) {
	b, s := newBoot(t, "")
	b.Platform = program{argv: []string{"/nonexistent/vmm"}}
	got := sample(t, t.Context(), b)
	if got.Status != Failed || got.Reason != "start /nonexistent/vmm: fork/exec /nonexistent/vmm: no such file or directory" || s.closed != 1 {
		t.Errorf("%s: %q, %d closed", got.Status, got.Reason, s.closed)
	}
}

// TestTaints: what makes a sample doubtful goes with it.
func TestTaints(t *testing.T) {
	b, s := newBoot(t, "exec sleep 60")
	// The stand-in is a process: of the plan only what is about it applies.
	b.CPUs.Taints = []string{"vmm on cpu 1, which is not isolated", "vcpu and vmm share cpu 1"}
	s.counts = probe.Counts{Lost: map[string]uint64{"ringbuf": 3}}
	s.happens(probe.EventVMMExec, 10)
	s.happens(probe.EventConsoleFirst, 8)
	s.happens(probe.EventConsoleReady, 9)
	got := sample(t, t.Context(), b)
	text := strings.Join(got.Taints, "\n")
	for _, want := range []string{"process on cpu 1, which is not isolated", "lost 3 ringbuf", "timeline: console_first () is 2ns before vmm_exec ()"} {
		if !strings.Contains(text, want) {
			t.Errorf("taints %q lack %q", got.Taints, want)
		}
	}
	if strings.Contains(text, "vcpu") {
		t.Errorf("taints %q of a vCPU that is not there", got.Taints)
	}
	if len(b.CPUs.Taints) != 2 {
		t.Errorf("the plan's taints have become %q", b.CPUs.Taints)
	}
}

// TestStderrIsATail: a flood on the streams neither blocks the guest nor is kept.
func TestStderrIsATail(t *testing.T) {
	b, _ := newBoot(t, "head -c 300000 /dev/zero; head -c 300000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1")
	got := sample(t, t.Context(), b)
	if len(got.Stderr) != 4<<10 || !strings.HasSuffix(got.Stderr, "xxthe end\n") {
		t.Errorf("%d bytes kept, ending in %q", len(got.Stderr), got.Stderr[max(0, len(got.Stderr)-20):])
	}
}

// TestKernelIsAnInstrument: the same experiment with the real probe, and a tracker
// that is called back while the counts are still there.
func TestKernelIsAnInstrument(t *testing.T) {
	b, _ := newBoot(t, "echo ready; exec sleep 60")
	p, err := probe.Open(probe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var order []string
	b.Instrument = Kernel{Probe: p, Tracked: func(w *probe.Watch) func() error {
		order = append(order, "tracked")
		return func() error {
			order = append(order, "done")
			_, err := w.Counts()
			return err
		}
	}}
	got := sample(t, t.Context(), b)
	if got.Status != OK || got.Timeline.Phases().Total == nil || len(got.Lines) != 1 || got.Lines[0].Text != "ready\n" {
		t.Errorf("%s: %s; events %+v, lines %+v", got.Status, got.Reason, got.Timeline.Events, got.Lines)
	}
	if diff := cmp.Diff([]string{"tracked", "done"}, order); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if wrong := got.Timeline.Check(); len(wrong) != 0 {
		t.Errorf("check: %v", wrong)
	}
}
