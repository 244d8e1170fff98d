// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/ukprobe/ukprobe/bpf"
)

// Options says how a Probe is attached.
type Options struct {
	// Attach is the rung wanted for every hook that has it; Auto or "" takes
	// the ladder's order.
	Attach Rung
	// Strict forbids falling back from Attach: Open fails if a hook that exists
	// on that rung cannot have it.
	Strict bool
	// Slots is how many guests can be watched at one time, 1 to 1024; 0 means 2.
	// [SlotBytes] says what each costs.
	Slots int
	// Schema is the histograms' resolution, 0 to 5; nil means [DefaultSchema].
	Schema *int
	// GroupLevel is how deep below the root of the cgroup v2 hierarchy the watched
	// groups are, for guests that are started in groups below them: containers. With
	// 0 a watched group is only itself. It is not there before Linux 5.15: then
	// [Probe.GroupsBelow] says so.
	GroupLevel int
	// Discover finds the VMs of the host that nobody asked to watch, each at its
	// first vCPU event: see [Probe.VMs].
	Discover bool
}

// Probe holds the programs and maps in the kernel. Closing it detaches all.
// It may be used by several goroutines.
type Probe struct {
	opt    Options
	loader *loader
	isa    ISA
	reader *ringbuf.Reader
	done   chan struct{}
	drain  sync.Mutex // one flush at a time
	// flushed gets a token when all records that were there have been taken.
	flushed    chan struct{}
	badRecords atomic.Uint64 // that could not be read or understood

	taken *ebpf.Memory // by slot, for the programs: records that were read

	mu      sync.Mutex
	states  []*state
	watches []*Watch // by slot; nil: free
	told    []uint64 // by slot: records taken, as the programs know it
	closed  bool
	tc      *tcPrograms
	config  bpf.KVMConfig // user space's row

	vms *vms // of Discover and Adopt
}

