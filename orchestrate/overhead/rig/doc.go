// SPDX-License-Identifier: Apache-2.0

// Package rig runs the reference guest to find what ukprobe's own probes cost: the
// conditions that it is run under, and the times of one run. `ukprobe overhead` and
// test/bench are both made of it.
//
// It knows the reference guest on qemumicrovm and the rungs of package probe. No
// time in it comes from a probe: the guest's own TSC between its first and its
// ready line, and the clock of user space, so that a probe cannot hide its own cost.
// It does not know in which order conditions are run, nor how they are compared.
package rig
