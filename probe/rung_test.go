// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRung(t *testing.T) {
	for _, name := range []string{"auto", "fentry", "kprobe", "tp_btf", "raw_tp", "tracepoint"} {
		if got, err := ParseRung(name); err != nil || string(got) != name {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "tcx", "clsact", "Fentry", "kprobe ", "uprobe"} {
		_, err := ParseRung(name)
		if err == nil || !strings.Contains(err.Error(), "auto, fentry, kprobe, tp_btf, raw_tp, tracepoint") {
			t.Errorf("%q: error %v does not list the rungs", name, err)
		}
	}
}

func TestOrder(t *testing.T) {
	all := []Rung{Tracepoint, RawTP, TPBTF, Kprobe, Fentry}
	tests := []struct {
		name   string
		have   []Rung
		want   Rung
		strict bool
		order  []Rung
	}{
		{"the ladder", all, Auto, false, []Rung{Fentry, Kprobe, TPBTF, RawTP, Tracepoint}},
		{"auto is never strict", all, Auto, true, []Rung{Fentry, Kprobe, TPBTF, RawTP, Tracepoint}},
		{"the wanted one first", all, RawTP, false, []Rung{RawTP, Fentry, Kprobe, TPBTF, Tracepoint}},
		{"the wanted one only", all, RawTP, true, []Rung{RawTP}},
		{"not there", []Rung{RawTP, TPBTF}, Kprobe, false, []Rung{TPBTF, RawTP}},
		{"not there, strictly", []Rung{RawTP, TPBTF}, Kprobe, true, []Rung{TPBTF, RawTP}},
		{"none", nil, Auto, false, nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.order, order(tt.have, tt.want, tt.strict)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
