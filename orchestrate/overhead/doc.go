// SPDX-License-Identifier: Apache-2.0

// Package overhead measures what ukprobe's own probes cost on this machine: the
// reference guest with probes attached against the same guest without, interleaved
// in rounds of random order.
//
// It knows the reference guest on qemumicrovm and the rungs of package probe. No
// time in it comes from a probe: the guest's own TSC between its first and its
// ready line, and the clock of user space, are what is compared, so that a probe
// cannot hide its own cost. It does not know what another guest, with other exits,
// would lose.
//
// The core is that of test/bench, which also measures the programs by themselves
// (BPF_PROG_TEST_RUN).
package overhead
