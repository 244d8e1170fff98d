// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCmdlineString(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   Cmdline
		want string
	}{
		{"nothing", Cmdline{}, ""},
		{"counts", Cmdline{PIO: 3, CPUID: 2, HLT: 1, MemMiB: 4, End: EndExit}, "pio=3 cpuid=2 hlt=1 mem=4 end=exit"},
		{"several CPUs", Cmdline{CPUs: 8, PIO: 3}, "cpus=8 pio=3"},
		{
			"network",
			Cmdline{
				IP: netip.MustParsePrefix("198.18.0.2/24"), Gateway: netip.MustParseAddr("198.18.0.1"),
				Port: 80, End: EndHold,
			},
			"ip=198.18.0.2/24 gw=198.18.0.1 port=80 end=hold",
		},
		{"boot timer", Cmdline{BootTimer: 0x3f0}, "boot-timer=1008"},
		{"early", Cmdline{SpinEarly: true}, "spin=early"},
		{"crash", Cmdline{CrashEarly: true, CrashGP: true}, "crash=early crash=gp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.in.Validate(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, tc.in.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCmdlineValidate(t *testing.T) {
	v4 := netip.MustParsePrefix("198.18.0.2/24")
	for _, tc := range []struct {
		in   Cmdline
		want string
	}{
		{Cmdline{CPUs: 9}, "cpus=9: give a number from 0 to 8"},
		{Cmdline{PIO: -1}, "pio=-1"},
		{Cmdline{HLT: 1 << 32}, "hlt=4294967296"},
		{Cmdline{MemMiB: 4096}, "mem=4096"},
		{Cmdline{IP: v4, Port: 65536}, "port=65536"},
		{Cmdline{Port: 80}, "gw and port need ip"},
		{Cmdline{Gateway: v4.Addr()}, "gw and port need ip"},
		{Cmdline{IP: netip.MustParsePrefix("fd00::1/64")}, "give an IPv4 address"},
		{Cmdline{IP: v4, Gateway: netip.MustParseAddr("fd00::1")}, "gw=fd00::1"},
		{Cmdline{End: "explode"}, "end=explode"},
		{Cmdline{End: EndHold}, "end=hold needs ip"},
		{Cmdline{SpinEarly: true, CrashEarly: true}, "exclude each other"},
	} {
		err := tc.in.Validate()
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want one with %q", tc.in, err, tc.want)
		}
	}
}
