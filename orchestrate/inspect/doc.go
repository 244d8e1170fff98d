// SPDX-License-Identifier: Apache-2.0

// Package inspect reads what an image file is: its format, where it is entered and
// loaded, which platforms can take it and why others cannot, and for a Linux program
// its libraries and the system calls that it can make.
//
// It goes by the file alone and runs nothing. It is not told what an image is meant
// for; whether a guest finds the devices that it needs is known only after a boot.
package inspect
