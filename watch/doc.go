// SPDX-License-Identifier: Apache-2.0

// Package watch is the daemon behind `ukprobe watch`: it keeps account of the VMs
// of a host that ukprobe did not start, and shows what an instrument counts for
// them, as Prometheus metrics or as a table.
//
// The package knows processes by /proc: which of them a person means (Filter),
// and what a VM is called ([Identify]). It knows how long a VM's series live,
// how many VMs fit, and what privileges are needed once everything is attached.
// It does not know the kernel's hooks: what counts is behind the small interface
// [Source], which [FromProbe] makes of package probe. It starts no VM and never
// touches one.
//
// Whatever a guest or a VMM's command line says is hostile: bounded in length, of
// printable characters only, and never the reason for a series beyond the bounded
// number that each VM has.
package watch
