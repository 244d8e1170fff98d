// SPDX-License-Identifier: Apache-2.0

// Package e2e holds the end-to-end tests: they start the real ukprobe binary,
// with the real QEMU, /dev/kvm, taps and nginx, and look at what it prints,
// what it stores, its exit status, and that nothing is left on the host.
//
// The same tests run on this machine and, compiled with `go test -c`, on
// Debian's kernels inside the hostvm (TestHostVM starts them there). A test that
// does not apply in one of the two places skips and says why.
//
// The package knows the command line, run.json and the metrics. It does not know
// how ukprobe is made: the only packages of ours that it uses are the readers of
// results, the reference guest's contract, and test/hostvm.
//
// Environment:
//
//	UKPROBE_BINARY  the binary under test; built from the source if unset
//	UKPROBE_IMAGES  cache of built images; <project>/.cache/images if unset
//	UKPROBE_GUESTS  folder with real guests (docs/verified.md); without it their tests skip
//	HOSTVM_KERNELS  suites for TestHostVM; "bookworm bookworm-backports" if unset
package e2e