// Open loads and attaches every hook by the best rung that can be had.
//
// A hook that cannot be attached at all does not make Open fail, unless
// Options.Strict: [Probe.Hooks] tells which, and timelines then miss its events
// with that reason. Needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and
// a kernel with BTF (Linux 5.8 for the ring buffer).
func Open(opt Options) (_ *Probe, err error) {
	if opt.Attach == "" {
		opt.Attach = Auto
	}
	if opt.Slots == 0 {
		opt.Slots = 2
	}
	if opt.Slots < 1 || opt.Slots > bpfMaxSlots {
		return nil, fmt.Errorf("slots %d: must be 1 to %d", opt.Slots, bpfMaxSlots)
	}
	if opt.Schema == nil {
		schema := DefaultSchema
		opt.Schema = &schema
	}
	if *opt.Schema < MinSchema || *opt.Schema > MaxSchema {
		return nil, fmt.Errorf("histogram schema %d: must be %d to %d", *opt.Schema, MinSchema, MaxSchema)
	}
	if err := usable(); err != nil {
		return nil, err
	}
	if opt.Discover {
		if err := hostPIDs(); err != nil {
			return nil, err
		}
	}
	p, err := newProbe(opt, HostISA())
	if err != nil {
		return nil, err
	}
	if err := p.attachHooks(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if opt.Discover {
		if err := p.discover(); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	return p, nil
}

// newProbe makes the maps and begins to read, with nothing attached.
func newProbe(opt Options, isa ISA) (_ *Probe, err error) {
	p := &Probe{opt: opt, isa: isa, done: make(chan struct{}), flushed: make(chan struct{}, 1),
		watches: make([]*Watch, opt.Slots), vms: newVMs(opt.Slots), told: make([]uint64, opt.Slots)}
	if p.loader, err = newLoader(isa, opt.Slots, *opt.Schema, opt.GroupLevel); err != nil {
		return nil, err
	}
	if err := p.loader.createMaps(); err != nil {
		return nil, errors.Join(err, p.loader.Close())
	}
	if p.taken, err = p.loader.maps[bpf.KVMMapTaken].Memory(); err != nil {
		return nil, errors.Join(fmt.Errorf("map BPF map taken into memory: %w", err), p.loader.Close())
	}
	if p.reader, err = ringbuf.NewReader(p.loader.maps[bpf.KVMMapRecords]); err != nil {
		return nil, errors.Join(fmt.Errorf("open ring buffer: %w", err), p.loader.Close())
	}
	go p.read()
	return p, nil
}

// SlotBytes is the kernel memory that one slot takes on this host, at a schema of
// the histograms: each CPU that the host could have holds its own. With network it
// is that of a VM whose device is watched with latencies (Target.Flows). It is
// reckoned from the maps' sizes: never less than what the kernel itself says, and
// about 30 KiB more.
func SlotBytes(schema int, network bool) (int, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return 0, fmt.Errorf("count possible CPUs: %w", err)
	}
	one, sum, seen := loader{slots: 1, schema: schema}, 0, map[string]bool{}
	for _, load := range []func() (*ebpf.CollectionSpec, error){bpf.LoadProc, bpf.LoadKVM, bpf.LoadNet, bpf.LoadClock} {
		spec, err := load()
		if err != nil {
			return 0, fmt.Errorf("decode BPF object: %w", err)
		}
		for name, m := range spec.Maps {
			if seen[name] || !slices.Contains(perSlot, name) && name != bpf.KVMMapPorts {
				continue
			}
			seen[name] = true
			one.sizeMap(m)
			sum += mapBytes(m, cpus)
			if network && m.InnerMap != nil {
				sum += mapBytes(m.InnerMap, cpus)
			}
		}
	}
	return sum, nil
}

// mapBytes is what the kernel allocates for a map (array_map_mem_usage and
// htab_map_mem_usage of kernel/bpf), without the map's own some hundred bytes.
func mapBytes(m *ebpf.MapSpec, cpus int) int {
	const (
		pointer  = 8
		element  = 48 // struct htab_elem before the key
		hashSlot = 16 // struct bucket
	)
	rows, key, value := int(m.MaxEntries), (int(m.KeySize)+7)&^7, (int(m.ValueSize)+7)&^7
	switch m.Type {
	case ebpf.PerCPUArray:
		return rows * (pointer + cpus*value)
	case ebpf.Hash: // the preallocated elements, one more for each CPU, and as many buckets
		return (rows+cpus)*(element+key+value) + rows*hashSlot
	}
	return rows * value
}

// usable checks what nothing works without, so that the error is about that and
// not about some map.
func usable() error {
	if _, err := btf.LoadKernelSpec(); err != nil {
		return fmt.Errorf("load the kernel's type information from /sys/kernel/btf/vmlinux: %w: ukprobe needs a kernel built with CONFIG_DEBUG_INFO_BTF", err)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise RLIMIT_MEMLOCK: %w%s", err, privilegeHint(err))
	}
	return nil
}

func (p *Probe) attachHooks() error {
	var refused []string // reasons in the order met
	byReason := map[string][]string{}
	for _, h := range hooksFor(p.isa) {
		s := p.loader.attachHook(h, p.opt.Attach, p.opt.Strict)
		if s.rung == "" && p.opt.Strict && slices.Contains(h.have(), p.opt.Attach) {
			why := HookStatus{Refused: s.refused}.Why()
			if byReason[why] == nil {
				refused = append(refused, why)
			}
			byReason[why] = append(byReason[why], h.name)
		}
		if h.onDemand { // it was tried only to learn its rung
			if err := s.detach(); err != nil {
				return err
			}
		}
		p.states = append(p.states, s)
	}
	if exec := p.state(HookExec); exec.rung == "" {
		return fmt.Errorf("attach %s: %s%s", HookExec, HookStatus{Refused: exec.refused}.Why(), rootHint())
	}
	for i, why := range refused {
		refused[i] = strings.Join(byReason[why], ", ") + ": " + why
	}
	if len(refused) > 0 {
		return fmt.Errorf("attach by %s, strictly: %s: run without --strict to let the ladder choose", p.opt.Attach, strings.Join(refused, "; "))
	}
	return nil
}

func rootHint() string {
	if os.Geteuid() != 0 {
		return " (run as root)"
	}
	return ""
}

// state returns the state of the hook with that name.
func (p *Probe) state(name string) *state {
	for _, s := range p.states {
		if s.hook.name == name {
			return s
		}
	}
	return nil
}

// ISA is the instruction set of the host's KVM, by which exits are named.
func (p *Probe) ISA() ISA { return p.isa }

// Hooks tells, hook by hook, which rung was got, why not a better one, and
// whether the hook has proven itself alive.
func (p *Probe) Hooks() []HookStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]HookStatus, 0, len(p.states)+2)
	for _, s := range p.states {
		st := s.status()
		st.Hits = p.hits(s.hook.id)
		out = append(out, st)
	}
	return append(out, p.tcStatus()...)
}

