// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"math/rand/v2"

	"github.com/ukprobe/ukprobe/internal/paired"
	"github.com/ukprobe/ukprobe/results"
)

// MinRounds is the fewest rounds from which an interval is made, and of which a
// figure is kept.
const MinRounds = results.OverheadMinRounds

// compare makes the cost of on against off, whose values are by round.
func compare(off, on []float64, r *rand.Rand) results.OverheadCost {
	d := paired.Compare(off, on, r)
	c := results.OverheadCost{MedianNs: paired.Median(on), Ratio: &d.Ratio.Value, ExtraNs: &d.Extra.Value}
	if min(len(off), len(on)) >= MinRounds {
		c.RatioCI95, c.ExtraCI95 = &[2]float64{d.Ratio.Lo, d.Ratio.Hi}, &[2]float64{d.Extra.Lo, d.Extra.Hi}
	}
	return c
}
