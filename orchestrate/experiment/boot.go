// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/interference"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/netservice"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
)

// settle is how long a guest is given, after it became ready, to go idle, before
// it is ended.
const settle = 100 * time.Millisecond

// killTime is how long a killed VMM may take to be gone: it gives its memory back.
const killTime = 30 * time.Second

// Boot is the experiment of booting one guest and timing it until its app is
// ready. One Boot serves all the samples of a cell.
type Boot struct {
	Instrument Instrument
	Journal    *journal.Journal
	Lab        *network.Lab
	Cgroups    cgroup.Hierarchy
	CPUs       cpu.Plan
	GuestCPUs  []cpu.Plan           // of guests that start at once, in order; nil: CPUs
	Window     *interference.Window // in which the guest's CPUs are looked at; nil: they are not
	Taps       *Taps                // that are used again; nil: each sample has new ones
	RunID      string
	WorkDir    string             // of the run, for the samples' own folders
	Services   *netservice.Server // that guests ask for their addresses; nil if none does

	// Attach is the rung to begin with of hooks that only one experiment has; Attached is
	// told of each that was attached, if it is not nil.
	Attach   probe.Rung
	Attached func(probe.HookStatus)

	Experiment string // its name

	System   system.System
	Platform platform.Platform
	Image    system.Boot
	Accel    string
	Emulated bool // KVM has no hardware behind it
	Settings matrix.Settings
	Validate *Validation // not nil: experiment timing-validation
	// Memory has the guest's memory counted, in a memory cgroup. LimitBytes, if not 0, is
	// how much it may use there, with its VMM if it has one: what needs more is killed,
	// and its sample failed.
	Memory     bool
	LimitBytes int64
	// DiskIO has the host's reads and writes of the guest's disks seen, unless no BPF is to
	// be used: see Live.Disk.
	DiskIO bool
	// Seen, if not nil, is told what has been seen of a guest so far, whenever that is
	// looked at while it boots: on the way to the guest's end, so it must return at once.
	Seen func(probe.Timeline)
	// During, if not nil, is what happens between the moment when the guest is ready
	// and its end: experiments that need a guest that runs.
	During *During

	gate func(context.Context) error // what holds a guest back right before its exec; may be nil
}

// wire is a tap or veth of one sample.
type wire struct {
	guest network.Guest
	do    func(func() error) error // in the namespace where the VMM or process starts
	move  func(pid int) error      // its device to a process's namespace; nil if it cannot
	close func() error
	ear   *network.Ear // what the guest says of its address; nil if nobody listens
}

// Sample boots the guest once and ends it. The error is about ukprobe or the
// host, and ends the run; whatever the guest does is in the sample.
func (b *Boot) Sample(ctx context.Context, name string) (s Sample, err error) {
	s = Sample{Started: time.Now(), Taints: b.planTaints()}
	if err := b.Image.Unchanged(); err != nil { // the results would name another image
		s.Status, s.Reason = Failed, err.Error()
		return s, nil
	}
	w, err := b.wire()
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if w.guest.Ifindex != 0 {
		s.Output("device", device(w.guest))
	}
	launch, err := b.launch(w)
	if err != nil { // such as an image that has gone since it was prepared
		s.Status, s.Reason = Failed, err.Error()
		return s, nil
	}
	dir := filepath.Join(b.WorkDir, name)
	remove, err := unpack(ctx, &launch, dir)
	if err != nil {
		err = s.refuse(ctx, err)
		return s, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	g, err := b.Cgroups.New(b.Journal, b.RunID, name)
	if err != nil {
		return s, err
	}
	for _, word := range launch.Argv {
		s.Argv = append(s.Argv, strings.ReplaceAll(word, platform.Cgroup, b.Cgroups.Name(g)))
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	mem, err := b.memory(g)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, mem.Close()) }()
	watch, err := b.watch(g, launch, w)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, b.Lab.Do(watch.Close)) }()
	if err := b.cache(ctx, &s, launch, dir); err != nil {
		err = s.refuse(ctx, err)
		return s, err
	}
	disk, why := b.disk(g, launch, dir)
	s.noDisk = why
	defer func() { err = errors.Join(err, disk.Close()) }()
	err = b.boot(ctx, &s, g, mem, launch, watch, w, dir, disk)
	b.outOfMemory(&s, mem)
	if s.Status == Failed && ctx.Err() != nil { // as if it were the guest's fault
		s.Status, s.Reason = Interrupted, "interrupted"
	}
	return s, err
}