// missed is how often the kernel has not run any hook's programs since they were
// attached.
func (p *Probe) missed() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var n uint64
	for _, s := range p.states {
		n += s.missed()
	}
	return n
}

// hits is how often a hook has fired on all CPUs.
func (p *Probe) hits(id bpf.KVMHook) uint64 { return p.allHits()[id] }

// allHits is that for each hook.
func (p *Probe) allHits() (sum [bpf.KVMHookHOOK_KINDS]uint64) {
	var perCPU []bpf.KVMPerCpu
	if err := p.loader.maps[bpf.KVMMapCpus].Lookup(uint32(0), &perCPU); err != nil {
		return sum
	}
	for i := range perCPU {
		for h, n := range perCPU[i].Hits {
			sum[h] += n
		}
	}
	return sum
}

// demand attaches an on-demand hook for one more user; the returned function
// gives it back and may be called more than once.
func (p *Probe) demand(name string) (release func() error, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state(name)
	if s == nil || s.rung == "" {
		return func() error { return nil }, nil // missing events will say why
	}
	if p.closed {
		return nil, fmt.Errorf("attach %s: the probe is closed", name)
	}
	if s.users == 0 {
		done, err := p.loader.attachAll(s.hook, s.rung)
		if err != nil {
			return nil, fmt.Errorf("attach %s by %s: %w", name, s.rung, err)
		}
		s.attached = done
	}
	s.users++
	return sync.OnceValue(func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if s.users--; s.users > 0 {
			return nil
		}
		return s.detach()
	}), nil
}

// Close detaches everything. Watches that are still open become useless.
func (p *Probe) Close() error {
	var errs []error
	p.vms.close()
	p.mu.Lock()
	p.closed = true
	for _, s := range p.states {
		errs = append(errs, s.detach())
	}
	if p.tc != nil {
		errs = append(errs, p.tc.Close())
	}
	p.mu.Unlock()
	errs = append(errs, p.reader.Close())
	<-p.done
	return errors.Join(append(errs, p.loader.Close())...)
}

// updateMap is Map.Put with an error that names the map.
func (p *Probe) updateMap(name string, key, value any) error {
	if err := p.loader.maps[name].Put(key, value); err != nil {
		return fmt.Errorf("write BPF map %s: %w", name, err)
	}
	return nil
}

// addKey is updateMap for a key that must not be there yet.
func (p *Probe) addKey(name string, key, value any) error {
	if err := p.loader.maps[name].Update(key, value, ebpf.UpdateNoExist); err != nil {
		return fmt.Errorf("write BPF map %s: %w", name, err)
	}
	return nil
}

func (p *Probe) deleteKey(name string, key any) error {
	if err := p.loader.maps[name].Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete from BPF map %s: %w", name, err)
	}
	return nil
}
