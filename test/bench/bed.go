// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
	"github.com/ukprobe/ukprobe/probe"
)

// bed is where programs are run without being attached: on the maps of a real probe,
// in which this very process stands for a guest that is watched, or for one that is
// not. The probe's own hooks are attached besides; they count what happens on the
// machine, and nothing that is run here.
type bed struct {
	probe  *probe.Probe
	watch  *probe.Watch
	maps   map[string]*ebpf.Map // the probe's, by name
	types  []*btf.Spec          // what the kernel's own types lack
	cgroup uint64
	vcpu   uint64 // address of a readable struct vcpu_svm
}

// newBed opens a probe and finds its maps.
func (b *bench) newBed() (_ *bed, err error) {
	bd := &bed{maps: map[string]*ebpf.Map{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, bd.close())
		}
	}()
	if bd.cgroup, err = b.ownCgroupID(); err != nil {
		return nil, err
	}
	if bd.probe, err = probe.Open(probe.Options{Slots: 2}); err != nil {
		return nil, err
	}
	if err := bd.findMaps(); err != nil {
		return nil, err
	}
	if err := bd.missingMaps(); err != nil {
		return nil, err
	}
	if err := bd.findTypes(); err != nil {
		return nil, err
	}
	bd.vcpu, err = bd.fakeVCPU()
	return bd, err
}

// ownCgroupID is what bpf_get_current_cgroup_id gives in this process.
func (b *bench) ownCgroupID() (uint64, error) {
	dir, err := b.ownCgroup()
	if err != nil {
		return 0, err
	}
	handle, _, err := unix.NameToHandleAt(int(dir.Fd()), "", unix.AT_EMPTY_PATH)
	if err = errors.Join(err, dir.Close()); err != nil {
		return 0, fmt.Errorf("ask for the id of cgroup %s: %w", dir.Name(), err)
	}
	return binary.NativeEndian.Uint64(handle.Bytes()), nil
}

// findMaps opens the maps that the probe's programs use, under their own names.
func (bd *bed) findMaps() error {
	programs, err := bd.probe.Programs()
	if err != nil {
		return err
	}
	for id := range programs {
		prog, err := ebpf.NewProgramFromID(id)
		if err != nil {
			return fmt.Errorf("open the probe's BPF program %d: %w", id, err)
		}
		info, err := prog.Info()
		if err = errors.Join(err, prog.Close()); err != nil {
			return fmt.Errorf("ask for the maps of BPF program %d: %w", id, err)
		}
		ids, _ := info.MapIDs()
		for _, id := range ids {
			if err := bd.addMap(id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (bd *bed) addMap(id ebpf.MapID) error {
	m, err := ebpf.NewMapFromID(id)
	if err != nil {
		return fmt.Errorf("open the probe's BPF map %d: %w", id, err)
	}
	info, err := m.Info()
	if err != nil {
		return errors.Join(fmt.Errorf("ask for the name of BPF map %d: %w", id, err), m.Close())
	}
	if bd.maps[info.Name] != nil || strings.Contains(info.Name, ".") { // .rodata is each object's own
		return m.Close()
	}
	bd.maps[info.Name] = m
	return nil
}

var objects = []func() (*ebpf.CollectionSpec, error){bpf.LoadKVM, bpf.LoadProc, bpf.LoadNet, bpf.LoadHistTest}

// missingMaps makes the maps that no attached program uses.
func (bd *bed) missingMaps() error {
	for _, load := range objects {
		spec, err := load()
		if err != nil {
			return err
		}
		for name, m := range spec.Maps {
			if bd.maps[name] != nil || strings.HasPrefix(name, ".") {
				continue
			}
			if bd.maps[name], err = ebpf.NewMap(m); err != nil {
				return fmt.Errorf("create BPF map %s: %w", name, err)
			}
		}
	}
	return nil
}

// svmTypes are what raw_tp/kvm_exit looks into on an AMD host, besides struct kvm_vcpu.
var svmTypes = []string{"vcpu_svm", "vmcb", "vmcb_control_area", "vmcb_save_area", "vmcb_seg"}

// findTypes hands in bpf/kernel.h's own struct vcpu_svm, which kernels have in a
// module at most: the program then reads its reason from memory of the bed, that is
// laid out so.
func (bd *bed) findTypes() error {
	object, err := bpf.LoadKVM()
	if err != nil {
		return err
	}
	var own []btf.Type
	for _, name := range svmTypes {
		t, err := object.Types.AnyTypeByName(name)
		if err != nil {
			return fmt.Errorf("look for struct %s in the object file: %w", name, err)
		}
		own = append(own, t)
	}
	builder, err := btf.NewBuilder(own, nil)
	if err != nil {
		return fmt.Errorf("make types of the object's own: %w", err)
	}
	spec, err := builder.Spec()
	if err != nil {
		return fmt.Errorf("make types of the object's own: %w", err)
	}
	bd.types = []*btf.Spec{spec}
	return nil
}

// vmcbAt is where in the bed's memory the VMCB is; before it there is room for a
// struct kvm_vcpu of any kernel.
const vmcbAt = 32 << 10

// ioReason is SVM's exit reason for port accesses.
const ioReason = 0x7b

// fakeVCPU makes a struct vcpu_svm in the kernel: the value of an array map, of which
// a small program tells the address. Its first field, at the address itself, points
// to a VMCB whose first field is the exit's reason.
func (bd *bed) fakeVCPU() (uint64, error) {
	const name = "vcpu"
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: vmcbAt + 4096, MaxEntries: 1})
	if err != nil {
		return 0, fmt.Errorf("create a BPF map: %w", err)
	}
	bd.maps[name] = m // closed with the others
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMapValue(asm.R1, m.FD(), 0),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.Add.Imm(asm.R2, vmcbAt),
		asm.StoreMem(asm.R1, 0, asm.R2, asm.DWord),
		asm.StoreImm(asm.R2, 0, ioReason, asm.Word),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}})
	if err != nil {
		return 0, fmt.Errorf("load the program that tells a map value's address: %w", err)
	}
	_, err = prog.Run(&ebpf.RunOptions{Data: make([]byte, 64)})
	if err = errors.Join(err, prog.Close()); err != nil {
		return 0, fmt.Errorf("ask for a map value's address: %w", err)
	}
	value, err := m.LookupBytes(uint32(0))
	if err != nil {
		return 0, fmt.Errorf("read a map value's address: %w", err)
	}
	return binary.NativeEndian.Uint64(value) - vmcbAt, nil
}

