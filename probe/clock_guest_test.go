// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"

	"github.com/ukprobe/ukprobe/bpf"
)

// gigahertz is a host clock of which a tick of the TSC is a nanosecond, offset by
// 1e12, known from 0 to a second.
func gigahertz() *HostClock {
	c := &HostClock{source: "tsc"}
	for i := range int64(11) {
		c.add(clockPair{tsc: uint64(1e12 + i*1e8), half: 10, ns: i*1e8 + 1})
	}
	return c
}

func ratioOne(uint64) (tscRatio, error) { return unscaled("a test's"), nil }

// offsetAt makes the offset under which the guest's TSC is guest at a host time.
func offsetAt(ns int64, guest uint64) uint64 { return guest - uint64(1e12+ns) }

func TestGuestTSCHost(t *testing.T) {
	rewritten := vcpuTSC{changes: []tscChange{
		{ns: 1e8, offset: offsetAt(1e8, 0)},          // the guest starts
		{ns: 5e8, offset: offsetAt(5e8, 9e9)},        // and sets its TSC ahead
		{ns: 5e8 + 10, offset: offsetAt(5e8, 9e9+5)}, // twice, to nearly the same
	}}
	back := vcpuTSC{changes: []tscChange{{ns: 1e8, offset: offsetAt(1e8, 0)}, {ns: 5e8, offset: offsetAt(5e8, 0)}}}
	skipped := vcpuTSC{changes: []tscChange{{ns: 1e8, offset: offsetAt(1e8, 0)}, {ns: 5e8, offset: offsetAt(5e8, 5e8)}}}
	forgotten := vcpuTSC{more: true, changes: rewritten.changes[1:]}
	tests := []struct {
		name string
		v    vcpuTSC
		tsc  uint64
		want int64
		err  string
	}{
		{"under the first offset", rewritten, 2e8, 3e8, ""},
		{"under the last", rewritten, 9e9 + 1e8, 6e8, ""},
		{"skipped when it was set ahead", skipped, 4.5e8, 0, "never had this value"},
		{"far from all", rewritten, 5e9, 0, "before the first pair"},
		{"twice", back, 2e8, 0, "it had this value at 2 moments"},
		{"once although set back", back, 4.5e8, 9.5e8, ""},
		{"forgotten", forgotten, 2e8, 0, "only the last 8 of them are kept"},
		{"after the last pair", rewritten, 9e9 + 6e8, 0, "after the last pair"},
		{"no offset", vcpuTSC{}, 2e8, 0, "no TSC offset was seen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := &GuestTSC{vcpus: []vcpuTSC{tt.v}, ratio: ratioOne, host: gigahertz()}
			ns, errNS, err := g.Host(tt.tsc, 0)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%d, %v: want an error with %q", ns, err, tt.err)
				}
				return
			}
			if err != nil || abs(ns-tt.want) > errNS || errNS > 200 {
				t.Errorf("%d ± %d, %v: want %d", ns, errNS, err, tt.want)
			}
		})
	}
	g := &GuestTSC{vcpus: []vcpuTSC{back}, ratio: ratioOne, host: gigahertz()}
	for _, vcpu := range []int{-1, 1} {
		if _, _, err := g.Host(2e8, vcpu); err == nil {
			t.Errorf("vCPU %d, of which nothing is kept, is mapped", vcpu)
		}
	}
}

// TestGuestTSCBare: where KVM may not apply offsets, a reading that is none under
// any of them is tried as the host's own.
func TestGuestTSCBare(t *testing.T) {
	v := vcpuTSC{changes: []tscChange{{ns: 1e8, offset: offsetAt(1e8, 0)}}}
	g := &GuestTSC{vcpus: []vcpuTSC{v}, ratio: ratioOne, host: gigahertz(), bare: new(uint64)}
	ns, errNS, err := g.Host(1e12+3e8, 0)
	if err != nil || abs(ns-3e8) > errNS || !g.Bare(1e12+3e8, 0) {
		t.Errorf("%d ± %d, %v: want 3e8, from the host's own TSC", ns, errNS, err)
	}
	if ns, _, err := g.Host(2e8, 0); err != nil || abs(ns-3e8) > 200 || g.Bare(2e8, 0) {
		t.Errorf("%d, %v: a reading under an offset stays that", ns, err)
	}
	for _, tsc := range []uint64{1e12 + 3e8, 2e8} {
		right, _, _ := g.Host(tsc, 0)
		late, _, err := g.Shifted(time.Millisecond).Host(tsc, 0)
		if err != nil || abs(late-right-1e6) > 200 {
			t.Errorf("shifted by 1 ms, %d moves by %d ns, %v", tsc, late-right, err)
		}
	}
}

