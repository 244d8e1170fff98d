// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"slices"
	"time"
)

// Phases are the spans of a boot. A nil phase is missing, because one of its two
// events is (see [Timeline.Missing]), or the guest has none.
//
// A container's begin with create_sent: VMM ends with vmm_exec, with which Guest
// begins.
//
// VMM, Firmware and Guest follow one another and add up to Total. BIOS and
// OptionROM add up to Firmware; Setup, Decompress and Kernel to Guest. Each sum
// holds to the nanosecond where its parts are there.
type Phases struct {
	VMM      *time.Duration // vmm_exec to guest_entry
	Firmware *time.Duration // guest_entry to firmware_end; nil where there is no firmware
	Guest    *time.Duration // firmware_end (without firmware: guest_entry) to ready
	Total    *time.Duration // vmm_exec to ready

	// Parts of Firmware, where it starts an option ROM that loads the image.
	BIOS      *time.Duration // guest_entry to option_rom: the firmware's own
	OptionROM *time.Duration // option_rom to firmware_end

	// Parts of Guest, where the image is a Linux kernel.
	Setup      *time.Duration // to decompress: a bzImage's real-mode code; nil also if it was not seen apart
	Decompress *time.Duration // decompress to kernel: of a bzImage
	Kernel     *time.Duration // kernel to ready; without a decompressor, all of Guest
}

// containerPhases splits the start of a container: the VMM's part is what the engine
// and the runtime take until the app's own exec.
func (t Timeline) containerPhases() Phases {
	return Phases{
		VMM:   t.span(EventCreateSent, EventVMMExec),
		Guest: t.span(EventVMMExec, t.ReadyEvent),
		Total: t.span(EventCreateSent, t.ReadyEvent),
	}
}

// Phases splits the boot.
func (t Timeline) Phases() Phases {
	if _, ok := t.At(EventCreateSent); ok {
		return t.containerPhases()
	}
	start := EventFirmwareEnd
	if t.NoFirmware {
		start = EventGuestEntry
	}
	p := Phases{
		VMM:   t.span(EventVMMExec, EventGuestEntry),
		Guest: t.span(start, t.ReadyEvent),
		Total: t.span(EventVMMExec, t.ReadyEvent),
	}
	if !t.NoFirmware {
		p.Firmware = t.span(EventGuestEntry, EventFirmwareEnd)
		p.BIOS = t.span(EventGuestEntry, EventOptionROM)
		p.OptionROM = t.span(EventOptionROM, EventFirmwareEnd)
	}
	if !t.decompresses() {
		if _, ok := t.At(EventKernel); ok {
			p.Kernel = p.Guest
		}
		return p
	}
	p.Setup = t.span(start, EventDecompress)
	if p.Setup != nil && *p.Setup == 0 {
		p.Setup = nil // the decompressor was the first of the image to be seen
	}
	p.Decompress = t.span(EventDecompress, EventKernel)
	p.Kernel = t.span(EventKernel, t.ReadyEvent)
	return p
}

// decompresses reports whether the image has a decompressor, seen or not.
func (t Timeline) decompresses() bool {
	_, seen := t.At(EventDecompress)
	return seen || slices.ContainsFunc(t.Missing, func(m Missing) bool { return m.Name == EventDecompress })
}

// span is the time from one event to another, nil if either is missing.
func (t Timeline) span(from, to string) *time.Duration {
	a, ok1 := t.At(from)
	b, ok2 := t.At(to)
	if !ok1 || !ok2 {
		return nil
	}
	d := time.Duration(b.NS - a.NS)
	return &d
}
