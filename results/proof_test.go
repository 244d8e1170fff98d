// SPDX-License-Identifier: Apache-2.0

package results

import (
	"strings"
	"testing"
)

// provenRun is a run of n boots whose proof holds.
func provenRun(n int) *File {
	claim := func(off, control int64, status string) Claim {
		return Claim{Name: referenceReady, Kind: "tsc", Status: status, OffNS: ns(off), ErrNS: ns(50_000), ControlNS: control}
	}
	cell := Cell{System: "reference"}
	for range n {
		cell.Samples = append(cell.Samples, Sample{Status: SampleOK, Claims: []Claim{
			claim(10_000, 0, ClaimAgrees), claim(-990_000, -1e6, ClaimOff), claim(1_010_000, 1e6, ClaimOff)}})
	}
	return &File{Cells: []Cell{cell, {System: "linux", Samples: []Sample{{Status: SampleOK, Claims: []Claim{claim(9e9, 0, ClaimOff)}}}}}}
}

func TestProof(t *testing.T) {
	claims := func(f *File, i int) []Claim { return f.Cells[0].Samples[i].Claims }
	tests := []struct {
		name  string
		spoil func(*File)
		err   string
	}{
		{"holds", func(*File) {}, ""},
		{"a reading that was preempted", func(f *File) { claims(f, 0)[0].Status, claims(f, 0)[0].OffNS = ClaimOff, ns(-400_000) }, ""},
		{"a failed sample is none", func(f *File) { f.Cells[0].Samples[0].Status, claims(f, 0)[0].OffNS = SampleFailed, ns(9e9) }, ""},
		{"a control that is missed once", func(f *File) { claims(f, 0)[1].Status = ClaimAgrees }, ""},
		{"did not run", func(f *File) { f.Cells[0].Samples = nil }, "it did not run"},
		{"the guest reads after it sends", func(f *File) { claims(f, 0)[0].Status, claims(f, 0)[0].OffNS = ClaimOff, ns(50_001) }, "mapped to a time after it"},
		{"not mapped", func(f *File) { claims(f, 1)[0].OffNS, claims(f, 1)[0].Reason = nil, "no offset" }, "cannot be mapped: no offset"},
		{"most were late", func(f *File) {
			for i := range 2 {
				claims(f, i)[0].Status, claims(f, i)[0].OffNS = ClaimOff, ns(-400_000)
			}
		}, "only 1 of 3 readings agree with the host: repeat with more samples, on a quieter machine"},
		{"no controls", func(f *File) {
			for i := range f.Cells[0].Samples {
				f.Cells[0].Samples[i].Claims = claims(f, i)[:1]
			}
		}, "there is no control"},
		{"controls within the error do not count", func(f *File) {
			for i := range 2 {
				claims(f, i)[2].Status, claims(f, i)[2].ErrNS = ClaimAgrees, ns(500_000)
			}
		}, ""},
		{"all controls within the error", func(f *File) {
			for i := range 3 {
				claims(f, i)[2].Status, claims(f, i)[2].ErrNS = ClaimAgrees, ns(500_000)
			}
		}, "try it on a quieter machine"},
		{"controls are not noticed", func(f *File) { claims(f, 0)[2].Status, claims(f, 1)[2].Status = ClaimAgrees, ClaimAgrees }, "wrong by 1ms is noticed in only 1 of 3 boots: repeat with more samples, on a quieter machine"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := provenRun(3)
			tt.spoil(f)
			got := Proof(f)
			if tt.err == "" {
				if got.Err != nil || !strings.HasPrefix(got.Text, "Proven: in ") {
					t.Errorf("%+v", got)
				}
				return
			}
			if got.Err == nil || got.Text != "" || !strings.Contains(got.Err.Error(), tt.err) {
				t.Errorf("%+v: want an error with %q", got, tt.err)
			}
		})
	}
}
