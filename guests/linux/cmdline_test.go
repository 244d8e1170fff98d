// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIPWord(t *testing.T) {
	tests := []struct {
		client, gateway string
		want, wantErr   string
	}{
		{"198.18.0.2/24", "198.18.0.1", "ip=198.18.0.2::198.18.0.1:255.255.255.0::eth0:off", ""},
		{"198.18.0.2/15", "", "ip=198.18.0.2:::255.254.0.0::eth0:off", ""},
		{"198.18.0.2/24", "198.18.1.1", "", "gateway of a Linux guest: 198.18.1.1 is not an IPv4 address inside 198.18.0.0/24"},
		{"fd00::2/64", "", "", "address of a Linux guest: fd00::2/64 is not an IPv4 prefix"},
	}
	for _, tt := range tests {
		var gateway netip.Addr
		if tt.gateway != "" {
			gateway = netip.MustParseAddr(tt.gateway)
		}
		got, err := IPWord(netip.MustParsePrefix(tt.client), gateway)
		if got != tt.want || errText(err) != tt.wantErr {
			t.Errorf("IPWord(%s, %s) = %q, %q; want %q, %q", tt.client, tt.gateway, got, errText(err), tt.want, tt.wantErr)
		}
	}
}

func TestCommandLine(t *testing.T) {
	line := CommandLine("ip=x", "ukprobe.end=reboot")
	if !strings.HasPrefix(line, "console=ttyS0 quiet panic=-1 reboot=t ") || !strings.HasSuffix(line, " ip=x ukprobe.end=reboot") {
		t.Errorf("CommandLine = %q", line)
	}
	const maxBytes = 2048 // COMMAND_LINE_SIZE of x86
	if len(line) > maxBytes/2 {
		t.Errorf("the command line has %d bytes: too few are left for a cell's own", len(line))
	}
	for _, w := range Words() {
		if w.Why == "" || w.Source == "" {
			t.Errorf("%s has no reason or no source", w.Text)
		}
	}
}

// TestInitCommandLine runs /init's own functions in a shell: what they set, or
// the line with which they end the guest.
func TestInitCommandLine(t *testing.T) {
	tests := []struct{ name, cmdline, want string }{
		{"none", "console=ttyS0 quiet", "end=idle no network"},
		{"the last one counts", "ukprobe.end=poweroff ukprobe.end=reboot", "end=reboot no network"},
		{"as IPWord writes it", "quiet ip=198.18.0.2::198.18.0.1:255.255.255.0::eth0:off",
			"end=idle client=198.18.0.2 gateway=198.18.0.1 netmask=255.255.255.0 hostname= device=eth0"},
		{"no gateway", "ip=198.18.0.2:::255.254.0.0::eth0:off",
			"end=idle client=198.18.0.2 gateway= netmask=255.254.0.0 hostname= device=eth0"},
		{"all fields", "ip=10.0.0.2:10.0.0.9:10.0.0.1:255.0.0.0:guest:eth1:none:10.0.0.3",
			"end=idle client=10.0.0.2 gateway=10.0.0.1 netmask=255.0.0.0 hostname=guest device=eth1"},
		{"fields left out at the end", "ip=10.0.0.2:::255.0.0.0",
			"end=idle client=10.0.0.2 gateway= netmask=255.0.0.0 hostname= device=eth0"},
		{"dhcp", "ip=dhcp", `ukprobe-init: FAILED: ip=: client address "dhcp" is not an IPv4 address`},
		{"asks, as DHCPWord writes it", DHCPWord, "end=idle client= gateway= netmask= hostname= device=eth0"},
		{"asks by something else", "ip=10.0.0.2:::255.0.0.0::eth0:bootp",
			`ukprobe-init: FAILED: ip=: automatic configuration "bootp" is not supported: give an address and off, or dhcp`},
		{"no netmask", "ip=10.0.0.2", `ukprobe-init: FAILED: ip=: netmask "" is not an IPv4 netmask`},
		{"too large a number", "ip=10.0.0.256:::255.0.0.0", `ukprobe-init: FAILED: ip=: client address "10.0.0.256" is not an IPv4 address`},
		{"three numbers", "ip=10.0.2:::255.0.0.0", `ukprobe-init: FAILED: ip=: client address "10.0.2" is not an IPv4 address`},
		{"five numbers", "ip=10.0.0.0.2:::255.0.0.0", `ukprobe-init: FAILED: ip=: client address "10.0.0.0.2" is not an IPv4 address`},
		{"an empty number", "ip=10..0.2:::255.0.0.0", `ukprobe-init: FAILED: ip=: client address "10..0.2" is not an IPv4 address`},
		{"a glob", "ip=*:::255.0.0.0", `ukprobe-init: FAILED: ip=: client address "*" is not an IPv4 address`},
		{"a command", "ip=$(id):::255.0.0.0", `ukprobe-init: FAILED: ip=: client address "$(id)" is not an IPv4 address`},
		{"bad gateway", "ip=10.0.0.2::gw:255.0.0.0", `ukprobe-init: FAILED: ip=: gateway "gw" is not an IPv4 address`},
		{"unknown end", "ukprobe.end=explode", "ukprobe-init: FAILED: ukprobe.end=explode: want idle, reboot or poweroff"},
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox not found: install busybox-static")
	}
	functions, err := file("cmdline.sh")
	if err != nil {
		t.Fatal(err)
	}
	const guarded = "/bin/busybox reboot -f" // must not run here
	if !strings.Contains(string(functions), guarded) {
		t.Fatalf("cmdline.sh does not hold %q any more: adapt this test", guarded)
	}
	script := strings.ReplaceAll(string(functions), guarded, ":") + `
set -f
read -r cmdline
read_cmdline $cmdline
if [ -z "$ip" ]; then echo "end=$end no network"; exit; fi
parse_ip "$ip"
echo "end=$end client=$client gateway=$gateway netmask=$netmask hostname=$hostname device=$device"
`
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(busybox, "sh", "-c", script)
			cmd.Stdin = strings.NewReader(tt.cmdline + "\n")
			out, err := cmd.CombinedOutput()
			if failed := strings.Contains(tt.want, "FAILED"); (err != nil) != failed {
				t.Errorf("exit: %v", err)
			}
			if diff := cmp.Diff(tt.want+"\n", string(out)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
