// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"math"
	"strconv"

	"github.com/ukprobe/ukprobe/internal/units"
)

// far is from which factor on, or below which part, a change is told as a factor: in percent
// a thousandth is -99.9 %, and so is a five-thousandth to the eye.
const far = 2

func isFar(ratio float64) bool { return ratio >= far || ratio > 0 && ratio <= 1.0/far }

// size is how large a change is, with its interval: in percent, or as a factor.
func (p printer) size(percent float64, percents *[2]float64, ratio *float64, ratios *[2]float64) string {
	if ratio != nil && isFar(*ratio) {
		return p.factor(*ratio, ratios)
	}
	text := fmt.Sprintf("%+.1f %%", percent)
	if percents != nil {
		text += fmt.Sprintf(" [%+.1f, %+.1f]", percents[0], percents[1])
	}
	return text
}

// factor writes a ratio as what is multiplied or divided by. The ends of its interval have a
// sign of their own only where they are of both kinds; the smaller number is first.
func (p printer) factor(ratio float64, ci *[2]float64) string {
	text := p.sign(ratio) + apart(ratio)
	switch {
	case ci == nil:
		return text
	case (ci[0] < 1) != (ci[1] < 1):
		return fmt.Sprintf("%s [%s, %s]", text, p.sign(ci[0])+apart(ci[0]), p.sign(ci[1])+apart(ci[1]))
	case ratio < 1:
		return fmt.Sprintf("%s [%s, %s]", text, apart(ci[1]), apart(ci[0]))
	}
	return fmt.Sprintf("%s [%s, %s]", text, apart(ci[0]), apart(ci[1]))
}

func (p printer) sign(ratio float64) string {
	if ratio < 1 {
		return p.o.Pick("÷", "/")
	}
	return p.o.Pick("×", "x")
}

// apart is how many times the larger one is the smaller one.
func apart(ratio float64) string {
	if ratio < 1 {
		ratio = 1 / ratio
	}
	if ratio >= 1e6 {
		return strconv.FormatFloat(ratio, 'g', 3, 64)
	}
	return units.Number(ratio)
}

// geomean is the ratio of the geometric means of all rows' medians: benchstat's last row.
func geomean(rows []*Row) (ratio float64, ok bool) {
	sum := 0.0
	for _, w := range rows {
		if w.A.Median == nil || w.B.Median == nil || *w.A.Median <= 0 || *w.B.Median <= 0 {
			return 0, false
		}
		sum += math.Log(*w.B.Median) - math.Log(*w.A.Median)
	}
	ratio = math.Exp(sum / float64(len(rows)))
	return ratio, len(rows) > 1 && !math.IsInf(ratio, 1)
}

// geomean is that as a table has it, "" where there is none.
func (p printer) geomean(rows []*Row) string {
	ratio, ok := geomean(rows)
	if !ok {
		return ""
	}
	return p.size(*percent(ratio), nil, &ratio, nil)
}
