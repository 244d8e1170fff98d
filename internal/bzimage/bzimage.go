// SPDX-License-Identifier: Apache-2.0

// Package bzimage tells Linux' compressed kernel images from other files.
//
// It does not know what is in them.
package bzimage

// Where the setup header has what tells it (Documentation/arch/x86/boot.rst, "The
// Real-Mode Kernel Header").
const (
	bootFlagAt = 0x1fe // 0xaa55, little endian
	magicAt    = 0x202 // "HdrS"
)

// HeadSize is how many bytes of a file [Is] needs.
const HeadSize = magicAt + 4

// Is tells whether a file that begins so is a bzImage or zImage.
func Is(head []byte) bool {
	return len(head) >= HeadSize && head[bootFlagAt] == 0x55 && head[bootFlagAt+1] == 0xaa && string(head[magicAt:HeadSize]) == "HdrS"
}