// refuse ends a sample before its start: interrupted, or because of the image. What is
// neither is returned.
func (s *Sample) refuse(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		s.Status, s.Reason = Interrupted, "interrupted"
	case errors.Is(err, errOriginal):
		s.Status, s.Reason = Failed, err.Error()
	default:
		return err
	}
	return nil
}

// planTaints are the CPU plan's, as far as they apply: what is not virtualised has no
// vCPU.
func (b *Boot) planTaints() []string {
	if b.Accel != platform.None {
		return slices.Clone(b.CPUs.Taints)
	}
	var out []string
	for _, t := range b.CPUs.Taints {
		if cpu.Degraded(t) {
			out = append(out, t)
		}
		if where, ok := strings.CutPrefix(t, "vmm on "); ok {
			out = append(out, "process on "+where)
		}
	}
	return out
}

// boot starts the guest, waits until it is ready, has the experiment use it, ends it
// and collects.
func (b *Boot) boot(ctx context.Context, s *Sample, g *cgroup.Group, mem *cgroup.Memory, launch platform.Launch, watch Watch, w wire, dir string, disk *probe.Disk) error {
	whole, cancel := context.WithTimeout(ctx, b.Settings.Timeout+b.During.limit())
	defer cancel()
	begun := time.Now()
	seen, _ := watch.(witness)
	var own notes
	look := b.Window.Open()
	defer look.Close()
	asks, err := b.ask(whole, w.guest.IP, seen, launch.Start != nil)
	if err != nil {
		return s.refuse(ctx, err)
	}
	defer asks.end(s)
	gst, err := b.start(whole, launch, g, mem, w, dir, seen, own.add, b.passing(whole, asks))
	if err != nil {
		s.Status, s.Reason = Failed, err.Error()
		own.into(&s.Timeline)
		return nil
	}
	asks.started()
	if gst.unpinned != nil {
		s.Taint("vmm not pinned: %v", gst.unpinned)
	}
	gst.driving = drive(whole, launch, platform.Driven{Dir: dir, Event: own.add})
	if b.gate != nil {
		begun = time.Now() // it was held back
	}
	booting, stop := context.WithTimeout(whole, b.Settings.Timeout)
	s.Status, s.Reason = b.await(booting, s, g, gst, watch, func() {
		s.ReadyAfter = time.Since(begun)
		if b.During == nil {
			look.Close() // whether it goes idle after that is no matter of speed
		}
	})
	b.explain(s, w, gst)
	stop()
	asks.end(s)
	if s.Status == OK && b.During != nil {
		b.during(whole, s, &Live{Boot: b, Addr: w.guest.IP, Group: g, Memory: mem, Watch: watch, Dir: dir, Disk: disk, nic: w.guest, guest: gst, own: &own, Sample: s})
	}
	cancel()
	look.Close()
	killing, stop := context.WithTimeout(context.WithoutCancel(ctx), killTime)
	defer stop()
	b.outOfMemory(s, mem) // of cgroup v1 a kill is told in the victim's own group, which runc is about to remove
	err = g.Kill(killing)
	if err := gst.kill(killing); err != nil {
		s.Taints = append(s.Taints, "its end: "+err.Error())
	}
	if err != nil {
		return errors.Join(err, gst.close())
	}
	<-gst.done
	<-gst.driving.done
	err = b.collect(s, gst, watch, &own)
	s.resolve()
	look.Counts(b.span(s))
	if err := gst.close(); err != nil { // it is in the journal, and tried again at the run's end
		s.Taints = append(s.Taints, "its removal: "+err.Error())
	}
	return err
}

