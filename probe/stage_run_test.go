// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/bpf"
)

// emulated is a record of the tracepoint kvm_emulate_insn, with room to spare.
func emulated(csBase, ip uint64) []byte {
	r := make([]byte, 40)
	binary.NativeEndian.PutUint64(r[8:], ip)
	binary.NativeEndian.PutUint32(r[16:], uint32(csBase))
	return r
}

// ownTarget is this test's own cgroup. It is not said to be under KVM, or the hook
// of emulated instructions would be attached and see the guests of whoever else
// works in this cgroup.
func ownTarget(t *testing.T) Target { return Target{CgroupID: ownCgroup(t)} }

// TestStages runs the tracepoint of emulated instructions through the boot of a
// bzImage, in real mode and after: each stage is marked at its first instruction,
// all but the option ROM's end the firmware, and nothing after the last one counts.
func TestStages(t *testing.T) {
	b := newBench(t, 1, SVM)
	b.pretend(HookInsn, Tracepoint)
	target := ownTarget(t)
	target.Image = []Segment{
		{Lo: 0x10200, Hi: 0x15000}, {Lo: 0x100000, Hi: 0x900000, Stage: StageDecompress},
		{Lo: 0xffffffff80000000, Hi: 0xffffffffc0000000, Stage: StageKernel}, {Lo: 0xc0020, Hi: 0xc0800, Stage: StageOptionROM},
	}
	w := b.open(target)
	var want []string
	for _, step := range []struct {
		csBase, ip uint64
		events     []string // that it makes
	}{
		{0xffff0000, 0xfff0, []string{EventGuestEntry}}, // the reset vector
		{0, 0xdb02d, nil},    // SeaBIOS, where ROMs go later
		{0xc0000, 3, nil},    // the ROM's function for its setting up
		{0xc0800, 0x24, nil}, // another ROM
		{0, 0x20, nil},       // an offset alone is no address in the ROM
		{0xc0000, 0x54, []string{EventOptionROM}},
		{0xf0000, 0x1234, nil}, // the ROM calls the BIOS
		{0xc0000, 0x60, nil},
		{0x10200, 0, []string{EventFirmwareEnd}},
		{0x10000, 0x300, nil},
		{0, 0x100000, []string{EventDecompress}},
		{0, 0x3f00000, nil}, // the decompressor, at the end of its buffer
		{0, 0x1000000, nil}, // the kernel, before it is mapped
		{0, 0xffffffff81000123, []string{EventKernel}},
		{0, 0x100000, nil},
	} {
		b.fireRecord("tracepoint_insn", emulated(step.csBase, step.ip))
		want = append(want, step.events...)
		var got []string
		for _, e := range w.Events().Events {
			got = append(got, e.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("after 0x%x:0x%x (-want +got):\n%s", step.csBase, step.ip, diff)
		}
	}
	if s := slotOf(t, w); s.Wanted != 0 {
		t.Error("the kernel runs, and instruction pointers are still looked for")
	}
}

// TestStagesAtOnce: a stage that comes unexpected ends the firmware by itself.
func TestStagesAtOnce(t *testing.T) {
	for _, stage := range []Stage{StageDecompress, StageKernel} {
		b := newBench(t, 1, SVM)
		b.pretend(HookInsn, Tracepoint)
		target := ownTarget(t)
		target.Image = []Segment{{Lo: 0x1000, Hi: 0x2000, Stage: stage}}
		w := b.open(target)
		b.fireRecord("tracepoint_insn", emulated(0, 0x1fff))
		tl := w.Events()
		end, ok1 := tl.At(EventFirmwareEnd)
		own, ok2 := tl.At(markNames[stageMarks[stage]])
		if !ok1 || !ok2 || end.NS != own.NS {
			t.Errorf("stage %d: %+v", stage, tl.Events)
		}
	}
}

// TestOptionROMNeedsTheBase: seen by a rung that does not tell the code segment's
// base, a mark in the option ROM is not to be trusted.
func TestOptionROMNeedsTheBase(t *testing.T) {
	for rung, want := range map[Rung]bool{Tracepoint: true, TPBTF: false, RawTP: false} {
		b := newBench(t, 1, SVM)
		b.pretend(HookInsn, rung)
		target := ownTarget(t)
		target.Image = []Segment{{Lo: 0xc0020, Hi: 0xc0800, Stage: StageOptionROM}, {Lo: 0x100000, Hi: 0x101000}}
		w := b.open(target)
		b.fireRecord("tracepoint_insn", emulated(0, 0xc0100))
		if slotOf(t, w).Marks[bpf.KVMMarkKindMARK_OPTION_ROM].Ns == 0 {
			t.Fatal("the mark itself is missing")
		}
		if _, got := w.Events().At(EventOptionROM); got != want {
			t.Errorf("by %s: there is %v", rung, got)
		}
	}
}

func TestLastStage(t *testing.T) {
	segs := func(stages ...Stage) (t Target) {
		for i, s := range stages {
			t.Image = append(t.Image, Segment{Lo: uint64(i), Hi: uint64(i) + 1, Stage: s})
		}
		return t
	}
	for _, tt := range []struct {
		target Target
		last   Stage
	}{
		{segs(StageImage, StageImage), StageImage},
		{segs(StageImage, StageOptionROM), StageImage},
		{segs(StageKernel, StageImage, StageDecompress, StageOptionROM), StageKernel},
		{segs(StageImage, StageDecompress), StageDecompress},
		{segs(StageKernel), StageKernel},
	} {
		for _, s := range tt.target.Image {
			if got := tt.target.last(s.Stage); got != (s.Stage == tt.last) {
				t.Errorf("%+v: stage %d is the last: %v", tt.target.Image, s.Stage, got)
			}
		}
	}
}