func TestReadRatio(t *testing.T) {
	tests := []struct {
		isa  ISA
		raw  uint64
		want float64 // 0: an error
	}{
		{SVM, 1 << 32, 1}, {SVM, 3 << 31, 1.5}, {VMX, 1 << 48, 1}, {VMX, 1 << 47, 0.5},
		{SVM, 1, 1}, {"", 1, 1}, {"", 1 << 32, 0}, {SVM, 0, 0},
	}
	for _, tt := range tests {
		r, err := readRatio(tt.isa, tt.raw)
		if (err != nil) != (tt.want == 0) {
			t.Errorf("%s 0x%x: %v", tt.isa, tt.raw, err)
		} else if err == nil && float64(r.value)/float64(uint64(1)<<r.fraction) != tt.want {
			t.Errorf("%s 0x%x: %+v, want %g", tt.isa, tt.raw, r, tt.want)
		}
	}
}

// FuzzHostTicks: what KVM computes from a host's TSC is undone to within the slack.
func FuzzHostTicks(f *testing.F) {
	f.Add(uint64(1e15), uint64(1)<<32, uint64(5), true)
	f.Add(uint64(1)<<62, uint64(3)<<47, ^uint64(0), false)
	f.Add(uint64(12345678901234), uint64(1)<<31, uint64(1)<<63, true)
	f.Fuzz(func(t *testing.T, host, value, offset uint64, svm bool) {
		r := tscRatio{value: value, fraction: 48}
		if svm {
			r.fraction = 32
		}
		// kvm_scale_tsc: mul_u64_u64_shr, of which KVM keeps the low 64 bits.
		hi, lo := bits.Mul64(host, value)
		if value == 0 || hi>>r.fraction != 0 {
			return // beyond what a TSC of 64 bits can be
		}
		scaled := hi<<(64-r.fraction) | lo>>r.fraction
		ticks, slack, ok := r.hostTicks(scaled+offset, offset)
		if !ok || ticks > host || host-ticks > slack {
			t.Errorf("host %d · 0x%x >> %d: undone to %d + at most %d (%v)", host, value, r.fraction, ticks, slack, ok)
		}
	})
}

// clockBench is a watch whose clock is watched, on programs that a test runs.
func clockBench(t *testing.T) (*bench, *Watch) {
	t.Helper()
	b := newBench(t, 2, SVM)
	b.pretend(HookTSC, RawTP)
	w := b.open(kvmTarget(t))
	if err := w.clearClock(); err != nil {
		t.Fatal(err)
	}
	return b, w
}

