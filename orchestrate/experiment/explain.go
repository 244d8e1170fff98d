// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
)

// builtInAddresses are those that images have when they do not take the one they are
// given: what a guest that is silent may be at.
var builtInAddresses = []netip.Addr{
	netip.AddrFrom4([4]byte{10, 0, 2, 15}),     // QEMU's user network
	netip.AddrFrom4([4]byte{10, 0, 0, 2}),      // MirageOS, and Solo5's tests
	netip.AddrFrom4([4]byte{10, 0, 5, 2}),      // HermitCore
	netip.AddrFrom4([4]byte{10, 0, 5, 3}),      // Hermit
	netip.AddrFrom4([4]byte{172, 44, 0, 2}),    // Unikraft's guides
	netip.AddrFrom4([4]byte{192, 168, 100, 2}), // Lupine's root file systems
	netip.AddrFrom4([4]byte{192, 168, 122, 2}), // libvirt's network
}

// explain adds to the verdict what the network knows of it, before the guest is ended.
func (b *Boot) explain(s *Sample, w wire, gst *guest) {
	if w.ear == nil {
		return
	}
	switch s.Status {
	case OK:
		if h := w.ear.Heard(); !h.Own && len(h.Other) > 0 {
			s.Taints = append(s.Taints, elsewhere(h, w.guest))
		}
	case Timeout:
		s.Reason += b.noAnswer(w)
	case Failed:
		s.Reason += tapHeld(gst.stderr.String(), w.guest, b.Lab)
	}
}

// noAnswer says why a guest may not have answered: it is somewhere else, or waits for
// somebody to tell it where it is.
func (b *Boot) noAnswer(w wire) string {
	h := w.ear.Heard()
	if !h.Own && len(h.Other) == 0 && b.Image.Service != nil && w.ear.Seek(builtInAddresses) == nil {
		h = w.ear.Heard()
	}
	asks := b.Settings.Address == matrix.AddressDHCP
	switch {
	case h.Own:
		return ""
	case len(h.Other) > 0:
		return "; " + elsewhere(h, w.guest)
	case h.Asked && !asks:
		return fmt.Sprintf("; the guest asks for an address by DHCP, was given %s: it does not take it, or its cell wants address: dhcp", w.guest.IP)
	case asks && !h.Asked:
		return "; the guest has not asked for its address by DHCP"
	}
	return ""
}

func elsewhere(h network.Heard, g network.Guest) string {
	var names []string
	for _, ip := range h.Other {
		names = append(names, ip.String())
	}
	return fmt.Sprintf("the guest uses %s, was given %s", strings.Join(names, ", "), g.IP)
}

// tapHeld names who has the guest's tap, if the VMM says that it is busy.
func tapHeld(stderr string, g network.Guest, lab *network.Lab) string {
	if !strings.Contains(stderr, "busy") {
		return ""
	}
	who := lab.Holders(g)
	if len(who) == 0 {
		return ""
	}
	return fmt.Sprintf("; tap %s is held by %s", g.Name, strings.Join(who, ", "))
}
