// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestFlowsOnAWire: real stacks at both ends of a veth, real programs on its outer
// end. Each side asks the other everything; what the probe says is exactly as
// often as was asked, and never longer than the client's own measure.
func TestFlowsOnAWire(t *testing.T) {
	outside, inside, ifindex := veth(t)
	w := outside.watchOn(ifindex)
	const wait, conns, exchanges, pings, queries = 5 * time.Millisecond, 4, 3, 10, 11
	for _, tt := range []struct {
		asks, answers *netNS
		to            station
		side          string
	}{{outside, inside, guest, "guest"}, {inside, outside, client, "outside"}} {
		seen := own{}
		for _, ip := range []netip.Addr{tt.to.ip, tt.to.v6} {
			var l net.Listener
			var dns net.PacketConn
			tt.answers.do(func() (err error) {
				if l, err = net.Listen("tcp", netip.AddrPortFrom(ip, 80).String()); err != nil {
					return err
				}
				dns, err = net.ListenPacket("udp", netip.AddrPortFrom(ip, 53).String())
				return err
			})
			defer l.Close()
			defer dns.Close()
			go serve(l, wait)
			go serveDNS(dns, wait)
			tt.asks.do(func() error {
				for range conns {
					if err := seen.exchange(l.Addr().String(), exchanges); err != nil {
						return err
					}
				}
				if err := seen.resolve(dns.LocalAddr().String(), queries); err != nil {
					return err
				}
				return seen.ping(ip.Is6(), ip.AsSlice(), pings)
			})
		}
		seen.check(t, networkOf(t, w), tt.side, map[string]time.Duration{"tcp_first": wait, "tcp_next": wait, "dns": wait})
	}
	n := swept(t, w)
	if n.Responses[byGuest("ndp")] == 0 {
		t.Errorf("no neighbour solicitation was answered: %+v", n)
	}
	want := map[Exchange]uint64{byGuest("dns"): 4, byOutside("dns"): 4} // two of each family
	if diff := cmp.Diff(want, n.Unanswered, cmpopts.EquateEmpty()); diff != "" || n.Lost != 0 || n.Untracked != 0 {
		t.Errorf("%+v; unanswered (-want +got):\n%s", n, diff)
	}
}
