// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"

	"github.com/ukprobe/ukprobe/bpf"
)

// loader loads programs one by one, all on the same maps.
type loader struct {
	isa    ISA
	slots  uint32
	schema int // of the histograms
	// groupLevel is Options.GroupLevel, or 0 where the kernel lacks the helper.
	groupLevel int
	noGroups   error // why it is 0 then
	specs      map[object]*ebpf.CollectionSpec
	maps       map[string]*ebpf.Map
	modules    []*btf.Spec
	cache      *btf.Cache
}

// moduleNames are the kernel modules whose types the programs look into.
var moduleNames = []string{"kvm", "kvm_amd", "kvm_intel", "tun"}

func newLoader(isa ISA, slots, schema, groupLevel int) (*loader, error) {
	loadModules()
	l := &loader{isa: isa, slots: uint32(slots), schema: schema, groupLevel: groupLevel, specs: map[object]*ebpf.CollectionSpec{}, maps: map[string]*ebpf.Map{}, cache: btf.NewCache()}
	for obj, load := range map[object]func() (*ebpf.CollectionSpec, error){
		objProc: bpf.LoadProc, objKVM: bpf.LoadKVM, objNet: bpf.LoadNet, objClock: bpf.LoadClock,
	} {
		spec, err := load()
		if err != nil {
			return nil, fmt.Errorf("decode BPF object: %w", err)
		}
		l.specs[obj] = spec
	}
	for _, name := range moduleNames {
		// Absent where it is built in or not loaded: then the kernel's own BTF
		// has the types, or no guest of that kind can run.
		if spec, err := l.cache.Module(name); err == nil {
			l.modules = append(l.modules, spec)
		}
	}
	if groupLevel > 0 {
		if l.noGroups = haveAncestors(); l.noGroups != nil {
			l.groupLevel = 0
		}
	}
	return l, l.setConstants()
}

// haveAncestors says why programs cannot ask for a task's cgroup at a level.
func haveAncestors() error {
	err := features.HaveProgramHelper(ebpf.RawTracepoint, asm.FnGetCurrentAncestorCgroupId)
	if errors.Is(err, ebpf.ErrNotSupported) {
		return errors.New("programs cannot ask for the cgroups above a task's: needs Linux 5.15")
	}
	if err != nil {
		return fmt.Errorf("ask whether programs can ask for the cgroups above a task's: %w", err)
	}
	return nil
}

// GroupsBelow says why groups below the watched ones do not belong to them, though
// Options.GroupLevel asked for it; nil if they do.
func (p *Probe) GroupsBelow() error { return p.loader.noGroups }

// loadModules makes the kernel load kvm and tun, as it would at the first guest:
// only then are their functions and types there to attach to.
func loadModules() {
	for _, path := range []string{"/dev/kvm", "/dev/net/tun"} {
		if f, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
			_ = f.Close()
		}
	}
}

// createMaps makes the shared maps and fills the queues of what is free.
func (l *loader) createMaps() error {
	for _, spec := range l.specs {
		for _, m := range spec.Maps {
			l.sizeMap(m)
		}
	}
	if err := l.makeMaps(); err != nil {
		return err
	}
	return errors.Join(l.fill(bpf.KVMMapFreeSlots, l.slots), l.fill(bpf.KVMMapFreeVcpus, bpfMaxVCPUs))
}

// makeMaps makes each map of the objects once.
func (l *loader) makeMaps() error {
	for _, spec := range l.specs {
		for name, m := range spec.Maps {
			if strings.HasPrefix(name, ".") { // .rodata is each object's own
				continue
			}
			if _, ok := l.maps[name]; ok {
				continue
			}
			made, err := ebpf.NewMap(m)
			if err != nil {
				return fmt.Errorf("create BPF map %s: %w%s", name, err, privilegeHint(err))
			}
			l.maps[name] = made
		}
	}
	return nil
}

// alone is the loader of an object that shares no map with others.
func alone(obj object, load func() (*ebpf.CollectionSpec, error)) (*loader, error) {
	if err := usable(); err != nil {
		return nil, err
	}
	spec, err := load()
	if err != nil {
		return nil, fmt.Errorf("decode BPF object: %w", err)
	}
	return &loader{specs: map[object]*ebpf.CollectionSpec{obj: spec}, maps: map[string]*ebpf.Map{}, cache: btf.NewCache()}, nil
}

// fill puts the numbers below n into a queue.
func (l *loader) fill(name string, n uint32) error {
	for i := range n {
		if err := l.maps[name].Put(nil, i); err != nil {
			return fmt.Errorf("fill BPF map %s: %w", name, err)
		}
	}
	return nil
}