// span is what of a sample is its guest's, on CLOCK_MONOTONIC in ns: from its start until it
// is ready or, in an experiment that uses it, as long as it is looked at (0).
func (b *Boot) span(s *Sample) (from, to int64) {
	if e, ok := begun(s.Timeline); ok {
		from = e.NS
	}
	if e, ok := s.Timeline.At(s.Timeline.ReadyEvent); ok && b.During == nil {
		to = e.NS
	}
	return from, to
}

// start starts the guest, or has it started, once pass has returned.
func (b *Boot) start(ctx context.Context, l platform.Launch, g *cgroup.Group, mem *cgroup.Memory, w wire, dir string, seen witness, event func(string), pass func() error) (gst *guest, err error) {
	if l.Start != nil {
		if err := pass(); err != nil {
			return nil, err
		}
		return startElsewhere(ctx, l, platform.StartOptions{Dir: dir, Cgroup: b.Cgroups.Name(g), Journal: b.Journal, NetNS: w.move, Event: event}, seen)
	}
	err = w.do(func() error {
		return mem.Within(func() error {
			gst, err = start(l, g, b.CPUs.VMM, seen, pass)
			return err
		})
	})
	return gst, err
}

// await ends the sample: ready (and then idle, or a moment later), ended, given
// up by KVM, out of time, or interrupted. ready is called once it is ready.
func (b *Boot) await(ctx context.Context, s *Sample, g *cgroup.Group, gst *guest, watch Watch, ready func()) (status, reason string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var readyAt time.Time
	var pins pinning
	defer func() { b.pinned(&pins, s) }()
	for {
		ended := false
		select {
		case <-ctx.Done():
		case <-gst.done:
			ended = true
			watch.Drain()
		case <-watch.Progress():
		case <-tick.C:
		}
		b.Validate.tick(watch)
		t := watch.Events()
		if b.Seen != nil {
			b.Seen(t)
		}
		b.pin(&pins, s, t, watch)
		b.pinVhost(&pins, s, g)
		if t.Ready() {
			if readyAt.IsZero() {
				readyAt = time.Now()
				b.release(watch)
				ready()
			}
			if _, idle := t.At(probe.EventIdle); idle || ended || time.Since(readyAt) > settle || ctx.Err() != nil {
				return OK, ""
			}
			continue
		}
		if status, reason, over := b.verdict(ctx, gst, t, ended, watch); over {
			return status, reason
		}
	}
}

// releaser is a Watch with hooks that it can give back early.
type releaser interface{ Release() error }

// release takes off, once the guest is ready, what only cost the host from then on;
// Close tells what went wrong.
func (b *Boot) release(watch Watch) {
	if b.During != nil && b.During.Console {
		return
	}
	if r, ok := watch.(releaser); ok && b.Settings.Probes != matrix.ProbesFull {
		_ = r.Release()
	}
}

// verdict says why a guest that is not ready will not become so.
func (b *Boot) verdict(ctx context.Context, gst *guest, t probe.Timeline, ended bool, watch Watch) (status, reason string, over bool) {
	if _, ok := t.At(probe.EventInternalError); ok {
		return Failed, b.internalError(), true
	}
	if _, ok := t.At(probe.EventShutdown); ok {
		watch.Drain() // its last words may be on their way
		return Failed, "the guest crashed: triple fault (KVM_EXIT_SHUTDOWN)" + lastLine(watch), true
	}
	if gst.driving.failed() != nil && !ended && gst.endsNow() {
		ended = true
		watch.Drain()
	}
	if ended {
		return Failed, fmt.Sprintf("%s ended before the guest was ready (%s): %s%s%s%s", b.what(), b.waitedFor(), b.exitText(gst), drivingText(gst), stderrText(gst), lastLine(watch)), true
	}
	if err := gst.driving.failed(); err != nil && ctx.Err() == nil {
		return Failed, fmt.Sprintf("%s: %v%s", b.what(), err, stderrText(gst)), true
	}
	if ctx.Err() == nil {
		return "", "", false
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return Timeout, fmt.Sprintf("not ready after %v: %s%s%s", b.Settings.Timeout, b.waitedFor(), drivingText(gst), lastLine(watch)), true
	}
	return Interrupted, "interrupted", true
}

