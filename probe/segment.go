// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"slices"

	"github.com/ukprobe/ukprobe/bpf"
)

// Stage is what a guest runs while its instruction pointer is in a segment.
type Stage uint8

// The stages. All but the option ROM's end the firmware.
const (
	StageImage      Stage = iota // the image, of which no more is known: firmware_end
	StageOptionROM               // the ROM by which the VMM has the firmware load the image: option_rom
	StageDecompress              // a bzImage's decompressor: decompress
	StageKernel                  // the kernel proper: kernel
)

// stageMarks are the kernel side's marks for the stages.
var stageMarks = map[Stage]bpf.KVMMarkKind{
	StageImage: bpf.KVMMarkKindMARK_FIRMWARE_END, StageOptionROM: bpf.KVMMarkKindMARK_OPTION_ROM,
	StageDecompress: bpf.KVMMarkKindMARK_DECOMPRESS, StageKernel: bpf.KVMMarkKindMARK_KERNEL,
}

// stageOrder is the order in which a guest passes them.
var stageOrder = []Stage{StageOptionROM, StageImage, StageDecompress, StageKernel}

// Segment is a span of guest addresses, [Lo, Hi), in which the guest runs one
// stage. Addresses are linear: in real mode, the code segment's base and the
// instruction pointer.
type Segment struct {
	Lo, Hi uint64
	Stage  Stage
}

// hasStage reports whether the target has a segment of the stage.
func (t Target) hasStage(stage Stage) bool {
	return slices.ContainsFunc(t.Image, func(s Segment) bool { return s.Stage == stage })
}

// last reports whether nothing that is looked for comes after a stage. An option
// ROM is never the last: what it loads is not known then, but will come.
func (t Target) last(stage Stage) bool {
	later := stageOrder[slices.Index(stageOrder, stage)+1:]
	return stage != StageOptionROM && !slices.ContainsFunc(later, t.hasStage)
}

// Has reports whether a guest like this passes the event at all. What it does not
// have is neither seen nor missing.
func (t Target) Has(event string) bool {
	switch event {
	case EventOptionROM:
		return t.hasStage(StageOptionROM)
	case EventDecompress:
		return t.hasStage(StageDecompress)
	case EventKernel:
		return t.hasStage(StageKernel)
	case EventFirmwareEnd:
		return !t.NoFirmware
	case EventRuntimeExec, EventCreateSent, EventCreated, EventStartSent, EventContainerMade, EventStarted:
		return t.Container
	}
	return true
}

// linear reports whether a hook on this rung tells linear addresses. The others
// tell the instruction pointer alone, which is one only where the code segment
// begins at 0: not in real mode, in which option ROMs begin. VMX has the base only
// in the VMCS, which programs cannot read; the tracepoint kvm_exit does not record
// it; that of emulated instructions (kvm_emulate_insn) does.
func linear(hook string, rung Rung, isa ISA) bool {
	switch hook {
	case HookKVMExit:
		return isa == SVM && rung != Tracepoint
	case HookInsn:
		return rung == Tracepoint
	}
	return false
}
