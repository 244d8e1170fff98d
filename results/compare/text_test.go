// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/report"
)

// sample is a comparison with one of each kind.
func sample(t *testing.T) *Report {
	t.Helper()
	r := rand.New(rand.NewPCG(6, 6))
	noisy := func(n int, level float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = level * (1 + 0.02*r.NormFloat64())
		}
		return out
	}
	two := append(noisy(20, 4e7), noisy(10, 8e7)...)
	r.Shuffle(len(two), func(i, j int) { two[i], two[j] = two[j], two[i] })
	web := func(level float64) Cell {
		c := cellOf("osv|x", 1)
		c.Experiment, c.Metrics = "throughput", map[string]Series{"requests_per_second": {Values: noisy(12, level)}}
		return c
	}
	gone := cellOf("gone", 1, 2, 3)
	broken := cellOf("broken")
	broken.Status, broken.Reason, broken.Metrics = results.CellFailed, "no console", nil
	few := cellOf("few", noisy(3, 1e6)...)
	tainted := cellOf("linux", noisy(30, 1e8)...)
	tainted.Tainted, tainted.Samples = 4, 30
	a := setOf("monday", tainted, cellOf("same", noisy(30, 1e8)...), cellOf("osv", noisy(30, 4e7)...), web(5000), few, gone, cellOf("broken", noisy(10, 1)...))
	b := setOf("tuesday", cellOf("linux", noisy(30, 1.1e8)...), cellOf("same", noisy(28, 1e8)...), cellOf("osv", two...), web(6000), few, broken)
	a.Cells, b.Cells = append(a.Cells, cellOf("fast", noisy(10, 4.8e9)...)), append(b.Cells, cellOf("fast", noisy(10, 4.24e6)...))
	b.Version, b.Status = "2", results.RunInterrupted
	rep, err := Runs(a, b, Options{Threshold: 5})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestText(t *testing.T) {
	r := sample(t)
	var utf8, ascii, markdown bytes.Buffer
	for _, err := range []error{
		r.Term(&utf8, report.Options{Width: 130}), r.Term(&ascii, report.Options{Width: 80, ASCII: true}), r.Markdown(&markdown),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.ContainsRune(ascii.String(), '?') {
		t.Errorf("words are lost:\n%s", ascii.String())
	}
	if strings.ContainsFunc(ascii.String(), func(c rune) bool { return c > 126 }) {
		t.Errorf("not only ASCII:\n%s", ascii.String())
	}
	golden.Check(t, "compare_utf8.txt", utf8.String())
	golden.Check(t, "compare.md", markdown.String())
}
