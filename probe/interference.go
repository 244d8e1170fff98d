// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// The hooks of [Interference].
const (
	HookForeignTask    = "interference_switch"
	HookForeignIRQ     = "interference_irq"
	HookForeignSoftIRQ = "interference_softirq"
	HookEngineTask     = "interference_new_task"
)

// objInterference is beside those of a Probe: it shares no map with them.
const objInterference object = -1

// interferenceHooks have all the tracepoint rungs; there is no function whose call
// says the same on all kernels.
var interferenceHooks = []hook{
	{name: HookForeignTask, obj: objInterference, tells: "which other tasks ran on a sample's CPUs",
		rungs: tracepoints("interference_switch")},
	{name: HookForeignIRQ, obj: objInterference, tells: "which interrupts were handled on a sample's CPUs",
		rungs: pairs("irq_entry", "irq_exit")},
	{name: HookForeignSoftIRQ, obj: objInterference, tells: "which soft interrupts ran on a sample's CPUs",
		rungs: pairs("softirq_entry", "softirq_exit")},
	{name: HookEngineTask, obj: objInterference, tells: "which tasks a container engine has started",
		rungs: tracepoints("new_task")},
}

// pairs are the tracepoint rungs of a hook of two programs.
func pairs(a, b string) map[Rung][]program {
	out := tracepoints(a)
	for rung, second := range tracepoints(b) {
		out[rung] = append(out[rung], second...)
	}
	return out
}

// SourceKind says what took time on a CPU.
type SourceKind string

// The kinds, in the order of enum source_kind in bpf/interference.bpf.c.
const (
	SourceTask    SourceKind = "task"
	SourceKThread SourceKind = "kthread"
	SourceOwn     SourceKind = "ukprobe" // ukprobe itself, and its children outside its cgroups: clients
	SourceIRQ     SourceKind = "irq"
	SourceSoftIRQ SourceKind = "softirq"
	SourceEngine  SourceKind = "engine" // a container engine's processes, and those that they have started
)

var sourceKinds = []SourceKind{SourceTask, SourceKThread, SourceOwn, SourceIRQ, SourceSoftIRQ, SourceEngine}

// softirqs are the vectors' names (include/linux/interrupt.h).
var softirqs = []string{"HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"}

// Source is something that took time on a CPU that was looked at.
type Source struct {
	Kind SourceKind
	// ID is a thread's, an interrupt's number, or a soft interrupt's vector.
	ID int
	// Process is the thread's, for tasks.
	Process int
	// Name is the thread's as of when it last left the CPU, or the vector's; "" for an
	// interrupt, whose name is in /proc/interrupts.
	Name  string
	CPU   int
	Time  time.Duration // less what interrupts took of a task's
	Count uint64        // how often it came on the CPU
}

// CPUTime is where one CPU's time went while it was looked at. Idle to SoftIRQ add up
// to Span: no time is in two of them.
type CPUTime struct {
	CPU     int
	Begun   int64 // CLOCK_MONOTONIC, ns, as are the times of events
	Span    time.Duration
	Idle    time.Duration
	Mine    time.Duration // of the cgroup's tasks
	Own     time.Duration // of ukprobe's and its clients'
	Engine  time.Duration // of a container engine's
	Others  time.Duration // of all other tasks, the kernel's threads too
	IRQ     time.Duration
	SoftIRQ time.Duration
	// Unnamed is what of the above is in no Source, because the table of them was
	// full, and in how many stretches.
	Unnamed      time.Duration
	UnnamedCount uint64
	Switches     uint64 // of tasks
}

// Interference sees who else runs on some CPUs while they are looked at. On others,
// and between two looks, each switch of tasks and each interrupt costs one lookup.
// What it sees of interrupts are those of devices (irq_handler_entry) and soft ones;
// the local timer's and those between CPUs are part of the interrupted task's time.
//
// It looks for one sample at a time, and may be used by several goroutines.
type Interference struct {
	loader *loader
	states []*state
	look   *ebpf.Program
	own    uint32 // the kernel's number of this process

	mu     sync.Mutex
	cpus   []int // that are looked at now
	engine []int
}

// OpenInterference loads and attaches what sees other tasks and interrupts, by the
// best rung that can be had. Interrupts that cannot be seen are no error ([
// Interference.Hooks] says why); tasks are. Needs Linux 5.10, and what [Open] needs.
func OpenInterference(attach Rung) (_ *Interference, err error) {
	if attach == "" {
		attach = Auto
	}
	l, err := alone(objInterference, bpf.LoadInterference)
	if err != nil {
		return nil, err
	}
	i := &Interference{loader: l}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.Close())
		}
	}()
	if err := l.makeMaps(); err != nil {
		return nil, err
	}
	if i.look, err = i.loader.load(objInterference, bpf.InterferenceProgLook, ""); err != nil {
		return nil, fmt.Errorf("load BPF program %s: %w", bpf.InterferenceProgLook, err)
	}
	if i.own, err = i.whoami(); err != nil {
		return nil, err
	}
	for n := range interferenceHooks {
		i.states = append(i.states, i.loader.attachHook(&interferenceHooks[n], attach, false))
	}
	if s := i.states[0]; s.rung == "" {
		return nil, fmt.Errorf("attach %s: %s%s", s.hook.name, HookStatus{Refused: s.refused}.Why(), rootHint())
	}
	return i, nil
}