func (b *Boot) what() string {
	if p := b.Platform.Program(); p != "" {
		return p
	}
	if b.Platform.Wire() == platform.MovedWire {
		return "the container"
	}
	return "the process"
}

func (b *Boot) waitedFor() string {
	if b.Image.Ready != "" {
		return fmt.Sprintf("no console line matched %q", b.Image.Ready)
	}
	return fmt.Sprintf("no answer on TCP port %d", b.Image.Service.Port)
}

func (b *Boot) internalError() string {
	text := "KVM gave the guest up (KVM_EXIT_INTERNAL_ERROR)"
	if b.Image.FPUFree {
		return text
	}
	text += ": where KVM only emulates, guests that use the FPU or SSE cannot run: use "
	if _, err := b.Platform.Accel(matrix.AccelTCG, b.Image, platform.Host{}); err != nil {
		return text + "a machine with VMX or SVM, or another platform"
	}
	return text + "--accel tcg"
}

// exitText is a guest's exit status, with its meaning where the platform gives it one.
func (b *Boot) exitText(gst *guest) string {
	if gst.err == nil {
		return "exit status 0"
	}
	text := gst.err.Error()
	exit := new(exec.ExitError)
	if p, ok := b.Platform.(platform.Exits); ok && errors.As(gst.err, &exit) {
		if meaning := p.Exit(exit.ExitCode()); meaning != "" {
			text += " (" + meaning + ")"
		}
	}
	return text
}

// endsNow says whether a guest is just ending: a VMM that dies closes its API's
// connection a moment before.
func (g *guest) endsNow() bool {
	select {
	case <-g.done:
		return true
	case <-time.After(200 * time.Millisecond):
		return false
	}
}

// drivingText says which call of its API a VMM that has ended, or whose time is over,
// has not answered.
func drivingText(gst *guest) string {
	select {
	case <-gst.driving.done:
	case <-time.After(time.Second):
	}
	if err := gst.driving.failed(); err != nil {
		return " (" + err.Error() + ")"
	}
	return ""
}

func stderrText(gst *guest) string {
	if text := strings.TrimSpace(gst.stderr.String()); text != "" {
		return ": " + (probe.Line{Text: lastOf(text)}).Clean()
	}
	return ""
}