// perSlot are the maps that have rows for each slot.
var perSlot = []string{
	bpf.KVMMapSlots, bpf.KVMMapTaken, bpf.KVMMapCounts, bpf.KVMMapExits, bpf.KVMMapExitHist, bpf.KVMMapGuestHist,
	bpf.KVMMapExitParts, bpf.KVMMapUserExitHist, bpf.KVMMapUserExits, bpf.KVMMapSpanHist, bpf.KVMMapFreeSlots,
	bpf.KVMMapTargets, bpf.KVMMapDevices,
	bpf.ClockMapTsc,
	bpf.NetMapFlows, bpf.NetMapFlowGuests, bpf.NetMapFlowCount, bpf.NetMapNetHist,
}

// sizeMap sizes a map for the number of slots and the histograms' schema.
func (l *loader) sizeMap(m *ebpf.MapSpec) {
	if slices.Contains(perSlot, m.Name) {
		m.MaxEntries = m.MaxEntries / bpfMaxSlots * l.slots
	}
	switch m.Name {
	case bpf.KVMMapPorts:
		m.MaxEntries = l.slots * l.portShare()
	case bpf.KVMMapRecords:
		m.MaxEntries = l.ringBytes()
	}
	if s, ok := m.Value.(*btf.Struct); ok && s.Name == "hist" {
		m.ValueSize = uint32(histHeader + 8*histBuckets(l.schema))
		m.Key, m.Value = nil, nil // its type tells the default's size
	}
}

// ringBytes is the size of the ring buffer, a power of two.
func (l *loader) ringBytes() uint32 {
	if l.slots > 16 {
		return 4 << 20
	}
	return 1 << 20
}

// portShare is how many ports one guest may touch before the rest is only
// counted. PCs have some dozens.
func (l *loader) portShare() uint32 {
	if l.slots > 16 {
		return 64
	}
	return 256
}

// setConstants fills in what the programs take as constants.
func (l *loader) setConstants() error {
	constants := map[string]any{
		"host_isa": l.isa.number(), "exit_class_of": exitClassTable(l.isa), "user_exit_row_of": userExitRowTable(),
		"host_has_exits": number(HasVirtualisation()), "page_fault_has_vcpu": number(l.pageFaultHasVCPU()),
		"group_level": uint32(l.groupLevel), "hist_schema": uint32(l.schema), "port_share": l.portShare(),
		"record_share": uint64(l.ringBytes()) / uint64(l.slots) / recordBytes,
	}
	for _, spec := range l.specs {
		for name, value := range constants {
			v, ok := spec.Variables[name]
			if !ok {
				continue // none of this object's programs uses it
			}
			if err := v.Set(value); err != nil {
				return fmt.Errorf("set BPF variable %s: %w", name, err)
			}
		}
	}
	return nil
}

// recordBytes is what a record takes in the ring buffer: struct record of
// bpf/event.h and the kernel's header of 8 bytes.
const recordBytes = recordHeader + maxLine + 8

func number(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// bpfMaxSlots and bpfMaxVCPUs are MAX_SLOTS and MAX_VCPUS of bpf/event.h.
const (
	bpfMaxSlots = 1024
	bpfMaxVCPUs = 4096
)

func (l *loader) Close() error {
	var errs []error
	for _, m := range l.maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// load loads one program, attached to target instead of the one in the object
// file if target is not empty.
func (l *loader) load(obj object, name, target string) (*ebpf.Program, error) {
	whole := l.specs[obj]
	prog, ok := whole.Programs[name]
	if !ok {
		return nil, fmt.Errorf("BPF program %s is not in its object file", name)
	}
	spec := whole.Copy()
	prog = prog.Copy()
	if target != "" {
		prog.AttachTo = target
	}
	spec.Programs = map[string]*ebpf.ProgramSpec{name: prog}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: l.mapsOf(spec),
		Programs:        ebpf.ProgramOptions{ExtraRelocationTargets: l.modules},
		Cache:           l.cache,
	})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(name), nil
}

// mapsOf are those that an object declares: some are only one object's.
func (l *loader) mapsOf(spec *ebpf.CollectionSpec) map[string]*ebpf.Map {
	out := map[string]*ebpf.Map{}
	for name, m := range l.maps {
		if spec.Maps[name] != nil {
			out[name] = m
		}
	}
	return out
}

// attached is one program in place.
type attached struct {
	prog *ebpf.Program
	link link.Link
}

// missed is how often the kernel could not run the program. Kernels before 6.7 do
// not tell it of kprobes.
func (a attached) missed() uint64 {
	var n uint64
	if stats, err := a.prog.Stats(); err == nil {
		n = stats.RecursionMisses
	}
	if info, err := a.link.Info(); err == nil {
		if pe := info.PerfEvent(); pe != nil && pe.Kprobe() != nil {
			n += pe.Kprobe().Missed
		}
	}
	return n
}

func (a attached) Close() error { return errors.Join(a.link.Close(), a.prog.Close()) }

