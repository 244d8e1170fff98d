// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// verdict is somebody else's program on a device, which always returns v.
func verdict(t *testing.T, v int32) *ebpf.Program {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, v), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prog.Close() })
	return prog
}

const tcActOK = 0

// TestBehindAProgramThatDecides: by tcx ours come first, so that they see the frames
// that somebody else's has decided about.
func TestBehindAProgramThatDecides(t *testing.T) {
	outside, _, ifindex := veth(t)
	decides := verdict(t, tcActOK)
	var refused error
	outside.do(func() error {
		for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: decides, Attach: at})
			if err != nil {
				refused = err
				return nil
			}
			t.Cleanup(func() { _ = l.Close() })
		}
		return nil
	})
	if refused != nil {
		t.Skipf("no tcx on this kernel: %v", refused)
	}
	w := outside.watchOn(ifindex)
	const pings = 5
	outside.do(func() error { return own{}.ping(false, guest.ip.AsSlice(), pings) })
	c := countsOf(t, w)
	if got := c.Network.Responses[byGuest("icmp_echo")].Count; got != pings {
		t.Errorf("%d pings were answered, %d seen; values %v", pings, got, c.Values)
	}
}
