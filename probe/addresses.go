// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/ukprobe/ukprobe/bpf"
)

// AddressKind says at what a guest was stopped.
type AddressKind string

// The kinds, in the order of enum address_kind in bpf/addresses.bpf.c.
const (
	AddressHalt    AddressKind = "halt"    // HLT
	AddressConsole AddressKind = "console" // OUT to the first serial port, 0x3f8
	AddressPort    AddressKind = "port"    // OUT to any other port
	AddressOther   AddressKind = "other"   // any other exit; not where KVM only emulates
)

// AddressKinds are all of them.
var AddressKinds = []AddressKind{AddressHalt, AddressConsole, AddressPort, AddressOther}

// addressPrograms are on these tracepoints.
var addressPrograms = map[string]string{
	bpf.AddressesProgAddressExit: "kvm_exit",
	bpf.AddressesProgAddressInsn: "kvm_emulate_insn",
	bpf.AddressesProgAddressPio:  "kvm_pio",
}

// Addresses sees where guests under KVM are: it keeps the instruction pointers of the
// last 32 events of each kind, for each cgroup whose threads run a vCPU, until 1024
// others came after it. It works beside a Probe or without one, and costs each exit of
// every guest of the host a lookup or two.
//
// It attaches to classic tracepoints, whose records have the instruction pointer with
// both vendors: tracefs has to be mounted. It may be used by several goroutines.
type Addresses struct {
	coll  *ebpf.Collection
	links []link.Link
}

// OpenAddresses loads and attaches the programs. It needs what [Open] needs.
func OpenAddresses() (_ *Addresses, err error) {
	if err := usable(); err != nil {
		return nil, err
	}
	loadModules()
	spec, err := bpf.LoadAddresses()
	if err != nil {
		return nil, fmt.Errorf("decode BPF object: %w", err)
	}
	a := &Addresses{}
	if a.coll, err = ebpf.NewCollection(spec); err != nil {
		return nil, fmt.Errorf("load the BPF programs that see addresses: %w%s", err, privilegeHint(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	for name, tracepoint := range addressPrograms {
		l, err := link.Tracepoint("kvm", tracepoint, a.coll.Programs[name], nil)
		if err != nil {
			return nil, fmt.Errorf("attach to tracepoint kvm/%s: %s", tracepoint, explain(err, Tracepoint))
		}
		a.links = append(a.links, l)
	}
	return a, nil
}

// HookAddresses is the name of the hooks of [Addresses].
const HookAddresses = "addresses"

// Hook is what sees the addresses.
func (a *Addresses) Hook() HookStatus {
	return HookStatus{Hook: HookAddresses, Tells: "where a guest is", Rung: Tracepoint}
}

// Of returns the addresses that the guest in a cgroup was seen at, the oldest first;
// none if it was not seen.
func (a *Addresses) Of(cgroupID uint64) (map[AddressKind][]uint64, error) {
	var seen bpf.AddressesAddresses
	err := a.coll.Maps[bpf.AddressesMapGroups].Lookup(cgroupID, &seen)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read BPF map %s: %w", bpf.AddressesMapGroups, err)
	}
	out := map[AddressKind][]uint64{}
	for i, kind := range AddressKinds {
		out[kind] = inOrder(seen.Last[i][:], seen.Seen[i])
	}
	return out, nil
}

// inOrder takes a ring apart, in which so many were ever put.
func inOrder(ring []uint64, ever uint64) []uint64 {
	size := uint64(len(ring))
	var out []uint64
	for n := ever - min(ever, size); n < ever; n++ {
		out = append(out, ring[n%size])
	}
	return out
}

// Close detaches everything.
func (a *Addresses) Close() error {
	var errs []error
	for _, l := range a.links {
		errs = append(errs, l.Close())
	}
	if a.coll != nil {
		a.coll.Close()
	}
	return errors.Join(errs...)
}
