// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"math"
	"strings"
	"testing"
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
	s := setOf("dir", cellOf("linux", 1), cellOf("osv", 1), cellOf("unikraft", 1))
	for text, want := range map[string]int{"system=linux": 1, "system=linux|osv": 2, "system=osv,app=hello": 1, "accel = kvm": 3, "probes=boot,variant=": 3} {
		sel, err := ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Select([]Selector{sel}); err != nil || len(got.Cells) != want || sel.String() != text {
			t.Errorf("%q: %v, %v", text, got.Cells, err)
		}
	}
	for text, want := range map[string]string{
		"system=linx": `dir: no cell has system "linx"; did you mean "linux"? (there are: linux, osv, unikraft)`,
		"sytem=linux": `unknown key "sytem"; did you mean "system"?`, "": "not of the form key=value", "app=": "an empty value",
		"app=a,app=b": "app comes twice",
	} {
		sel, err := ParseSelector(text)
		if err == nil {
			_, err = s.Select([]Selector{sel})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzParse: what people and scripts write is understood or refused, and what is understood
// is within bounds.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"5%", "-1", "NaN", "0.05", "1e999", "system=linux|osv,app=nginx", "a=b", "=", "[", "*_ns", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := ParseThreshold(text); err == nil && (!(v >= 0) || math.IsInf(v, 0)) {
			t.Errorf("threshold %q: %v", text, v)
		}
		if sel, err := ParseSelector(text); err == nil {
			if len(sel.values) == 0 {
				t.Errorf("selector %q picks by nothing", text)
			}
			_, _ = setOf("x", cellOf("linux", 1)).Select([]Selector{sel})
		}
		if ParseMetric(text) == nil {
			matchesAny([]string{text}, "total_ns")
		}
	})
}