// load loads one program by its name, from whichever object has it, with an AMD
// host's constants. asRaw: as a raw tracepoint's, which can be run on any bytes.
func (bd *bed) load(name string, asRaw bool) (*ebpf.Program, error) {
	for _, load := range objects {
		spec, err := load()
		if err != nil {
			return nil, err
		}
		prog := spec.Programs[name]
		if prog == nil {
			continue
		}
		if asRaw {
			prog.Type = ebpf.RawTracepoint
		}
		if err := setConstants(spec); err != nil {
			return nil, err
		}
		spec.Programs = map[string]*ebpf.ProgramSpec{name: prog}
		coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
			MapReplacements: bd.replacements(spec), Programs: ebpf.ProgramOptions{ExtraRelocationTargets: bd.types}})
		if err != nil {
			return nil, err
		}
		defer coll.Close()
		return coll.DetachProgram(name), nil
	}
	return nil, fmt.Errorf("BPF program %s is in no object file", name)
}

// replacements gives a spec the bed's maps, and their sizes.
func (bd *bed) replacements(spec *ebpf.CollectionSpec) map[string]*ebpf.Map {
	out := map[string]*ebpf.Map{}
	for name, m := range spec.Maps {
		if have := bd.maps[name]; have != nil {
			m.MaxEntries, m.ValueSize = have.MaxEntries(), have.ValueSize()
			out[name] = have
		}
	}
	return out
}

// setConstants: an AMD host's, on which port accesses have a row of their own.
func setConstants(spec *ebpf.CollectionSpec) error {
	var classes [256]uint8
	classes[ioReason] = 1
	for name, value := range map[string]any{"host_isa": uint32(2), "exit_class_of": classes} {
		if v, ok := spec.Variables[name]; ok {
			if err := v.Set(value); err != nil {
				return fmt.Errorf("set BPF variable %s: %w", name, err)
			}
		}
	}
	return nil
}

// nowhere is the id of a cgroup that no process is in. 1 would be the root's.
const nowhere = 1 << 40

// reset makes this process a guest that is watched, or another one.
func (bd *bed) reset(watched, firmware bool) error {
	if bd.watch != nil {
		if err := bd.watch.Close(); err != nil {
			return err
		}
		bd.watch = nil
	}
	t := probe.Target{CgroupID: nowhere, KVM: true}
	if watched {
		t.CgroupID = bd.cgroup
	}
	if firmware { // and it never ends
		t.Image = []probe.Segment{{Lo: 1 << 40, Hi: 1<<40 + 1}}
	}
	var err error
	if bd.watch, err = bd.probe.Watch(t); err != nil {
		return err
	}
	var target bpf.KVMTarget
	if err := bd.maps[bpf.KVMMapTargets].Lookup(t.CgroupID, &target); err != nil {
		return fmt.Errorf("find the slot of the watched cgroup: %w", err)
	}
	var ns unix.Stat_t // PROG_TEST_RUN takes the thread's lo
	if err := unix.Stat("/proc/thread-self/ns/net", &ns); err != nil {
		return fmt.Errorf("find the network namespace: %w", err)
	}
	lo := &bpf.KVMDeviceKey{Netns: uint32(ns.Ino), Ifindex: 1}
	if !watched {
		err := bd.maps[bpf.KVMMapDevices].Delete(lo)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			err = nil
		}
		return err
	}
	return bd.maps[bpf.KVMMapDevices].Put(lo, &bpf.KVMDevice{Slot: target.Slot, ServicePort: servicePort})
}

func (bd *bed) close() error {
	var errs []error
	if bd.watch != nil {
		errs = append(errs, bd.watch.Close())
	}
	for _, m := range bd.maps {
		errs = append(errs, m.Close())
	}
	if bd.probe != nil {
		errs = append(errs, bd.probe.Close())
	}
	return errors.Join(errs...)
}
