// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// zone is that of the app dnsmasq; "test" is never delegated (RFC 6761, 6.2).
const zone = "ukprobe.test"

// zoneHosts is how many names it has.
const zoneHosts = 256

// ZoneNames are the names of the app dnsmasq's zone, each of which has one address. A
// server of DNS in another guest is asked for the same.
func ZoneNames() []string {
	names := make([]string, zoneHosts)
	for i := range names {
		names[i] = fmt.Sprintf("host-%03d.%s", i, zone)
	}
	return names
}

// dnsmasqConf is its configuration: the zone, and nobody else is asked.
func dnsmasqConf() string {
	var b strings.Builder
	b.WriteString(`# SPDX-License-Identifier: Apache-2.0
# Names of one zone, and no others: no server is asked, no file of the machine is read.
no-resolv
no-hosts
no-poll
port=53
local=/` + zone + `/
# It stays what it is started as, and writes no file.
user=root
group=root
pid-file=
log-facility=-
`)
	for i, name := range ZoneNames() {
		// 198.51.100.0/24 is for documentation (RFC 5737).
		fmt.Fprintf(&b, "host-record=%s,198.51.100.%d\n", name, i)
	}
	return b.String()
}

// dnsQuery is a question for a name's IPv4 address, as it is sent by TCP: after its length
// (RFC 1035, 4.1 and 4.2.2).
func dnsQuery(name string) string {
	const (
		id        = 0x756b
		recursion = 0x0100 // RD
		typeA     = 1
		classIN   = 1
	)
	b := make([]byte, 2)
	for _, v := range []uint16{id, recursion, 1, 0, 0, 0} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	b = binary.BigEndian.AppendUint16(append(b, 0), typeA)
	b = binary.BigEndian.AppendUint16(b, classIN)
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return string(b)
}