// whoami asks the kernel for its number of this process, which in a PID namespace is not
// the one that [os.Getpid] returns.
func (i *Interference) whoami() (uint32, error) {
	prog, err := i.loader.load(objInterference, bpf.InterferenceProgWhoami, "")
	if err != nil {
		return 0, fmt.Errorf("load BPF program %s: %w", bpf.InterferenceProgWhoami, err)
	}
	defer func() { _ = prog.Close() }()
	// Not on a given CPU: it runs in the context of the task that asks.
	own, err := prog.Run(&ebpf.RunOptions{})
	if err == nil && own == 0 {
		err = errors.New("it says 0")
	}
	if err != nil {
		return 0, fmt.Errorf("ask the kernel for this process's number: run BPF program %s (Linux 5.10): %w", bpf.InterferenceProgWhoami, err)
	}
	return own, nil
}

// Hooks tells which rung each hook got.
func (i *Interference) Hooks() []HookStatus {
	var out []HookStatus
	for _, s := range i.states {
		out = append(out, s.status())
	}
	return out
}

// Missed is how often the kernel has not run the programs so far: what happened then is
// in no figure.
func (i *Interference) Missed() uint64 {
	var n uint64
	for _, s := range i.states {
		n += s.missed()
	}
	return n
}

// SeesInterrupts reports whether both kinds of interrupts are seen, and why not.
func (i *Interference) SeesInterrupts() (bool, string) {
	for _, s := range i.states[1:] {
		if s.hook.name != HookEngineTask && s.rung == "" {
			return false, unattached(s)
		}
	}
	return true, ""
}

func unattached(s *state) string {
	return fmt.Sprintf("attach %s: %s", s.hook.name, HookStatus{Refused: s.refused}.Why())
}

// Engine names the processes of a container engine: from now on their time, and that of
// what they start, is of [SourceEngine], unless it is the group's or in a PID namespace of
// its own, as other containers are. What they have started before is not known as theirs.
// The error says why it will be counted as that of other tasks.
func (i *Interference) Engine(pids []int) error {
	n := i.engineHook()
	if n < 0 {
		return errors.New("name a container engine's processes: NoEngine has been called")
	}
	if i.states[n].rung == "" {
		return errors.New(unattached(i.states[n]))
	}
	if int(i.own) != os.Getpid() {
		return errors.New("ukprobe is in a PID namespace, where numbers of processes are not the kernel's")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.engine = slices.Clone(pids)
	return i.remember()
}

// engineHook is the place of the hook that only [Interference.Engine] needs; -1: it is gone.
func (i *Interference) engineHook() int {
	return slices.IndexFunc(i.states, func(s *state) bool { return s.hook.name == HookEngineTask })
}

// NoEngine says, before the first look, that [Interference.Engine] will not be called: what
// only that needs is detached, and costs the host nothing.
func (i *Interference) NoEngine() error {
	n := i.engineHook()
	if n < 0 {
		return nil
	}
	gone := i.states[n]
	i.states = slices.Delete(i.states, n, n+1)
	return gone.detach()
}

// remember has the engine's processes in the table, from which the kernel may drop them.
func (i *Interference) remember() error {
	for _, pid := range i.engine {
		if err := i.loader.maps[bpf.InterferenceMapEngine].Put(uint32(pid), uint32(1)); err != nil {
			return fmt.Errorf("write BPF map %s: %w", bpf.InterferenceMapEngine, err)
		}
	}
	return nil
}

// Begin looks at the CPUs from now on, until End. The group is the id of the cgroup
// whose tasks, and those in groups below it, are not foreign.
func (i *Interference) Begin(cpus []int, group uint64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cpus != nil {
		return fmt.Errorf("look at cpus %v: cpus %v are being looked at", cpus, i.cpus)
	}
	if err := errors.Join(i.forget(), i.remember()); err != nil {
		return err
	}
	i.cpus = slices.Compact(slices.Sorted(slices.Values(cpus)))
	for _, c := range i.cpus {
		if err := i.lookAt(c, group, uint64(i.own)); err != nil {
			errs := []error{err}
			for _, begun := range i.cpus {
				errs = append(errs, i.lookAt(begun, 0, 0))
			}
			i.cpus = nil
			return errors.Join(errs...)
		}
	}
	return nil
}

// lookAt runs the program look on a CPU.
func (i *Interference) lookAt(cpu int, group, own uint64) error {
	_, err := i.look.Run(&ebpf.RunOptions{Context: []uint64{group, own}, CPU: uint32(cpu), Flags: unix.BPF_F_TEST_RUN_ON_CPU})
	if err != nil {
		return fmt.Errorf("look at cpu %d: run BPF program %s there (Linux 5.10): %w", cpu, bpf.InterferenceProgLook, err)
	}
	return nil
}

// forget empties the table of sources.
func (i *Interference) forget() error {
	sources := i.loader.maps[bpf.InterferenceMapSources]
	var keys []bpf.InterferenceSourceKey
	var key bpf.InterferenceSourceKey
	var value bpf.InterferenceSourceTime
	for it := sources.Iterate(); it.Next(&key, &value); {
		keys = append(keys, key)
	}
	for _, k := range keys {
		if err := sources.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("empty BPF map %s: %w", bpf.InterferenceMapSources, err)
		}
	}
	return nil
}

