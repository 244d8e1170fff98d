// SPDX-License-Identifier: Apache-2.0

// Package netservice answers guests that can only ask for their address: a DHCPv4
// server (RFC 2131) and a name server on the bridge of a laboratory.
//
// Both are inside the lab's network namespace and nowhere else. DHCP answers the
// guests that it was told of, by their MAC address, and always with the address that
// the lab has for them; no other station gets an answer. The name server knows the
// names of one zone, ukprobe.internal, and the addresses of the lab; what is outside
// of both is refused. Nothing is forwarded and no other server is ever asked.
//
// What a guest sends is read into one buffer and answered before the next is read:
// a flood fills the socket's own queue, whose length the kernel bounds, and is then
// dropped. TCP connections are few and short.
//
// The messages are taken apart and put together by libraries
// (insomniacslk/dhcp/dhcpv4, golang.org/x/net/dns/dnsmessage). The package does not
// know systems, VMMs or experiments.
package netservice
