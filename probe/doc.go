// SPDX-License-Identifier: Apache-2.0

// Package probe is the instrument: it watches guests from the host kernel with
// eBPF and turns what it sees into timelines, counts and histograms.
//
// A [Probe] loads the programs of package bpf and attaches each hook by the best
// rung that the running kernel grants. [Probe.Watch] arms the hooks for one
// cgroup, in which the caller then starts a VMM; the [Watch] collects the marks,
// console lines and halts of whatever runs there.
//
// The package knows the kernel. It does not know the matrix, VMMs' command
// lines, networks or results, and it starts nothing.
//
// Every time is CLOCK_MONOTONIC in nanoseconds, taken in the kernel by
// bpf_ktime_get_ns.
package probe