// End looks no longer. It returns what was seen.
func (i *Interference) End() (Look, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	cpus := i.cpus
	i.cpus = nil
	var errs []error
	for _, c := range cpus { // all of them: one that is looked at still would be in the next sample's
		errs = append(errs, i.lookAt(c, 0, 0))
	}
	if err := errors.Join(errs...); err != nil {
		return Look{}, err
	}
	look, err := i.times(cpus)
	if err != nil {
		return Look{}, err
	}
	look.Sources, err = i.sources()
	return look, err
}

func (i *Interference) times(cpus []int) (out Look, err error) {
	var all []bpf.InterferenceCpuTime
	if err := i.loader.maps[bpf.InterferenceMapCpuTimes].Lookup(uint32(0), &all); err != nil {
		return out, fmt.Errorf("read BPF map %s: %w", bpf.InterferenceMapCpuTimes, err)
	}
	var most uint64
	for _, c := range cpus {
		if c >= len(all) {
			return out, fmt.Errorf("cpu %d: the kernel knows only %d", c, len(all))
		}
		most = max(most, all[c].Stretches)
	}
	heads, err := i.stretches(bpf.InterferenceMapHeads, most)
	if err != nil {
		return out, err
	}
	tails, err := i.stretches(bpf.InterferenceMapTails, most)
	if err != nil {
		return out, err
	}
	for _, c := range cpus {
		t := all[c]
		out.CPUs = append(out.CPUs, CPUTime{CPU: c, Begun: int64(t.BegunNs), Span: time.Duration(t.EndedNs - t.BegunNs), Idle: time.Duration(t.Idle), Mine: time.Duration(t.Mine),
			Own: time.Duration(t.OwnTime), Engine: time.Duration(t.EngineTime), Others: time.Duration(t.Others), IRQ: time.Duration(t.Irq), SoftIRQ: time.Duration(t.Softirqs),
			Unnamed: time.Duration(t.BeyondNs), UnnamedCount: t.Beyond, Switches: t.Switches})
		out.edges = append(out.edges, newEdges(t.Stretches, heads[c], tails[c]).within(t.BegunNs, t.EndedNs))
	}
	return out, nil
}

// stretches are those in a table, of each CPU, of which none has had more than most. What
// was never written is read only up to the next part of the table.
func (i *Interference) stretches(table string, most uint64) (out [][]stretch, err error) {
	m := i.loader.maps[table]
	const each = uint64(len(bpf.InterferenceEdge{}.At))
	for part := range min(m.MaxEntries(), uint32(min(most/each, 1<<16))+1) {
		var all []bpf.InterferenceEdge
		if err := m.Lookup(part, &all); err != nil {
			return nil, fmt.Errorf("read BPF map %s: %w", table, err)
		}
		out = slices.Grow(out, len(all))[:len(all)]
		for c := range all {
			out[c] = append(out[c], all[c].At[:]...)
		}
	}
	return out, nil
}

func (i *Interference) sources() ([]Source, error) {
	var out []Source
	var key bpf.InterferenceSourceKey
	var value bpf.InterferenceSourceTime
	it := i.loader.maps[bpf.InterferenceMapSources].Iterate()
	for it.Next(&key, &value) {
		s := Source{Kind: sourceKinds[int(key.Kind)%len(sourceKinds)], ID: int(key.Id), Process: int(value.Tgid), CPU: int(key.Cpu),
			Time: time.Duration(value.Ns), Count: value.Count}
		switch s.Kind {
		case SourceSoftIRQ:
			s.Name = softirqName(s.ID)
		case SourceIRQ:
		default:
			s.Name = commName(value.Comm)
		}
		out = append(out, s)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read BPF map %s: %w", bpf.InterferenceMapSources, err)
	}
	longestFirst(out)
	return out, nil
}

func longestFirst(s []Source) {
	slices.SortFunc(s, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.CPU, b.CPU))
	})
}

func softirqName(vector int) string {
	if vector < len(softirqs) {
		return softirqs[vector]
	}
	return fmt.Sprintf("vector %d", vector)
}

// commName is a thread's name: anything but zero bytes, of which programs can set the
// most part themselves.
func commName(comm [16]int8) string {
	var b []byte
	for _, c := range comm {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return (Line{Text: string(b)}).Clean()
}

// Close detaches everything.
func (i *Interference) Close() error {
	var errs []error
	for _, s := range i.states {
		errs = append(errs, s.detach())
	}
	if i.look != nil {
		errs = append(errs, i.look.Close())
	}
	return errors.Join(append(errs, i.loader.Close())...)
}
