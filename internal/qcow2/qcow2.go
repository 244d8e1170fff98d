// SPDX-License-Identifier: Apache-2.0

// Package qcow2 reads what a qcow2 image holds, and makes overlays: small images of
// which one cluster is their own and the rest is another image's. So a guest can be
// given a disk whose first bytes differ, and the original is neither copied nor
// written to.
//
// It knows versions 2 and 3 as QEMU's docs/interop/qcow2.rst describes them, with
// zlib compression; not encryption, external data files, extended L2 entries, zstd
// and backing files. It writes no image but overlays.
package qcow2

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Magic begins every qcow2 file.
const Magic = "QFI\xfb"

// Sizes of clusters that QEMU makes: 512 bytes to 2 MiB.
const (
	minClusterBits = 9
	maxClusterBits = 21
)

// maxSize of a disk, in bytes. QEMU's own limit depends on the size of clusters and
// is higher.
const maxSize = 1 << 46

// header is the fixed part, and of version 3 as much as matters here.
type header struct {
	Magic                 [4]byte
	Version               uint32
	BackingFileOffset     uint64
	BackingFileSize       uint32
	ClusterBits           uint32
	Size                  uint64
	CryptMethod           uint32
	L1Size                uint32
	L1TableOffset         uint64
	RefcountTableOffset   uint64
	RefcountTableClusters uint32
	NbSnapshots           uint32
	SnapshotsOffset       uint64
	// Since version 3.
	IncompatibleFeatures uint64
	CompatibleFeatures   uint64
	AutoclearFeatures    uint64
	RefcountOrder        uint32
	HeaderLength         uint32
}

// headerSize is the length of all of it, and headerSize2 of version 2.
const (
	headerSize  = 104
	headerSize2 = 72
)

// Incompatible features.
const (
	featureDirty    = 1 << 0 // refcounts may be wrong: no matter to a reader
	featureCorrupt  = 1 << 1
	featureDataFile = 1 << 2
	featureCompress = 1 << 3 // not zlib
	featureExtended = 1 << 4 // L2 entries of 128 bits
)

// Image is a disk in a qcow2 file.
type Image struct {
	Size int64 // of the disk, in bytes

	r           io.ReaderAt
	clusterBits uint
	l1          int64 // where the table begins in the file
	l1Size      uint64
}

// Open reads an image's header.
func Open(r io.ReaderAt) (*Image, error) {
	h, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("qcow2: %w", err)
	}
	return &Image{Size: int64(h.Size), r: r, clusterBits: uint(h.ClusterBits), l1: int64(h.L1TableOffset), l1Size: uint64(h.L1Size)}, nil
}

// ErrOtherFile is wrapped by errors about images that name a file from which QEMU
// takes a part of the disk: any file that QEMU may read.
var ErrOtherFile = errors.New("part of the disk is in another file")

// CheckAlone returns an error if the file is not the whole disk, also where Open would
// not know the image's features: QEMU does.
func CheckAlone(r io.ReaderAt) error {
	h, err := readHeader(r)
	if err != nil {
		return err
	}
	if err := h.checkAlone(); err != nil {
		return fmt.Errorf("qcow2: %w", err)
	}
	return nil
}

func (h *header) checkAlone() error {
	switch {
	case h.BackingFileOffset != 0:
		return fmt.Errorf("the image has a backing file: %w: make one image of both with qemu-img convert -O qcow2, or with qemu-img rebase -b ''", ErrOtherFile)
	case h.IncompatibleFeatures&featureDataFile != 0:
		return fmt.Errorf("the image has an external data file: %w: make one image of both with qemu-img convert -O qcow2", ErrOtherFile)
	}
	return nil
}

