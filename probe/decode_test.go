// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ukprobe/ukprobe/bpf"
)

// raw makes a record as it lies in the ring buffer, with so much text behind it.
func raw(kind bpf.KVMRecordKind, arg uint32, text int) []byte {
	var out []byte
	out = binary.NativeEndian.AppendUint64(out, 1000)
	out = binary.NativeEndian.AppendUint64(out, 2000)
	for _, v := range []uint32{uint32(kind), 3, uint32(bpf.KVMHookHOOK_PIO), arg} {
		out = binary.NativeEndian.AppendUint32(out, v)
	}
	return append(out, bytes.Repeat([]byte{'x'}, text)...)
}

func TestDecode(t *testing.T) {
	header := bpf.KVMRecord{Ns: 1000, LastNs: 2000, Slot: 3, Hook: uint32(bpf.KVMHookHOOK_PIO)}
	with := func(kind bpf.KVMRecordKind, arg uint32, text int) *bpf.KVMRecord {
		r := header
		r.Kind, r.Arg = uint32(kind), arg
		copy(r.Data[:], bytes.Repeat([]byte{'x'}, text))
		return &r
	}
	const line, write, halt, mark = bpf.KVMRecordKindRECORD_LINE, bpf.KVMRecordKindRECORD_WRITE, bpf.KVMRecordKindRECORD_HALT, bpf.KVMRecordKindRECORD_MARK
	tests := []struct {
		name string
		raw  []byte
		want *bpf.KVMRecord // nil: an error
	}{
		{"nothing", nil, nil},
		{"short by one", raw(mark, 1, 0)[:recordHeader-1], nil},
		{"mark", raw(mark, 5, 0), with(mark, 5, 0)},
		{"halt", raw(halt, 0, 0), with(halt, 0, 0)},
		{"line", raw(line, 7, maxLine), with(line, 7, maxLine)},
		{"write", raw(write, maxLine, maxLine), with(write, maxLine, maxLine)},
		{"empty line", raw(line, 0, 0), with(line, 0, 0)},
		{"text shorter than claimed", raw(line, 7, 6), nil},
		{"text longer than a record", raw(write, maxLine+1, maxLine+8), nil},
		{"huge claim", raw(line, 0xffffffff, maxLine), nil},
		{"unknown kind", raw(99, 0xffffffff, 0), with(99, 0xffffffff, 0)},
		{"more bytes than a record has", raw(mark, 0, maxLine+100), with(mark, 0, maxLine)},
	}
	for _, tt := range tests {
		got, err := decode(tt.raw)
		if tt.want == nil {
			if err == nil {
				t.Errorf("%s: no error", tt.name)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, &got, cmpopts.IgnoreUnexported(bpf.KVMRecord{})); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

// FuzzDecode: whatever lies in the ring buffer, what comes out can be taken.
func FuzzDecode(f *testing.F) {
	for kind := range bpf.KVMRecordKind(6) {
		f.Add(raw(kind, 4, 4))
	}
	f.Add(raw(bpf.KVMRecordKindRECORD_WRITE, 0xffffffff, maxLine))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode(data)
		if len(data) < recordHeader && err == nil {
			t.Fatalf("%d bytes are no record", len(data))
		}
		if err != nil {
			return
		}
		w := &Watch{p: &Probe{}}
		w.take(r) // must not panic
		for _, l := range append(w.console.Lines, w.partial) {
			if len(l.Text) > maxLine {
				t.Fatalf("line of %d bytes", len(l.Text))
			}
		}
	})
}
