// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// clockWatch is a watch's part that knows the guest's clock. Its zero value is
// that of a watch for which nobody asked.
type clockWatch struct {
	host    *HostClock
	noHost  error // why there is no mapping
	scaling bool  // this host's KVM can scale
	ratio   func() error
}

// WatchClock prepares [Watch.GuestTSC]: it takes the first pair of the host's
// clocks and attaches the hook that reads the scaling, where KVM can scale at
// all. Call it before the VMM is started, [Watch.PairClocks] from time to time,
// and [Watch.UnwatchClock] before Close.
//
// That this host's TSC cannot be mapped is no error here: GuestTSC says so.
func (w *Watch) WatchClock() error {
	c := &w.clock
	c.ratio = func() error { return nil }
	if err := w.clearClock(); err != nil {
		return err
	}
	if c.host, c.noHost = NewHostClock(); c.noHost == nil {
		if err := c.host.pair(); err != nil {
			return err
		}
	}
	var err error
	if c.scaling, err = canScaleTSC(); err != nil {
		c.scaling = true // unknown: then it has to be read
	}
	if c.scaling {
		c.ratio, err = w.p.demand(HookTSCRatio)
		return err
	}
	return nil
}

// PairClocks takes one more pair of the host's clocks. The closer a pair is to a
// reading, the smaller the reading's error. More than one in 5 ms is not taken.
func (w *Watch) PairClocks() error {
	if w.clock.host == nil {
		return nil
	}
	w.releaseRatio()
	return w.clock.host.Pair()
}

// releaseRatio takes the scaling's hook off where it costs every entry of the
// host, once vCPU 0's is known: a VMM sets it before the guest runs.
func (w *Watch) releaseRatio() {
	if !w.clock.scaling {
		return
	}
	if rung := w.rungOf(HookTSCRatio); rung != TPBTF && rung != RawTP {
		return
	}
	if s, err := w.tscState(0); err == nil && s.Ratio != 0 {
		_ = w.clock.ratio()
	}
}

// UnwatchClock detaches what WatchClock attached. It may be called again.
func (w *Watch) UnwatchClock() error {
	if w.clock.ratio == nil {
		return nil
	}
	return w.clock.ratio()
}

// GuestTSC takes a last pair and returns the mapping of this guest's TSC to the
// host's clock, or the reason why there is none.
func (w *Watch) GuestTSC() (*GuestTSC, error) {
	c := &w.clock
	switch {
	case c.noHost != nil:
		return nil, c.noHost
	case c.host == nil:
		return nil, errors.New("guest TSC: WatchClock was not called for this watch")
	}
	if s := w.p.state(HookTSC); s == nil || s.rung == "" {
		return nil, fmt.Errorf("guest TSC: its offset is not known: %s", w.whySilent([]string{HookTSC}))
	}
	if err := c.host.pair(); err != nil {
		return nil, err
	}
	g := &GuestTSC{host: c.host, ratio: w.ratioOf}
	if !HasVirtualisation() { // else RDTSC is the CPU's own, with the offset that KVM gave it
		g.bare = new(uint64)
	}
	for vcpu := range tscVCPUs {
		s, err := w.tscState(vcpu)
		if err != nil {
			return nil, err
		}
		g.vcpus = append(g.vcpus, readTSC(s))
	}
	return g, nil
}

// ratioOf is the ratio that the kernel's value stands for on this host.
func (w *Watch) ratioOf(raw uint64) (tscRatio, error) {
	if !w.clock.scaling {
		return unscaled("this host's KVM cannot scale: KVM_CAP_TSC_CONTROL is 0"), nil
	}
	r, err := readRatio(w.p.isa, raw)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, w.whySilent([]string{HookTSCRatio}))
	}
	return r, err
}

// readTSC puts the kernel side's ring of changes in order.
func readTSC(s bpf.ClockTscState) vcpuTSC {
	v := vcpuTSC{ratio: s.Ratio, more: s.Changes > tscChanges}
	first := uint64(0)
	if v.more {
		first = s.Changes - tscChanges
	}
	for i := first; i < s.Changes; i++ {
		c := s.Change[i%tscChanges]
		v.changes = append(v.changes, tscChange{ns: int64(c.Ns), offset: c.Offset})
	}
	return v
}

func (w *Watch) tscState(vcpu int) (bpf.ClockTscState, error) {
	var s bpf.ClockTscState
	if err := w.p.loader.maps[bpf.ClockMapTsc].Lookup(w.slot*tscVCPUs+uint32(vcpu), &s); err != nil {
		return s, fmt.Errorf("read BPF map %s: %w", bpf.ClockMapTsc, err)
	}
	return s, nil
}

// clearClock empties what the slot's last tenant left.
func (w *Watch) clearClock() error {
	var errs []error
	for vcpu := range uint32(tscVCPUs) {
		errs = append(errs, w.p.updateMap(bpf.ClockMapTsc, w.slot*tscVCPUs+vcpu, &bpf.ClockTscState{}))
	}
	return errors.Join(errs...)
}

// canScaleTSC asks KVM whether it can give guests a TSC of another rate. Where it
// cannot, the ratio of every guest is one.
func canScaleTSC() (bool, error) {
	const kvmCheckExtension, capTSCControl = 0xae03, 60 // include/uapi/linux/kvm.h
	kvm, err := os.Open("/dev/kvm")
	if err != nil {
		return false, err
	}
	defer kvm.Close()
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, kvm.Fd(), kvmCheckExtension, capTSCControl)
	if errno != 0 {
		return false, fmt.Errorf("ask KVM for TSC scaling: %w", errno)
	}
	return n > 0, nil
}
