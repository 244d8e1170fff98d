// SPDX-License-Identifier: Apache-2.0

// Package network builds the laboratory's network: one network namespace per
// run with one bridge in it, a tap per guest, a veth pair and a further
// namespace per process. The client runs in the same namespace as the bridge.
//
// Addresses are 198.18.0.0/24, out of the block that RFC 2544 keeps for
// benchmarks. Neighbour entries are static and permanent, and IPv6 is off, so
// that the kernel itself sends no frame that a measurement could mistake for
// the guest's or the client's.
//
// Nothing in the host's own namespace is changed: no interface, no route, no
// firewall rule, no sysctl. What is visible from there are the namespaces'
// names under /run/netns, which are journalled before they are made. Everything
// else lives in a namespace and dies with it.
//
// The package does not know VMMs, guests or experiments.
package network

import "github.com/ukprobe/ukprobe/orchestrate/journal"

// Undoers are this package's undoers, for journal.Clean and Rollback.
func Undoers() map[journal.Kind]journal.Undoer {
	return map[journal.Kind]journal.Undoer{
		journal.KindNetNS:    UndoNetNS,
		journal.KindNetNSDir: UndoNetNSDir,
	}
}