// readHeader reads what is the header of the image's version.
func readHeader(r io.ReaderAt) (*header, error) {
	raw := make([]byte, headerSize)
	n, err := r.ReadAt(raw, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("qcow2: header: %w", err)
	}
	if n < headerSize2 || string(raw[:4]) != Magic {
		return nil, errors.New("qcow2: the file has no such header")
	}
	var h header
	if _, err := binary.Decode(raw, binary.BigEndian, &h); err != nil {
		return nil, fmt.Errorf("qcow2: header: %w", err)
	}
	if h.Version == 2 { // what follows is not part of its header
		h.IncompatibleFeatures = 0
	}
	return &h, nil
}

func (h *header) check() error {
	const known = featureDirty
	switch {
	case h.Version != 2 && h.Version != 3:
		return fmt.Errorf("version %d is not known (2 and 3 are)", h.Version)
	case h.ClusterBits < minClusterBits || h.ClusterBits > maxClusterBits:
		return fmt.Errorf("damaged header: clusters of 2^%d bytes", h.ClusterBits)
	case h.Size > maxSize:
		return fmt.Errorf("a disk of %d bytes is more than is read here", h.Size)
	case h.L1TableOffset > maxSize:
		return errors.New("damaged header: its L1 table is beyond any file's end")
	case h.CryptMethod != 0:
		return errors.New("the image is encrypted")
	case h.checkAlone() != nil:
		return h.checkAlone()
	case h.IncompatibleFeatures&featureCorrupt != 0:
		return errors.New("the image is marked as corrupt: see qemu-img check")
	case h.IncompatibleFeatures&^known != 0:
		return fmt.Errorf("the image has features that are not known here (0x%x: zstd or extended L2 entries): make a plain one of it with qemu-img convert -O qcow2", h.IncompatibleFeatures)
	}
	return nil
}

// Bits of L1 and L2 entries.
const (
	entryOffset = 0x00fffffffffffe00
	compressed  = 1 << 62
	allZero     = 1 << 0
)

// ReadAt reads from the disk.
func (m *Image) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("qcow2: read at %d", off)
	}
	for n < len(p) && off < m.Size {
		size := int64(1) << m.clusterBits
		at := off & (size - 1)
		part := p[n:]
		part = part[:min(int64(len(part)), size-at, m.Size-off)]
		if err := m.readCluster(part, off>>m.clusterBits, at); err != nil {
			return n, fmt.Errorf("qcow2: at %d of the disk: %w", off, err)
		}
		n += len(part)
		off += int64(len(part))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readCluster reads from one cluster of the disk.
func (m *Image) readCluster(p []byte, cluster, at int64) error {
	l2Bits := m.clusterBits - 3
	index := uint64(cluster) >> l2Bits
	if index >= m.l1Size {
		return fmt.Errorf("damaged file: its L1 table has %d entries, and the disk needs more", m.l1Size)
	}
	table, err := m.entry(m.l1 + int64(index)*8)
	if err != nil {
		return err
	}
	if table &= entryOffset; table == 0 {
		clear(p)
		return nil
	}
	e, err := m.entry(int64(table) + cluster&(1<<l2Bits-1)*8)
	switch {
	case err != nil:
		return err
	case e&compressed != 0:
		return m.inflate(p, e, at)
	case e&allZero != 0 || e&entryOffset == 0:
		clear(p)
		return nil
	}
	return m.read(p, int64(e&entryOffset)+at)
}

// inflate reads from a compressed cluster, whose descriptor has the place in the file
// in its low bits and above them how many sectors of 512 bytes follow the first.
func (m *Image) inflate(p []byte, e uint64, at int64) error {
	bits := 62 - (m.clusterBits - 8)
	host := int64(e & (1<<bits - 1))
	sectors := int64(e&(compressed-1)>>bits) + 1
	z := flate.NewReader(io.NewSectionReader(m.r, host, sectors*512-host&511))
	defer z.Close()
	if _, err := io.CopyN(io.Discard, z, at); err != nil {
		return fmt.Errorf("compressed cluster: %w", err)
	}
	if _, err := io.ReadFull(z, p); err != nil {
		return fmt.Errorf("compressed cluster: %w", err)
	}
	return nil
}

func (m *Image) entry(at int64) (uint64, error) {
	var raw [8]byte
	if err := m.read(raw[:], at); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(raw[:]), nil
}

// read fills p from the file; a short file is an error.
func (m *Image) read(p []byte, at int64) error {
	n, err := m.r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("damaged file: it ends before byte %d", at+int64(len(p)))
	}
	return err
}

