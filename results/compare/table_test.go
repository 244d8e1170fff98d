// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/results/report"
)

// TestWidths: on a device of any width no line is wider, and nothing is lost on the way.
func TestWidths(t *testing.T) {
	r := sample(t)
	for width, file := range map[int]string{40: "compare_40.txt", 60: "", 80: "compare_80.txt", 100: "", 200: ""} {
		for _, o := range []report.Options{{Width: width}, {Width: width, ASCII: true}, {Width: width, Color: true}} {
			var out bytes.Buffer
			if err := r.Term(&out, o); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if n := text.StringWidthWithoutEscSequences(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%d columns of %d: %q", n, width, line)
				}
			}
			words := strings.Join(strings.Fields(text.StripEscape(out.String())), " ")
			for _, w := range []string{"[+18.9, +23.2]", "+2.1 %", "[+0.7, +5.1]", "p=0.705", "n=30+28", "geomean", "3.97", "5.00 %"} {
				if !strings.Contains(words, w) {
					t.Errorf("%d columns: no %s in\n%s", width, w, out.String())
				}
			}
			if file != "" && !o.ASCII && !o.Color {
				golden.Check(t, file, out.String())
			}
		}
	}
}

// TestUnknownWidth: what a program reads line by line has a line for each row.
func TestUnknownWidth(t *testing.T) {
	var out bytes.Buffer
	if err := sample(t).Term(&out, report.Options{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "p=0.002 n=30    worse, perhaps within 5.00 %\n") {
		t.Error(out.String())
	}
}
