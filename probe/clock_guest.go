// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"math/bits"
	"time"
)

// Bounds of what the kernel side keeps of a guest's TSC, as in bpf/clock.bpf.c.
const (
	tscVCPUs   = 16
	tscChanges = 8
)

// GuestTSC converts what a guest read from its time-stamp counter to the host's
// CLOCK_MONOTONIC:
//
//	guest = (host · ratio >> fraction) + offset
//
// as KVM programs the CPU (arch/x86/kvm/x86.c, kvm_scale_tsc and
// kvm_vcpu_write_tsc_offset). It knows what held when it was taken; it is not for
// concurrent use.
type GuestTSC struct {
	vcpus []vcpuTSC // by id
	ratio func(raw uint64) (tscRatio, error)
	host  *HostClock
	// bare, if not nil, is tried where no offset fits: this host's KVM has no
	// hardware behind it, and such a one (KVM_PVM of Linux 6.18, measured) takes
	// offsets and then lets the guest read the host's own TSC.
	bare *uint64
}

// vcpuTSC is what is known of one vCPU.
type vcpuTSC struct {
	changes []tscChange // in order; the last ones
	more    bool        // there were earlier ones that are forgotten
	ratio   uint64      // as in the kernel; 0: not seen
}

// tscChange is an offset and the time from which it held.
type tscChange struct {
	ns     int64
	offset uint64 // modulo 2^64
}

// tscRatio is a fixed-point number and why it is believed.
type tscRatio struct {
	value    uint64
	fraction uint // bits after the point
	source   string
}

// unscaled is the ratio one.
func unscaled(why string) tscRatio { return tscRatio{value: 1, source: why} }

// fractions are the bits after the point of KVM's ratio: the CPU's own formats
// (AMD APM vol. 2, MSR C0000104 TSC Ratio; Intel SDM vol. 3, TSC multiplier).
var fractions = map[ISA]uint{SVM: 32, VMX: 48}

// readRatio interprets a vCPU's ratio. KVM without hardware scaling has the value
// one without a fraction.
func readRatio(isa ISA, raw uint64) (tscRatio, error) {
	const source = "read from the vCPU"
	fraction, known := fractions[isa]
	switch {
	case raw == 0:
		return tscRatio{}, errors.New("the TSC's scaling of this vCPU has not been seen")
	case raw == 1:
		return unscaled(source), nil
	case !known:
		return tscRatio{}, fmt.Errorf("TSC scaling ratio 0x%x: the fixed point of a KVM that is neither VMX nor SVM is not known", raw)
	}
	return tscRatio{value: raw, fraction: fraction, source: source}, nil
}

// hostTicks undoes scaling and offset: the host's counter at which the guest read
// tsc, and how many ticks that can be off because the ratio drops fractions.
func (r tscRatio) hostTicks(tsc, offset uint64) (ticks, err uint64, ok bool) {
	scaled := tsc - offset
	if r.fraction == 0 {
		return scaled, 0, r.value == 1
	}
	// (host · value) >> fraction = scaled: the smallest such host.
	hi, lo := scaled>>(64-r.fraction), scaled<<r.fraction
	if r.value == 0 || hi >= r.value {
		return 0, 0, false
	}
	q, rest := bits.Div64(hi, lo, r.value)
	if rest > 0 {
		q++
	}
	return q, (uint64(1)<<r.fraction)/r.value + 1, true
}

