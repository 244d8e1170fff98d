// SPDX-License-Identifier: Apache-2.0

package solo5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// note is one segment with one note.
type note struct {
	kind  uint32
	owner string
	desc  []byte
}

func (n note) bytes() []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(n.owner)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(n.desc)))
	b = binary.LittleEndian.AppendUint32(b, n.kind)
	b = append(b, n.owner...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return append(b, n.desc...)
}

func abi(target, version uint32) note {
	var b []byte
	for _, v := range []uint32{target, version, 0, 0} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return note{noteABI, noteOwner, b}
}

// entry is one of a manifest: its bytes, as mft_abi.h lays them out.
func entry(name string, kind uint32) []byte {
	b := make([]byte, entrySize)
	copy(b, name)
	binary.LittleEndian.PutUint32(b[entryName:], kind)
	return b
}

func manifest(entries ...[]byte) note {
	b := make([]byte, manifestPad)
	b = binary.LittleEndian.AppendUint32(b, manifestVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)))
	return note{noteManifest, noteOwner, append(b, bytes.Join(entries, nil)...)}
}

func first() []byte { return entry("", typeFirst) }

// file is an ELF file of nothing but a segment for each note.
func file(notes ...note) []byte {
	const header, program = 64, 56
	at := uint64(header + program*len(notes))
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	b = le.AppendUint16(b, 2)  // ET_EXEC
	b = le.AppendUint16(b, 62) // EM_X86_64
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, 0x100020) // entry
	b = le.AppendUint64(b, header)   // program headers
	b = le.AppendUint64(b, 0)
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{header, program, uint16(len(notes)), 64, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	var data []byte
	for _, n := range notes {
		content := n.bytes()
		b = le.AppendUint32(b, 4) // PT_NOTE
		b = le.AppendUint32(b, 4)
		for _, v := range []uint64{at + uint64(len(data)), 0, 0, uint64(len(content)), uint64(len(content)), 4} {
			b = le.AppendUint64(b, v)
		}
		data = append(data, content...)
	}
	return append(b, data...)
}

func TestRead(t *testing.T) {
	devices := manifest(first(), entry("service", uint32(Net)), entry("storage", uint32(Block)))
	tests := []struct {
		name string
		data []byte
		want Image
		err  string
	}{
		{"two devices", file(abi(1, 2), devices), Image{HVT, 2, []Device{{"service", Net}, {"storage", Block}}}, ""},
		{"none, notes of others before", file(note{1, "OpenBSD\x00", make([]byte, 4)}, manifest(first()), abi(3, 1)), Image{Target: Virtio, ABIVersion: 1}, ""},
		{"of two manifests the first", file(abi(2, 2), manifest(first(), entry("a", 2)), devices), Image{SPT, 2, []Device{{"a", Net}}}, ""},
		{"as many as can be", file(abi(1, 2), manifest(many(64)...)), Image{HVT, 2, manyDevices(63)}, ""},
		{"one too many", file(abi(1, 2), manifest(many(65)...)), Image{}, "damaged: a Solo5 note of 6772 bytes"},
		{"no notes", file(), Image{}, ErrNoNotes.Error()},
		{"another's notes", file(note{noteABI, "Linux\x00", make([]byte, 16)}), Image{}, ErrNoNotes.Error()},
		{"another kind of Solo5's notes", file(note{7, noteOwner, make([]byte, 16)}), Image{}, ErrNoNotes.Error()},
		{"no manifest", file(abi(1, 2)), Image{}, "damaged: a Solo5 note about the target, but no manifest"},
		{"no target", file(devices), Image{}, "damaged: a Solo5 manifest, but no note about the target"},
		{"short target", file(note{noteABI, noteOwner, make([]byte, 8)}, devices), Image{}, "damaged: the Solo5 note about the target has 8 bytes, want 16"},
		{"short manifest", file(abi(1, 2), note{noteManifest, noteOwner, make([]byte, 6)}), Image{}, "damaged: a Solo5 manifest of 6 bytes"},
		{"a later version", file(abi(1, 2), changed(devices, manifestPad, 2)), Image{}, "a Solo5 manifest of version 2: only 1 is known"},
		{"more entries than bytes", file(abi(1, 2), changed(devices, manifestPad+4, 4)), Image{}, "damaged: a Solo5 manifest of 324 bytes for 4 entries"},
		{"no entry", file(abi(1, 2), manifest()), Image{}, "damaged: a Solo5 manifest of 12 bytes for 0 entries"},
		{"no first entry", file(abi(1, 2), manifest(entry("a", 2))), Image{}, "damaged: the Solo5 manifest does not begin with its own entry"},
		{"a name without end", file(abi(1, 2), manifest(first(), entry(strings.Repeat("a", 68), 2))), Image{}, "damaged: an entry of the Solo5 manifest"},
		{"attached before it is attached", file(abi(1, 2), changed(devices, manifestPad+manifestHeader+entrySize+entryAttached, 1)), Image{}, "damaged: an entry of the Solo5 manifest"},
		{"a type of the future", file(abi(1, 2), manifest(first(), entry("gpu", 3))), Image{}, `the Solo5 manifest declares "gpu", a device of type 3, which is not known`},
		{"a name that no option takes", file(abi(1, 2), manifest(first(), entry("a=b", 2))), Image{}, `the Solo5 manifest declares a network device "a=b": no tender takes such a name (letters and digits)`},
		{"no name", file(abi(1, 2), manifest(first(), entry("", 1))), Image{}, `the Solo5 manifest declares a block device "": no tender takes such a name (letters and digits)`},
		{"a name twice", file(abi(1, 2), manifest(first(), entry("a", 1), entry("a", 2))), Image{}, `the Solo5 manifest declares "a" twice: no tender can attach both`},
		{"cut off", file(abi(1, 2), devices)[:300], Image{}, "damaged: a note lies beyond the end of the file: EOF"},
		{"no ELF file", []byte("#!/bin/sh\nexec solo5-hvt\n"), Image{}, "not a sound ELF file: bad magic number '[35 33 47 98]' in record at byte 0x0"},
		{"for another machine", patched(file(abi(1, 2), devices), 18, 183), Image{}, "built for EM_AARCH64 (ELFCLASS64): a Solo5 image for x86-64 is needed"},
		{"relocatable", patched(file(abi(1, 2), devices), 16, 3), Image{}, "ELF type ET_DYN: a Solo5 image is an executable at fixed addresses (ET_EXEC)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Read(bytes.NewReader(tt.data))
			text := ""
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(tt.err, text); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("image (-want +got):\n%s", diff)
			}
		})
	}
}

