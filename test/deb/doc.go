// SPDX-License-Identifier: Apache-2.0

// Package deb tests the Debian package: it is built, examined, and installed, upgraded,
// removed and purged in a throw-away root, never on this machine.
package deb
