// SPDX-License-Identifier: Apache-2.0

package probe

import "github.com/ukprobe/ukprobe/bpf"

// Segment is a span of guest addresses, [Lo, Hi), and what runs there. Addresses
// are linear ones: in real mode the code segment's base is added.
type Segment struct {
	Lo, Hi uint64
	Stage  Stage
}

// Stage is what a guest that runs in a [Segment] has come to.
type Stage int

// The stages. All but the option ROM's end the firmware.
const (
	StageImage      Stage = iota // the image: firmware_end, the last to be looked for
	StageOptionROM               // an option ROM of the VMM's firmware
	StageDecompress              // a bzImage's own code
	StageKernel                  // the kernel proper, the last to be looked for
)

// stageMarks are the kernel side's marks for the stages.
var stageMarks = map[Stage]bpf.KVMMarkKind{
	StageImage: bpf.KVMMarkKindMARK_FIRMWARE_END, StageOptionROM: bpf.KVMMarkKindMARK_OPTION_ROM,
	StageDecompress: bpf.KVMMarkKindMARK_DECOMPRESS, StageKernel: bpf.KVMMarkKindMARK_KERNEL,
}

// last reports whether nothing that is looked for comes after a stage.
func (s Stage) last() bool { return s == StageImage || s == StageKernel }