// OverlaySize is how many bytes at the start of a disk an overlay has of its own.
const OverlaySize = 64 << 10

// overlayBits is the size of an overlay's clusters, QEMU's default.
const overlayBits = 16

// The clusters of an overlay.
const (
	clusterHeader = iota
	clusterRefcountTable
	clusterRefcounts
	clusterL1
	clusterL2
	clusterData
	clusters
)

// Overlay makes an image of a disk of size bytes whose first OverlaySize bytes are
// start, with zeros behind it, and whose others are the backing image's. The backing
// file is found by its path, absolute or relative to the overlay's folder; format is
// raw or qcow2.
func Overlay(backing, format string, size int64, start []byte) ([]byte, error) {
	const maxPath = 1023 // by the specification
	l1 := (size + OverlaySize<<(overlayBits-3) - 1) / (OverlaySize << (overlayBits - 3))
	switch {
	case len(start) > OverlaySize:
		return nil, fmt.Errorf("qcow2: an overlay of %d bytes: %d are possible", len(start), OverlaySize)
	case len(backing) == 0 || len(backing) > maxPath:
		return nil, fmt.Errorf("qcow2: a backing file's path may have 1 to %d bytes, this has %d: %s", maxPath, len(backing), backing)
	case size <= 0 || l1 > OverlaySize/8:
		return nil, fmt.Errorf("qcow2: no overlay can be made of a disk of %d bytes", size)
	}
	out := make([]byte, clusters<<overlayBits)
	at := func(cluster int) []byte { return out[cluster<<overlayBits:] }
	entry := func(cluster int) uint64 { return uint64(cluster)<<overlayBits | 1<<63 } // used once
	extensions := formatExtension(format)
	h := header{
		Magic: [4]byte([]byte(Magic)), Version: 3, ClusterBits: overlayBits, Size: uint64(size),
		BackingFileOffset: uint64(headerSize + len(extensions)), BackingFileSize: uint32(len(backing)),
		L1Size: uint32(l1), L1TableOffset: clusterL1 << overlayBits,
		RefcountTableOffset: clusterRefcountTable << overlayBits, RefcountTableClusters: 1,
		RefcountOrder: 4, HeaderLength: headerSize,
	}
	if _, err := binary.Encode(out, binary.BigEndian, &h); err != nil {
		return nil, fmt.Errorf("qcow2: %w", err)
	}
	copy(out[headerSize:], append(extensions, backing...))
	binary.BigEndian.PutUint64(at(clusterRefcountTable), clusterRefcounts<<overlayBits)
	for i := range clusters {
		binary.BigEndian.PutUint16(at(clusterRefcounts)[2*i:], 1)
	}
	binary.BigEndian.PutUint64(at(clusterL1), entry(clusterL2))
	binary.BigEndian.PutUint64(at(clusterL2), entry(clusterData))
	copy(at(clusterData), start)
	return out, nil
}

// formatExtension is the header extension with the backing file's format, and the
// end of extensions.
func formatExtension(format string) []byte {
	const backingFormat = 0xe2792aca
	var b bytes.Buffer
	_ = binary.Write(&b, binary.BigEndian, []uint32{backingFormat, uint32(len(format))}) // a buffer does not fail
	b.WriteString(format)
	b.Write(make([]byte, -len(format)&7+8)) // padding, then the end: a type and a length of zero
	return b.Bytes()
}
