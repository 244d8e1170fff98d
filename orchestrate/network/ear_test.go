// SPDX-License-Identifier: Apache-2.0

package network

import (
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// in runs a command at the far end of a wire.
func in(t *testing.T, v *Veth, name string, args ...string) {
	t.Helper()
	err := v.Do(func() error {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Logf("%s %v: %s", name, args, out)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
}

// up sets the far end of a wire up and waits for the bridge to forward from it, which
// it does some time after the carrier is there.
func up(t *testing.T, v *Veth) {
	t.Helper()
	in(t, v, "ip", "link", "set", "eth0", "up")
	for range 200 {
		links := ipJSON(t, v.lab.Do, "link", "show", v.Name)
		if len(links) == 1 && dig(links[0], "linkinfo", "info_slave_data", "state") == "forwarding" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not forward", v.Name)
}

// TestEar: a real Linux at the far end of a wire names its own address, another, asks
// by DHCP, or says nothing and is found.
func TestEar(t *testing.T) {
	another := netip.MustParseAddr("10.0.2.15")
	tests := []struct {
		name string
		does func(t *testing.T, v *Veth)
		seek bool
		want Heard
	}{
		{"is silent", func(*testing.T, *Veth) {}, false, Heard{}},
		{"has no address", func(t *testing.T, v *Veth) { up(t, v) }, true, Heard{}},
		{"names its own", func(t *testing.T, v *Veth) {
			in(t, v, "ip", "addr", "add", v.Prefix().String(), "dev", "eth0")
			up(t, v)
			_ = v.Do(func() error { _ = exec.Command("ping", "-c1", "-W1", "198.18.0.77").Run(); return nil })
			_ = v.Do(func() error {
				_, _ = net.DialTimeout("tcp4", "198.18.0.78:80", 300*time.Millisecond)
				return nil
			})
		}, false, Heard{Own: true}},
		{"names another", func(t *testing.T, v *Veth) {
			in(t, v, "ip", "addr", "add", "10.0.2.15/24", "dev", "eth0")
			up(t, v)
			_ = v.Do(func() error {
				_, _ = net.DialTimeout("tcp4", "10.0.2.2:80", 300*time.Millisecond)
				return nil
			})
		}, false, Heard{Other: []netip.Addr{another}}},
		{"is at another, silently", func(t *testing.T, v *Veth) {
			in(t, v, "ip", "addr", "add", "10.0.2.15/24", "dev", "eth0")
			up(t, v)
		}, true, Heard{Other: []netip.Addr{another}}},
		{"asks", func(t *testing.T, v *Veth) {
			if _, err := exec.LookPath("busybox"); err != nil {
				t.Skip("needs busybox: apt-get install busybox-static")
			}
			up(t, v)
			_ = v.Do(func() error {
				_ = exec.Command("busybox", "udhcpc", "-i", "eth0", "-s", "/bin/true", "-f", "-n", "-q", "-t", "1", "-T", "1").Run()
				return nil
			})
		}, false, Heard{Asked: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := newLab(t)
			v, err := l.Veth(VethOptions{Down: true})
			if err != nil {
				t.Fatal(err)
			}
			other, err := l.Veth(VethOptions{}) // whose frames are not the guest's
			if err != nil {
				t.Fatal(err)
			}
			e, err := l.Listen(v.Guest)
			if err != nil {
				t.Fatal(err)
			}
			_ = other.Do(func() error {
				_, _ = net.DialTimeout("tcp4", "198.18.0.79:80", 200*time.Millisecond)
				return nil
			})
			tt.does(t, v)
			if tt.seek {
				if err := e.Seek([]netip.Addr{netip.MustParseAddr("10.0.0.2"), another}); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(20 * time.Millisecond)
			if diff := cmp.Diff(tt.want, e.Heard(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			begun := time.Now()
			if err := e.Close(); err != nil || time.Since(begun) > time.Second {
				t.Errorf("close: %v after %v", err, time.Since(begun))
			}
		})
	}
}

// TestNamedIsBounded: a guest that names every address there is fills four places.
func TestNamedIsBounded(t *testing.T) {
	e := &Ear{guest: First("uktap0")}
	for i := range 1000 {
		e.named(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	e.named(netip.IPv4Unspecified())
	e.named(e.guest.IP)
	if h := e.Heard(); len(h.Other) != mostHeard || !h.Own {
		t.Errorf("%+v", h)
	}
}

// FuzzARP: what is taken for an ARP frame or a DHCP request has a sender in it.
func FuzzARP(f *testing.F) {
	f.Add(arpQuestion(gateway))
	f.Add(make([]byte, 300))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if mac, ip, ok := arpSender(frame); ok && (len(frame) < arpLen || len(mac) != 6 || !ip.Is4()) {
			t.Errorf("%x: %s, %s", frame, mac, ip)
		}
		if mac, ok := dhcpClient(frame); ok && (len(frame) < 34 || len(mac) != 6) {
			t.Errorf("%x: %s", frame, mac)
		}
	})
}
