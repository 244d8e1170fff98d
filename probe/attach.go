// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/ukprobe/ukprobe/bpf"
)

// loader loads programs one by one, all on the same maps.
type loader struct {
	specs   map[object]*ebpf.CollectionSpec
	maps    map[string]*ebpf.Map
	modules []*btf.Spec
	cache   *btf.Cache
}

// moduleNames are the kernel modules whose types the programs look into.
var moduleNames = []string{"kvm", "kvm_amd", "kvm_intel", "tun"}

func newLoader() (*loader, error) {
	l := &loader{specs: map[object]*ebpf.CollectionSpec{}, maps: map[string]*ebpf.Map{}, cache: btf.NewCache()}
	for obj, load := range map[object]func() (*ebpf.CollectionSpec, error){
		objProc: bpf.LoadProc, objKVM: bpf.LoadKVM, objNet: bpf.LoadNet,
	} {
		spec, err := load()
		if err != nil {
			return nil, fmt.Errorf("decode BPF object: %w", err)
		}
		l.specs[obj] = spec
	}
	if err := setExitClasses(l.specs[objKVM], hostISA()); err != nil {
		return nil, err
	}
	for _, name := range moduleNames {
		// Absent where it is built in or not loaded: then the kernel's own BTF
		// has the types, or no guest of that kind can run.
		if spec, err := btf.LoadKernelModuleSpec(name); err == nil {
			l.modules = append(l.modules, spec)
		}
	}
	return l, nil
}

// createMaps makes the shared maps, for so many guests at one time.
func (l *loader) createMaps(slots uint32) error {
	for _, spec := range l.specs {
		for name, m := range spec.Maps {
			if strings.HasPrefix(name, ".") { // .rodata is each object's own
				continue
			}
			scaleMap(m, slots)
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

// scaleMap sizes the maps that hold a row per slot.
func scaleMap(m *ebpf.MapSpec, slots uint32) {
	if m.Name == "devices" || m.Name == "targets" || m.MaxEntries%bpfMaxSlots != 0 {
		return
	}
	switch m.Name {
	case "slots", "counts", "exit_hist", "user_exit_hist", "user_exits":
		m.MaxEntries = m.MaxEntries / bpfMaxSlots * slots
	}
}

// bpfMaxSlots is MAX_SLOTS of bpf/event.h.
const bpfMaxSlots = 16

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
		MapReplacements: l.maps,
		Programs:        ebpf.ProgramOptions{ExtraRelocationTargets: l.modules},
		Cache:           l.cache,
	})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(name), nil
}

// attached is one program in place.
type attached struct {
	prog *ebpf.Program
	link link.Link
}

func (a attached) Close() error { return errors.Join(a.link.Close(), a.prog.Close()) }

// attach loads a program and puts it in place, trying its targets in turn.
func (l *loader) attach(h *hook, rung Rung, p program) (attached, error) {
	targets := p.targets
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
			lnk, err = link.Kretprobe(target, prog, nil)
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

// precheck refuses what would load and then read the wrong thing.
func (l *loader) precheck(h *hook, rung Rung) error {
	if h.name == HookKVMExit && (rung == TPBTF || rung == RawTP) && !l.exitHasVCPU() {
		return errors.New("this kernel's kvm_exit does not begin with the vCPU (Linux before 5.13)")
	}
	return nil
}

// exitHasVCPU reports whether the kvm_exit tracepoint's first argument is the
// vCPU. Until 5.12 it was the reason (kernel commit 0a62a0319abb).
func (l *loader) exitHasVCPU() bool {
	kernel, err := l.cache.Kernel()
	if err != nil {
		return false
	}
	for _, spec := range append([]*btf.Spec{kernel}, l.modules...) {
		var td *btf.Typedef
		if spec.TypeByName("btf_trace_kvm_exit", &td) != nil {
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
