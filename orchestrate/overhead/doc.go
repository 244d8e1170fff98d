// SPDX-License-Identifier: Apache-2.0

// Package overhead measures what ukprobe's own probes cost on this machine: the
// reference guest with probes attached against the same guest without, interleaved
// in rounds of random order.
//
// It knows in which order conditions are run and how they are compared; the guest,
// the conditions and the times are package rig's, which test/bench is made of too. It
// does not know what another guest, with other exits, would lose, nor what the
// programs take by themselves (BPF_PROG_TEST_RUN): test/bench does.
package overhead