// attach loads a program and puts it in place, trying its targets in turn.
func (l *loader) attach(h *hook, rung Rung, p program) (attached, error) {
	targets := slices.Clone(p.targets)
	if l.isa == VMX { // a kernel can have both vendors' built in: the host's first
		slices.Reverse(targets)
	}
	if len(targets) == 0 {
		targets = []string{""}
	}
	var errs []error
	for _, target := range targets {
		a, err := l.attachTo(h, rung, p.name, target)
		if err == nil {
			return a, nil
		}
		errs = append(errs, err)
	}
	return attached{}, errors.Join(errs...)
}

func (l *loader) attachTo(h *hook, rung Rung, name, target string) (attached, error) {
	if err := l.precheck(h, rung); err != nil {
		return attached{}, err
	}
	prog, err := l.load(h.obj, name, target)
	if err != nil {
		return attached{}, err
	}
	if target == "" {
		target = l.specs[h.obj].Programs[name].AttachTo
	}
	var lnk link.Link
	switch rung {
	case Fentry, TPBTF:
		lnk, err = link.AttachTracing(link.TracingOptions{Program: prog})
	case RawTP:
		lnk, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: target, Program: prog})
	case Kprobe:
		if strings.HasPrefix(name, "kretprobe_") {
			lnk, err = kretprobe(target, prog)
		} else {
			lnk, err = link.Kprobe(target, prog, nil)
		}
	case Tracepoint:
		group, tp, _ := strings.Cut(target, "/")
		lnk, err = link.Tracepoint(group, tp, prog, nil)
	default:
		err = fmt.Errorf("rung %s cannot be attached here", rung)
	}
	if err != nil {
		return attached{}, errors.Join(fmt.Errorf("%s: %w", target, err), prog.Close())
	}
	return attached{prog: prog, link: lnk}, nil
}

// maxReturns is how many calls of one function can be in flight for a kretprobe:
// each vCPU thread of the host is one, for as long as it is in KVM_RUN. The
// kernel's own choice is twice the number of CPUs.
const maxReturns = 4096

func kretprobe(target string, prog *ebpf.Program) (link.Link, error) {
	l, err := link.Kretprobe(target, prog, &link.KprobeOptions{RetprobeMaxActive: maxReturns})
	if err == nil {
		return l, nil
	}
	// Without tracefs the limit cannot be set; newer kernels have none (rethook).
	return link.Kretprobe(target, prog, nil)
}

// precheck refuses what would load and then read the wrong thing.
func (l *loader) precheck(h *hook, rung Rung) error {
	if h.name != HookKVMExit || rung == Tracepoint {
		return nil
	}
	if name := map[ISA]string{SVM: "vcpu_svm", VMX: "vcpu_vmx"}[l.isa]; !l.hasStruct(name) {
		return fmt.Errorf("this kernel's type information has no struct %s, where the reason stands (kvm_amd or kvm_intel not loaded, or a module without BTF)", name)
	}
	if (rung == TPBTF || rung == RawTP) && !l.exitHasVCPU() {
		return errors.New("this kernel's kvm_exit does not begin with the vCPU (Linux before 5.13)")
	}
	return nil
}

// types are the kernel's and its modules' BTF; none if the kernel has none.
func (l *loader) types() []*btf.Spec {
	kernel, err := l.cache.Kernel()
	if err != nil {
		return nil
	}
	return append([]*btf.Spec{kernel}, l.modules...)
}

// hasStruct looks for a type in the kernel's and its modules' BTF.
func (l *loader) hasStruct(name string) bool {
	for _, spec := range l.types() {
		var s *btf.Struct
		if spec.TypeByName(name, &s) == nil {
			return true
		}
	}
	return false
}

// exitHasVCPU reports whether the kvm_exit tracepoint's first argument is the
// vCPU. Until 5.12 it was the reason (kernel commit 0a62a0319abb).
func (l *loader) exitHasVCPU() bool {
	return l.startsWithVCPU("kvm_exit")
}

// pageFaultHasVCPU is the same for kvm_page_fault, since 6.0 (kernel commit
// faa03b39722a). A module without types is of a kernel that is older than that.
func (l *loader) pageFaultHasVCPU() bool {
	return l.startsWithVCPU("kvm_page_fault")
}

// startsWithVCPU reports whether a tracepoint's first argument is a pointer, as far
// as the kernel's types tell.
func (l *loader) startsWithVCPU(tracepoint string) bool {
	for _, spec := range l.types() {
		var td *btf.Typedef
		if spec.TypeByName("btf_trace_"+tracepoint, &td) != nil {
			continue
		}
		ptr, ok := td.Type.(*btf.Pointer)
		if !ok {
			return false
		}
		proto, ok := ptr.Target.(*btf.FuncProto)
		if !ok || len(proto.Params) < 2 { // the first is void *__data
			return false
		}
		_, ok = btf.UnderlyingType(proto.Params[1].Type).(*btf.Pointer)
		return ok
	}
	return false
}

func privilegeHint(err error) string {
	if errors.Is(err, os.ErrPermission) {
		return " (run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN)"
	}
	return ""
}