func tscStateOf(t *testing.T, w *Watch, vcpu int) bpf.ClockTscState {
	t.Helper()
	s, err := w.tscState(vcpu)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTSCOffsetProgram(t *testing.T) {
	b, w := clockBench(t)
	before := now()
	b.fire("raw_tp_tsc_offset", 0, 7, 100)
	record := make([]byte, 32)
	binary.NativeEndian.PutUint32(record[8:], 3)
	binary.NativeEndian.PutUint64(record[24:], 200)
	b.fireRecord("tracepoint_tsc_offset", record)
	b.fire("raw_tp_tsc_offset", tscVCPUs, 0, 300) // beyond the table
	v := readTSC(tscStateOf(t, w, 0))
	if len(v.changes) != 1 || v.changes[0].offset != 100 || v.changes[0].ns < before || v.changes[0].ns > now() || v.more {
		t.Errorf("vCPU 0: %+v, want offset 100 since just now", v)
	}
	if v := readTSC(tscStateOf(t, w, 3)); len(v.changes) != 1 || v.changes[0].offset != 200 {
		t.Errorf("vCPU 3: %+v, want offset 200", v)
	}
	for vcpu := range tscVCPUs {
		if n := tscStateOf(t, w, vcpu).Changes; vcpu != 0 && vcpu != 3 && n != 0 {
			t.Errorf("vCPU %d has %d changes", vcpu, n)
		}
	}
}

// TestTSCOffsetsAreForgotten: the last ones are kept, and that there were more.
func TestTSCOffsetsAreForgotten(t *testing.T) {
	b, w := clockBench(t)
	const n = tscChanges + 3
	for i := range uint64(n) {
		b.fire("raw_tp_tsc_offset", 1, 0, i)
	}
	v := readTSC(tscStateOf(t, w, 1))
	if len(v.changes) != tscChanges || !v.more {
		t.Fatalf("%d changes, more %v: want %d and more", len(v.changes), v.more, tscChanges)
	}
	for i, c := range v.changes {
		if c.offset != uint64(i+n-tscChanges) || i > 0 && c.ns < v.changes[i-1].ns {
			t.Errorf("change %d: %+v", i, c)
		}
	}
	if err := w.clearClock(); err != nil {
		t.Fatal(err)
	}
	if n := tscStateOf(t, w, 1).Changes; n != 0 {
		t.Errorf("%d changes of the last tenant", n)
	}
}

func hasMember(l *loader, typ, member string) bool {
	for _, spec := range l.types() {
		var s *btf.Struct
		if spec.TypeByName(typ, &s) == nil && slices.ContainsFunc(s.Members, func(m btf.Member) bool { return m.Name == member }) {
			return true
		}
	}
	return false
}

// TestTSCRatioProgram reads the ratio from a vCPU made by hand, laid out by the
// running kernel's BTF.
func TestTSCRatioProgram(t *testing.T) {
	b, w := clockBench(t)
	toID := memberOffset(t, b.loader, "kvm_vcpu", "vcpu_id")
	name := "l1_tsc_scaling_ratio"
	if !hasMember(b.loader, "kvm_vcpu_arch", name) { // before Linux 5.14
		name = "tsc_scaling_ratio"
	}
	toRatio := memberOffset(t, b.loader, "kvm_vcpu", "arch", name)
	vcpu := newKernelBuffer(t, int(max(toRatio, toID)+8))
	image := make([]byte, vcpu.size)
	binary.NativeEndian.PutUint32(image[toID:], 2)
	binary.NativeEndian.PutUint64(image[toRatio:], 3<<31)
	vcpu.Set(image)
	b.fire("raw_tp_tsc_ratio", vcpu.Addr)
	if s := tscStateOf(t, w, 2); s.Ratio != 3<<31 || s.RatioNs == 0 {
		t.Errorf("%+v: want the ratio 0x%x", s, uint64(3<<31))
	}
}

// TestBootTimerByMMIO: the value 123, one byte, to one of its two addresses, once,
// and only if asked for.
func TestBootTimerByMMIO(t *testing.T) {
	b := newBench(t, 1, SVM)
	b.pretend(HookMMIO, RawTP)
	data := newKernelBuffer(t, 8)
	mmio := func(kind, length, gpa uint64, value byte) {
		data.Set([]byte{value})
		b.fire("raw_tp_mmio", kind, length, gpa, data.Addr)
	}
	record := make([]byte, 32) // of the classic tracepoint
	const write, read = 2, 1
	binary.NativeEndian.PutUint32(record[8:], write)
	binary.NativeEndian.PutUint32(record[12:], 1)
	binary.NativeEndian.PutUint64(record[16:], 0xd0000000)
	binary.NativeEndian.PutUint64(record[24:], 123)
	for name, fire := range map[string]func(){
		"0xd0000000": func() { mmio(write, 1, 0xd0000000, 123) },
		"0xc0000000": func() { mmio(write, 1, 0xc0000000, 123) },
		"tracepoint": func() { b.fireRecord("tracepoint_mmio", record) },
	} {
		for _, asked := range []bool{false, true} {
			target := kvmTarget(t)
			target.BootTimer = asked
			w := b.open(target)
			mmio(write, 1, 0xd0000000, 122)
			mmio(write, 4, 0xd0000000, 123)
			mmio(read, 1, 0xd0000000, 123)
			mmio(write, 1, 0xd0000001, 123)
			if e, ok := w.Timeline().At(EventBootTimer); ok {
				t.Fatalf("%s: %+v is no boot timer", name, e)
			}
			before := now()
			fire()
			first, ok := w.Timeline().At(EventBootTimer)
			if ok != asked || ok && (first.NS < before || first.NS > now() || first.Hook != HookMMIO || first.Rung != RawTP) {
				t.Errorf("%s: %+v, seen %v, asked for %v", name, first, ok, asked)
			}
			fire()
			if again, _ := w.Timeline().At(EventBootTimer); again != first {
				t.Errorf("%s: %+v became %+v: only the first counts", name, first, again)
			}
			closeWatch(t, w)
		}
	}
}