// many is a manifest's entry of its own and n-1 devices.
func many(n int) [][]byte {
	out := [][]byte{first()}
	for _, d := range manyDevices(n - 1) {
		out = append(out, entry(d.Name, uint32(d.Type)))
	}
	return out
}

func manyDevices(n int) []Device {
	var out []Device
	for i := range n {
		out = append(out, Device{Name: "d" + strings.Repeat("x", i), Type: Net})
	}
	return out
}

func changed(n note, at int, to byte) note {
	n.desc = bytes.Clone(n.desc)
	n.desc[at] = to
	return n
}

func patched(data []byte, at int, to byte) []byte {
	data[at] = to
	return data
}

func TestOf(t *testing.T) {
	img := Image{Devices: []Device{{"a", Net}, {"b", Block}, {"c", Net}}}
	if diff := cmp.Diff([]Device{{"a", Net}, {"c", Net}}, img.Of(Net)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Device{{"b", Block}}, img.Of(Block)); diff != "" {
		t.Error(diff)
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.hvt")
	if _, err := ReadFile(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, file(), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); !errors.Is(err, ErrNoNotes) || !strings.Contains(err.Error(), path) {
		t.Errorf("no notes: %v: must name the file", err)
	}
}

// TestRealImages: what Solo5's own tool chain makes, held against what its sources
// say of each test.
func TestRealImages(t *testing.T) {
	dir := os.Getenv("UKPROBE_GUESTS")
	if dir == "" {
		t.Skip("needs real Solo5 images: set UKPROBE_GUESTS to a folder with solo5 built in it")
	}
	for name, devices := range map[string][]Device{
		"test_hello":   nil,
		"test_net":     {{"service0", Net}},
		"test_net_2if": {{"service0", Net}, {"service1", Net}},
		"test_blk":     {{"storage", Block}},
	} {
		for _, target := range []Target{HVT, SPT, Virtio} {
			got, err := ReadFile(filepath.Join(dir, "solo5/tests", name, name+"."+target.String()))
			if err != nil {
				t.Error(err)
				continue
			}
			got.ABIVersion = 0 // of their release
			if diff := cmp.Diff(Image{Target: target, Devices: devices}, got); diff != "" {
				t.Errorf("%s.%s: %s", name, target, diff)
			}
		}
	}
}

// FuzzRead: whatever file is given, an answer has devices that a tender can name,
// or there is an error.
func FuzzRead(f *testing.F) {
	f.Add(file(abi(1, 2), manifest(first(), entry("service", uint32(Net)), entry("storage", uint32(Block)))))
	f.Add(file(manifest(first()), abi(3, 1)))
	f.Add(file(abi(1, 2), manifest(many(64)...)))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := Read(bytes.NewReader(data))
		if err != nil {
			if len(img.Devices) > 0 || img.Target != 0 {
				t.Fatalf("%+v with %v", img, err)
			}
			return
		}
		if len(img.Devices) >= maxEntries || len(img.Of(Net))+len(img.Of(Block)) != len(img.Devices) {
			t.Fatalf("%+v", img)
		}
		for _, d := range img.Devices {
			if d.check() != nil || len(d.Name) >= entryName {
				t.Fatalf("%+v", d)
			}
		}
	})
}
