// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"math"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/internal/only"
)

func TestParseThreshold(t *testing.T) {
	for text, want := range map[string]float64{"5%": 5, "5": 5, "2.5 %": 2.5, "0": 0, "0.5%": 0.5, "1e1": 10, "200%": 200} {
		if got, err := ParseThreshold(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"": "no percentage", "%": "no percentage", "five": "no percentage", "NaN": "no percentage", "Inf%": "no percentage",
		"-5%": "without a sign", "0.05": "Write 0.05% or 5%", "5%%": "no percentage", "0x5": "no percentage", "1_0": "no percentage"} {
		if _, err := ParseThreshold(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSelect(t *testing.T) {
	a, b := setOf("a", cellOf("linux", 1), cellOf("osv", 1)), setOf("b", cellOf("linux", 1), cellOf("unikraft", 1))
	a.Cells[1].Variant = "image=x/parallel=2"
	for text, want := range map[string][2]int{
		"system=linux": {1, 1}, "system=linux|osv": {2, 1}, "system=unikraft": {0, 1}, "accel = kvm": {2, 2},
		"probes=boot,variant=": {1, 2}, "image=x": {1, 0}, "image=": {1, 2},
	} {
		sel, err := only.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Select([]Set{a, b}, []only.Selector{sel})
		if err != nil {
			t.Fatal(err)
		}
		if n := [2]int{len(got[0].Cells), len(got[1].Cells)}; n != want || len(a.Cells) != 2 {
			t.Errorf("%q: %v, want %v", text, n, want)
		}
	}
	sel, err := only.Parse("system=linx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Select([]Set{a, b}, []only.Selector{sel}); err == nil || !strings.Contains(err.Error(), `no cell has system "linx"; did you mean "linux"? (there are: linux, osv, unikraft)`) {
		t.Error(err)
	}
}

// FuzzParse: what people and scripts write is understood or refused, and what is understood
// is within bounds.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"5%", "-1", "NaN", "0.05", "1e999", "[", "*_ns", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := ParseThreshold(text); err == nil && (!(v >= 0) || math.IsInf(v, 0)) {
			t.Errorf("threshold %q: %v", text, v)
		}
		if ParseMetric(text) == nil {
			matchesAny([]string{text}, "total_ns")
		}
	})
}
