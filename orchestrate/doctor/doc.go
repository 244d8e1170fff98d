// SPDX-License-Identifier: Apache-2.0

// Package doctor finds out what a machine can do for ukprobe, so that a person
// knows before a run.
//
// What can be tried is tried: the hooks are attached, a cgroup, a network
// namespace, a tap and a veth are made, and a process is started and watched.
// All of it is journalled and gone when [Examine] returns. The rest is read
// from /proc, /sys and the kernel's configuration. What cannot be found out is
// said to be unknown.
//
// It starts no guest, changes no setting of the host, and knows no matrix file.
package doctor
