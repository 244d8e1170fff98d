// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkRuns compares two runs of 500 cells with 30 samples each.
func BenchmarkRuns(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 500))
	run := func(label string) Set {
		var cells []Cell
		for i := range 500 {
			values := make([]float64, 30)
			for j := range values {
				values[j] = float64(int(1e8 * (1 + 0.1*r.NormFloat64())))
			}
			c := cellOf("linux", values...)
			c.App = string(rune('a' + i))
			cells = append(cells, c)
		}
		return setOf(label, cells...)
	}
	x, y := run("a"), run("b")
	for b.Loop() {
		if rep, err := Runs(x, y, Options{}); err != nil || len(rep.Rows) != 500 {
			b.Fatal(err)
		}
	}
}