// Host converts a reading of the guest's TSC by one vCPU to CLOCK_MONOTONIC.
// errNS bounds the error of the conversion.
//
// A guest that wrote its TSC, or whose VMM did, has had several offsets: the one
// is taken under which the reading falls into the time in which it held. It is
// an error if none or more than one does.
func (g *GuestTSC) Host(tsc uint64, vcpu int) (ns, errNS int64, err error) {
	if vcpu < 0 || vcpu >= len(g.vcpus) {
		return 0, 0, fmt.Errorf("guest TSC of vCPU %d: only vCPUs 0 to %d are kept", vcpu, len(g.vcpus)-1)
	}
	v := g.vcpus[vcpu]
	if len(v.changes) == 0 && g.bare == nil {
		return 0, 0, fmt.Errorf("guest TSC of vCPU %d: no TSC offset was seen: KVM wrote none since the watch began (%s)", vcpu, HookTSC)
	}
	ratio, err := g.ratio(v.ratio)
	if err != nil {
		return 0, 0, fmt.Errorf("guest TSC of vCPU %d: %w", vcpu, err)
	}
	var found []hostTime
	var why error
	for i, c := range v.changes {
		h, err := g.under(ratio, tsc, c.offset)
		if err != nil {
			why = err
			continue
		}
		if h.ns < c.ns-h.errNS || i+1 < len(v.changes) && h.ns > v.changes[i+1].ns+h.errNS {
			continue // that offset was not in force then
		}
		// Two offsets so alike that it does not matter are one.
		if n := len(found); n > 0 && abs(found[n-1].ns-h.ns) <= h.errNS {
			found[n-1].errNS = h.errNS + abs(found[n-1].ns-h.ns)
			continue
		}
		found = append(found, h)
	}
	if len(found) == 0 && g.bare != nil {
		if h, err := g.under(unscaled(""), tsc, *g.bare); err == nil {
			found = append(found, h)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].ns, found[0].errNS, nil
	case len(found) > 1:
		return 0, 0, fmt.Errorf("guest TSC %d of vCPU %d: the guest's TSC was set back; it had this value at %d moments", tsc, vcpu, len(found))
	case v.more:
		return 0, 0, fmt.Errorf("guest TSC %d of vCPU %d: it was read under an offset that is forgotten: only the last %d of them are kept", tsc, vcpu, tscChanges)
	case why != nil:
		return 0, 0, fmt.Errorf("guest TSC %d of vCPU %d: %w", tsc, vcpu, why)
	}
	return 0, 0, fmt.Errorf("guest TSC %d of vCPU %d: the guest's TSC never had this value", tsc, vcpu)
}

// hostTime is a moment of the host with its error.
type hostTime struct{ ns, errNS int64 }

func (g *GuestTSC) under(ratio tscRatio, tsc, offset uint64) (hostTime, error) {
	ticks, slack, ok := ratio.hostTicks(tsc, offset)
	if !ok {
		return hostTime{}, fmt.Errorf("it is beyond what offset 0x%x and ratio 0x%x can give", offset, ratio.value)
	}
	ns, errNS, err := g.host.At(ticks)
	if err != nil {
		return hostTime{}, err
	}
	pairs := g.host.pairs
	return hostTime{ns, errNS + toNS(slack, pairs[0], pairs[len(pairs)-1])}, nil
}

// Bare says that a reading is none under any offset that KVM wrote and is one of
// the host's own TSC: this KVM does not offset it.
func (g *GuestTSC) Bare(tsc uint64, vcpu int) bool {
	if g.bare == nil {
		return false
	}
	offset := *g
	offset.bare = nil
	_, _, err := offset.Host(tsc, vcpu)
	_, _, bareErr := g.Host(tsc, vcpu)
	return err != nil && bareErr == nil
}

// Changes is how many offsets a vCPU has had, of those that are kept.
func (g *GuestTSC) Changes(vcpu int) int {
	if vcpu < 0 || vcpu >= len(g.vcpus) {
		return 0
	}
	return len(g.vcpus[vcpu].changes)
}

// Ratio says how the guest's TSC of a vCPU is scaled and how that is known, for
// people.
func (g *GuestTSC) Ratio(vcpu int) (string, error) {
	if vcpu < 0 || vcpu >= len(g.vcpus) {
		return "", fmt.Errorf("guest TSC of vCPU %d: only vCPUs 0 to %d are kept", vcpu, len(g.vcpus)-1)
	}
	r, err := g.ratio(g.vcpus[vcpu].ratio)
	if err != nil {
		return "", err
	}
	scale := float64(r.value) / float64(uint64(1)<<r.fraction)
	return fmt.Sprintf("%g (%s)", scale, r.source), nil
}

// Shifted maps everything to a moment that is later by d than the right one, or
// earlier if d is negative: a mapping that is wrong by a known amount, to show that
// a verdict notices.
func (g *GuestTSC) Shifted(d time.Duration) *GuestTSC {
	out := *g
	pairs := g.host.pairs
	if len(pairs) < 2 {
		return &out // which maps nothing at all
	}
	first, last := pairs[0], pairs[len(pairs)-1]
	// guest = host + offset: a smaller offset is a later host.
	ticks := -int64(float64(d) * float64(last.tsc-first.tsc) / float64(last.ns-first.ns))
	if g.bare != nil {
		bare := *g.bare + uint64(ticks)
		out.bare = &bare
	}
	out.vcpus = make([]vcpuTSC, len(g.vcpus))
	for i, v := range g.vcpus {
		out.vcpus[i] = v
		out.vcpus[i].changes = make([]tscChange, len(v.changes))
		for j, c := range v.changes {
			c.offset += uint64(ticks)
			out.vcpus[i].changes[j] = c
		}
	}
	return &out
}
