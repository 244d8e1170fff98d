// SPDX-License-Identifier: Apache-2.0

// Package imagesize knows how large an image is and what it consists of: its files as
// they are, what they take on disk, how well they compress, and what is in them once
// they are unpacked: kernel or library OS, application, libraries, the rest of the root
// file system, and the sections of what is booted.
//
// It starts nothing and mounts nothing. Archives are unpacked into a scratch folder
// that the caller gives, through an os.Root: names in them cannot leave it.
//
// What cannot be told of an image is in Size.Lacking with the reason. That is so for
// the application of a unikernel, which is linked into one file with the library OS,
// and for disks whose file system it does not know.
package imagesize
