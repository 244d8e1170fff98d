// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// TestFirmwareAndOptionROM boots the reference guest by SeaBIOS and its option ROM,
// and by qboot, which has none. Where KVM only emulates, the tracepoint is the rung
// that tells the two apart.
func TestFirmwareAndOptionROM(t *testing.T) {
	needKVM(t)
	attach := "tracepoint"
	if inside() {
		attach = "auto"
	}
	m := matrix(t, "system: reference, app: hello, platform: [qemu, qemumicrovm], accel: kvm")
	f := newRun(t, "--matrix", m, "--samples", "1", "--attach", attach).run().want(0).file()
	firmware := map[string]string{"qemu": "seabios", "qemumicrovm": "qboot"}
	for _, cell := range f.Cells {
		t.Run(cell.Platform, func(t *testing.T) {
			if cell.Firmware != firmware[cell.Platform] || len(cell.Samples) != 1 {
				t.Fatalf("firmware %q, %d samples", cell.Firmware, len(cell.Samples))
			}
			s := cell.Samples[0]
			checkOK(t, f, s)
			p := s.Phases
			if p.FirmwareNs == nil || p.SetupNs != nil || p.DecompressNs != nil || p.KernelNs != nil {
				t.Errorf("phases of a unikernel: %+v", p)
			}
			if cell.Platform == "qemu" && inside() && !modulesHaveTypes() {
				if why := missing(s, results.EventOptionROM); !strings.Contains(why, "code segment") {
					t.Errorf("option_rom is missing because %q: want the code segment named", why)
				}
				return
			}
			if cell.Platform == "qemu" {
				checkOrder(t, s, results.EventGuestEntry, results.EventOptionROM, results.EventFirmwareEnd)
				// SeaBIOS probes hardware; its ROM only copies the image.
				if p.BIOSNs == nil || p.OptionROMNs == nil || *p.BIOSNs <= *p.OptionROMNs {
					t.Errorf("SeaBIOS takes longer than the ROM: %+v", p)
				}
				return
			}
			for _, name := range []string{results.EventOptionROM, results.EventDecompress, results.EventKernel} {
				if _, there := at(s, name); there || slices.ContainsFunc(s.Missing, func(m results.Missing) bool { return m.Name == name }) {
					t.Errorf("%s is neither there nor missing: the guest has none", name)
				}
			}
			if p.BIOSNs != nil || p.OptionROMNs != nil {
				t.Errorf("qboot has no option ROM: %+v", p)
			}
		})
	}
}