func lastOf(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

// lastLine quotes the guest's last words.
func lastLine(w Watch) string {
	lines := w.Lines()
	if len(lines) == 0 {
		return "; it printed nothing"
	}
	return fmt.Sprintf("; its last line: %q", lines[len(lines)-1].Clean())
}

// collect reads what was measured, after the guest's end.
func (b *Boot) collect(s *Sample, gst *guest, watch Watch, own *notes) (err error) {
	watch.Drain()
	s.Timeline = watch.Timeline()
	s.leaveOut()
	own.into(&s.Timeline)
	s.Lines = watch.Lines()
	s.Stderr = gst.stderr.String()
	if s.Counts, err = watch.Counts(); err != nil {
		return err
	}
	s.disk(gst)
	b.Validate.judge(s, gst, watch)
	for _, wrong := range s.Timeline.Check() {
		s.Taints = append(s.Taints, "timeline: "+wrong)
	}
	for cause, n := range s.Counts.Lost {
		s.Taints = append(s.Taints, fmt.Sprintf("lost %d %s", n, cause))
	}
	return nil
}

// wire makes the sample's tap or veth, whose guest may ask for its address if it is
// to do so.
func (b *Boot) wire() (wire, error) {
	w, err := b.newWire()
	if err != nil || b.Services == nil || b.Settings.Address != matrix.AddressDHCP {
		return w, err
	}
	b.Services.Add(w.guest)
	gone := w.close
	w.close = func() error {
		b.Services.Remove(w.guest)
		return gone()
	}
	return w, nil
}

func (b *Boot) newWire() (wire, error) {
	switch b.Platform.Wire() {
	case platform.TapWire:
		var o network.TapOptions
		if p, ok := b.Platform.(platform.TapUser); ok {
			o.User = p.TapUser()
		}
		t, leave, err := b.Taps.take(b.Lab, o)
		if err != nil {
			return wire{}, err
		}
		ear, err := b.Lab.Listen(t.Guest)
		if err != nil {
			return wire{}, errors.Join(err, leave())
		}
		return wire{guest: t.Guest, do: b.Lab.Do, ear: ear, close: func() error { return errors.Join(ear.Close(), leave()) }}, nil
	case platform.VethWire:
		v, err := b.Lab.Veth(network.VethOptions{})
		if err != nil {
			return wire{}, err
		}
		return wire{guest: v.Guest, do: v.Do, close: v.Close}, nil
	case platform.MovedWire:
		v, err := b.Lab.Veth(network.VethOptions{Down: true})
		if err != nil {
			return wire{}, err
		}
		return wire{guest: v.Guest, do: v.Do, move: v.MoveTo, close: v.Close}, nil
	}
	return wire{do: b.Lab.Do, close: func() error { return nil }}, nil
}

func (b *Boot) launch(w wire) (platform.Launch, error) {
	r := platform.Resources{Emulated: b.Emulated, MemoryMiB: b.Settings.MemoryMiB, VCPUs: b.Settings.VCPUs, Accel: b.Accel, DHCP: b.Settings.Address == matrix.AddressDHCP, Vhost: b.Settings.Vhost, CPUs: b.CPUs.VMM}
	if b.Platform.Wire() == platform.NoWire {
		return platform.Command(b.System, b.Platform, b.Image, r, nil)
	}
	return platform.Command(b.System, b.Platform, b.Image, r, &w.guest)
}

// segments are the image's and the platform's.
func (b *Boot) segments() []probe.Segment {
	out := slices.Clone(b.Image.Segments)
	if rom := b.Platform.Firmware().OptionROM; rom != nil && len(out) > 0 {
		out = append(out, *rom)
	}
	return out
}

// noFirmware: a process has none either, but no VMM that could start without.
func (b *Boot) noFirmware() bool {
	return b.Platform.Program() != "" && b.Platform.Firmware().Name == ""
}

// maxFlows has room for every SYN of the client while a guest boots for half a minute.
const maxFlows = 32 << 10

// watch arms the probes.
func (b *Boot) watch(g *cgroup.Group, l platform.Launch, w wire) (Watch, error) {
	t := probe.Target{
		CgroupID: g.ID, FromExec: b.Platform.Wire() != platform.MovedWire, ConsolePort: l.Console.Port, ConsoleWrite: l.Console.Write, ConsoleFD: 1, IdlePort: l.IdlePort,
		Image: b.segments(), NoFirmware: b.noFirmware(), Container: b.Platform.Wire() == platform.MovedWire, KVM: l.Accel == platform.KVM, Full: b.Settings.Probes == matrix.ProbesFull, Flows: b.Settings.Probes == matrix.ProbesFull, MaxFlows: maxFlows,
	}
	_, t.BootTimer = b.Platform.(platform.BootTimed)
	if b.Image.Ready != "" {
		re, err := regexp.Compile(b.Image.Ready)
		if err != nil {
			return nil, fmt.Errorf("ready pattern: %w", err)
		}
		t.Ready = re
	}
	if b.Image.Service != nil {
		t.ServicePort = b.Image.Service.Port
	}
	watch, err := b.Instrument.Watch(t)
	if err != nil {
		return nil, err
	}
	if err := b.Validate.begin(watch); err != nil {
		return nil, errors.Join(err, b.Lab.Do(watch.Close))
	}
	if w.guest.Ifindex != 0 {
		if err := b.Lab.Do(func() error { return watch.WatchDevice(w.guest.Ifindex) }); err != nil {
			return nil, errors.Join(err, b.Lab.Do(watch.Close))
		}
	}
	return watch, nil
}
