// SPDX-License-Identifier: Apache-2.0

package solo5

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/solo5/solo5test"
)

func manyEntries(n int) [][]byte {
	out := [][]byte{solo5test.First()}
	for _, d := range manyDevices(n - 1) {
		out = append(out, solo5test.Entry(d.Name, uint32(d.Type)))
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

func changed(n solo5test.Note, at int, to byte) solo5test.Note {
	n.Desc = bytes.Clone(n.Desc)
	n.Desc[at] = to
	return n
}

func patched(data []byte, at int, to byte) []byte {
	data[at] = to
	return data
}

func TestRead(t *testing.T) {
	devices := solo5test.Manifest(solo5test.First(), solo5test.Entry("service", uint32(Net)), solo5test.Entry("storage", uint32(Block)))
	tests := []struct {
		name string
		data []byte
		want Image
		err  string
	}{
		{"two devices", solo5test.File(solo5test.ABI(1, 2), devices), Image{HVT, 2, []Device{{"service", Net}, {"storage", Block}}}, ""},
		{"none, notes of others before", solo5test.File(solo5test.Note{Type: 1, Owner: "OpenBSD\x00", Desc: make([]byte, 4)}, solo5test.Manifest(solo5test.First()), solo5test.ABI(3, 1)), Image{Target: Virtio, ABIVersion: 1}, ""},
		{"of two manifests the first", solo5test.File(solo5test.ABI(2, 2), solo5test.Manifest(solo5test.First(), solo5test.Entry("a", 2)), devices), Image{SPT, 2, []Device{{"a", Net}}}, ""},
		{"as many as can be", solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest(manyEntries(64)...)), Image{HVT, 2, manyDevices(63)}, ""},
		{"one too many", solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest(manyEntries(65)...)), Image{}, "damaged: a Solo5 note of 6772 bytes"},
		{"no notes", solo5test.File(), Image{}, ErrNoNotes.Error()},
		{"another's notes", solo5test.File(solo5test.Note{Type: solo5test.TypeABI, Owner: "Linux\x00", Desc: make([]byte, 16)}), Image{}, ErrNoNotes.Error()},
		{"another kind of Solo5's notes", solo5test.File(solo5test.Note{Type: 7, Owner: solo5test.Owner, Desc: make([]byte, 16)}), Image{}, ErrNoNotes.Error()},
		{"no manifest", solo5test.File(solo5test.ABI(1, 2)), Image{}, "damaged: a Solo5 note about the target, but no manifest"},
		{"no target", solo5test.File(devices), Image{}, "damaged: a Solo5 manifest, but no note about the target"},
		{"short target", solo5test.File(solo5test.Note{Type: solo5test.TypeABI, Owner: solo5test.Owner, Desc: make([]byte, 8)}, devices), Image{}, "damaged: the Solo5 note about the target has 8 bytes, want 16"},
		{"short manifest", solo5test.File(solo5test.ABI(1, 2), solo5test.Note{Type: solo5test.TypeManifest, Owner: solo5test.Owner, Desc: make([]byte, 6)}), Image{}, "damaged: a Solo5 manifest of 6 bytes"},
		{"a later version", solo5test.File(solo5test.ABI(1, 2), changed(devices, manifestPad, 2)), Image{}, "a Solo5 manifest of version 2: only 1 is known"},
		{"more entries than bytes", solo5test.File(solo5test.ABI(1, 2), changed(devices, manifestPad+4, 4)), Image{}, "damaged: a Solo5 manifest of 324 bytes for 4 entries"},
		{"no entry", solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest()), Image{}, "damaged: a Solo5 manifest of 12 bytes for 0 entries"},
		{"no first entry", solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest(solo5test.Entry("a", 2))), Image{}, "damaged: the Solo5 manifest does not begin with its own entry"},
		{"a name without end", solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest(solo5test.First(), solo5test.Entry(strings.Repeat("a", 68), 2))), Image{}, "damaged: an entry of the Solo5 manifest"},
		{"attached before it is attached", solo5test.File(solo5test.ABI(1, 2), changed(devices, manifestPad+manifestHeader+entrySize+entryAttached, 1)), Image{}, "damaged: an entry of the Solo5 manifest"},
		{"a type of the future", solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest(solo5test.First(), solo5test.Entry("gpu", 3))), Image{}, `the Solo5 manifest declares "gpu", a device of type 3, which is not known`},
		{"a name that no option takes", solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest(solo5test.First(), solo5test.Entry("a=b", 2))), Image{}, `the Solo5 manifest declares a network device "a=b": no tender takes such a name (letters and digits)`},
		{"no name", solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest(solo5test.First(), solo5test.Entry("", 1))), Image{}, `the Solo5 manifest declares a block device "": no tender takes such a name (letters and digits)`},
		{"a name twice", solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest(solo5test.First(), solo5test.Entry("a", 1), solo5test.Entry("a", 2))), Image{}, `the Solo5 manifest declares "a" twice: no tender can attach both`},
		{"cut off", solo5test.File(solo5test.ABI(1, 2), devices)[:360], Image{}, "damaged: a note lies beyond the end of the file: EOF"},
		{"no ELF file", []byte("#!/bin/sh\nexec solo5-hvt\n"), Image{}, "not a sound ELF file: bad magic number '[35 33 47 98]' in record at byte 0x0"},
		{"for another machine", patched(solo5test.File(solo5test.ABI(1, 2), devices), 18, 183), Image{}, "built for EM_AARCH64 (ELFCLASS64): a Solo5 image for x86-64 is needed"},
		{"relocatable", patched(solo5test.File(solo5test.ABI(1, 2), devices), 16, 3), Image{}, "ELF type ET_DYN: a Solo5 image is an executable at fixed addresses (ET_EXEC)"},
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
	if err := os.WriteFile(path, solo5test.File(), 0o644); err != nil {
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
	f.Add(solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest(solo5test.First(), solo5test.Entry("service", uint32(Net)), solo5test.Entry("storage", uint32(Block)))))
	f.Add(solo5test.File(solo5test.Manifest(solo5test.First()), solo5test.ABI(3, 1)))
	f.Add(solo5test.File(solo5test.ABI(1, 2), solo5test.Manifest(manyEntries(64)...)))
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
