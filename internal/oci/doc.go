// SPDX-License-Identifier: Apache-2.0

// Package oci keeps images of registries in a cache folder: it asks a registry by the
// OCI distribution specification, verifies every byte against its digest, again each time
// that it is asked for an image, and needs no network for what it has once had.
//
// It knows two kinds of image. A guest is a unikernel as Unikraft's kraft packs it: in
// the index one manifest per platform, whose "os" is the VMM, and in its layers the
// kernel at /unikraft/bin/kernel (guest.go). A container is a Linux image as Docker's;
// its layers are kept as they are (container.go).
//
// The cache folder:
//
//	blobs/sha256/HEX       manifests, configurations and layers, verified
//	blobs/sha256/HEX.part  a layer on its way; a pull goes on where it ended
//	refs/HEX.json          which digest a tag had when it was first pulled: the lock
//	guests/HEX/            kernel and initrd of the manifest HEX, and their digests
//	containers/HEX/        OCI layout of the manifest HEX
//
// Everything gets its name when it is whole, by a rename. What the disk has damaged is
// got again. Images are bounded: see maxImage.
//
// OpenLayout verifies an OCI layout that somebody else has made.
//
// Registries on loopback and in private networks are spoken to by HTTP, all others by
// HTTPS only. Logins are those that `docker login` stores.
package oci
