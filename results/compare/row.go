// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/shape"
	"github.com/ukprobe/ukprobe/results/stats"
)

// Verdict says what a comparison has found.
type Verdict string

// The verdicts. [Same] is not that there is no difference: none was seen.
const (
	Improved  Verdict = "better"
	Worse     Verdict = "worse"
	Different Verdict = "different" // in a metric of which neither direction is better
	Same      Verdict = "no difference seen"
	TooFew    Verdict = "too few samples"
	Untested  Verdict = "not tested" // the figure is of all samples together
)

// Row is one metric of one cell on both sides.
type Row struct {
	Key            // of A's cell; without what differs, along an axis
	FromA  string  `json:"a_is,omitempty"` // along an axis: what A's cell is there
	FromB  string  `json:"b_is,omitempty"`
	Metric string  `json:"metric"`
	Better Better  `json:"better_is,omitempty"`
	A      Figures `json:"a"`
	B      Figures `json:"b"`
	// ChangePercent is by how much B is larger than A, with its interval: the median of the
	// ratios of all pairs of samples. Absent where A is 0.
	ChangePercent *float64    `json:"change_percent,omitempty"`
	ChangeCI95    *[2]float64 `json:"change_percent_ci95,omitempty"`
	// Ratio is the same as a factor: B's part of A. Absent where a value is not above 0.
	Ratio     *float64    `json:"ratio,omitempty"`
	RatioCI95 *[2]float64 `json:"ratio_ci95,omitempty"`
	// Shift is the same as a difference, in the metric's unit.
	Shift     *float64    `json:"shift,omitempty"`
	ShiftCI95 *[2]float64 `json:"shift_ci95,omitempty"`
	// Superiority is how often B's sample is the larger of a pair.
	Superiority     *float64    `json:"superiority,omitempty"`
	SuperiorityCI95 *[2]float64 `json:"superiority_ci95,omitempty"`
	P               *float64    `json:"p,omitempty"` // of this comparison alone
	PCorrected      *float64    `json:"p_corrected,omitempty"`
	ExactP          bool        `json:"p_exact,omitempty"`
	Verdict         Verdict     `json:"verdict"`
	// Beyond: it differs, and by more than the threshold, wherever in its interval the
	// change is; with a threshold of 0, it differs. Regression: for the worse.
	Beyond     bool     `json:"beyond_threshold"`
	Regression bool     `json:"regression"`
	Notes      []string `json:"notes,omitempty"`
}

// Figures are those of one side.
type Figures struct {
	N       int         `json:"n"`
	Beyond  int         `json:"beyond,omitempty"` // of N: timed out
	Median  *float64    `json:"median,omitempty"` // absent if it is a sample that timed out
	CI95    *[2]float64 `json:"ci95,omitempty"`
	Tainted int         `json:"tainted,omitempty"`
	shape.Shape
}

// row is a Row that is being made.
type row struct {
	Row
	a, b  []float64 // with an infinite value for each sample that timed out
	about []string  // what is to be said of its cells
	exact bool
}

func (m *matcher) rows(p pair) []*row {
	var out []*row
	for _, lost := range m.lost(p) {
		m.gone = true
		m.left = append(m.left, Left{Cell: p.b.String(), Reason: lost + ": no figures in " + m.labelB(), Broken: true})
	}
	for _, metric := range chosen(m.o.Metrics, p.a, p.b) {
		w := &row{Row: Row{Key: p.a.without(m.o.By), Metric: metric, Better: BetterOf(metric)}, exact: exact(p.a.Experiment)}
		if m.alongAxis() {
			w.FromA, w.FromB = p.a.axisValue(m.o.By), p.b.axisValue(m.o.By)
		}
		if p.a.Accel != p.b.Accel {
			w.Accel = orNone(p.a.Accel) + "→" + orNone(p.b.Accel)
		}
		sa, sb := p.a.Metrics[metric], p.b.Metrics[metric]
		w.a, w.b = w.usable("A", sa), w.usable("B", sb)
		if len(w.a) == 0 || len(w.b) == 0 {
			broken := len(w.a) > 0 && !m.one
			m.gone = m.gone || broken
			m.left = append(m.left, Left{Cell: p.b.String(), Reason: metric + ": " + strings.Join(w.Notes, "; "), Broken: broken})
			continue
		}
		w.A.Tainted, w.B.Tainted, w.about = p.a.Tainted, p.b.Tainted, m.aboutCells(p)
		if sa.Whole || sb.Whole {
			w.Verdict = Untested
		}
		out = append(out, w)
	}
	return out
}

// lost are the metrics that were asked for by their names and that only A has; if none was
// asked for, the main figure, where B has none of those that may be it.
func (m *matcher) lost(p pair) (out []string) {
	if m.one || m.alongAxis() {
		return nil
	}
	asked := m.o.Metrics
	if len(asked) == 0 {
		asked = results.MainFigures(p.a.Experiment)
	}
	for _, metric := range asked {
		_, inA := p.a.Metrics[metric]
		_, inB := p.b.Metrics[metric]
		switch {
		case inB && len(m.o.Metrics) == 0:
			return nil
		case inA && !inB:
			out = append(out, metric)
		}
	}
	return out
}

// usable are the values that can have been measured, and one for each that timed out.
func (w *row) usable(side string, s Series) []float64 {
	var out []float64
	wrong := 0
	for _, v := range s.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 && neverNegative(w.Metric) {
			wrong++
			continue
		}
		out = append(out, v)
	}
	if wrong > 0 {
		w.Notes = append(w.Notes, fmt.Sprintf("%d of %d values of %s are left out: they are negative or no numbers, which nothing measures", wrong, len(s.Values), side))
	}
	for range s.Beyond {
		out = append(out, math.Inf(1))
	}
	return out
}

func neverNegative(metric string) bool {
	return slices.ContainsFunc([]string{"_ns", "_bytes", "_per_second"}, func(end string) bool { return strings.HasSuffix(metric, end) })
}

func (w *row) figures(side string, values []float64, tainted int) Figures {
	f := Figures{N: len(values), Tainted: tainted}
	v := slices.Sorted(slices.Values(values))
	f.Beyond = len(v) - finite(v)
	if m := stats.Quantile(v, 0.5); !math.IsInf(m, 0) {
		f.Median = &m
	}
	if lo, hi, err := stats.MedianInterval(v); err == nil && !math.IsInf(hi, 0) {
		f.CI95 = &[2]float64{lo, hi}
	}
	if f.Beyond > 0 {
		w.Notes = append(w.Notes, fmt.Sprintf("%d of %d samples of %s timed out: they count as longer than all others", f.Beyond, f.N, side))
		return f
	}
	f.Shape = shape.Of(values)
	return f
}

func finite(sorted []float64) int {
	n := slices.IndexFunc(sorted, func(v float64) bool { return math.IsInf(v, 1) })
	if n < 0 {
		return len(sorted)
	}
	return n
}

// measureAll works out the rows, on all CPUs: of 500 cells it is nearly all of the time of a
// comparison.
func measureAll(rows []*row) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(rows)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(rows)); i = next.Add(1) - 1 {
				rows[i].measure()
			}
		})
	}
	workers.Wait()
}

// measure works out the two sides and compares them.
func (w *row) measure() {
	w.A, w.B = w.figures("A", w.a, w.A.Tainted), w.figures("B", w.b, w.B.Tainted)
	w.Notes = append(w.Notes, w.about...)
	w.compare()
}

// compare makes the tests and the sizes of the effect.
func (w *row) compare() {
	if w.A.Median != nil && w.B.Median != nil && *w.A.Median != 0 {
		ratio := *w.B.Median / *w.A.Median
		w.ChangePercent = percent(ratio)
		if *w.A.Median > 0 && ratio > 0 {
			w.Ratio = &ratio
		}
	}
	if w.Verdict == Untested || w.exact {
		return
	}
	if e, err := stats.Shift(w.a, w.b); err == nil { // no sample timed out
		w.Shift, w.ShiftCI95 = &e.Value, e.CI95
		w.relative()
	}
	w.dropOverflown()
	if e, err := stats.Superiority(w.a, w.b); err == nil {
		w.Superiority, w.SuperiorityCI95 = &e.Value, e.CI95
	}
	if stats.LeastP(len(w.a), len(w.b)) >= stats.Alpha { // there is nothing to test
		w.Verdict = TooFew
		return
	}
	if t, err := stats.MannWhitney(w.a, w.b); err == nil {
		w.P, w.ExactP = &t.P, t.Exact
	}
}

// relative is the change in percent: of ratios, or where a value is not above 0 of the
// shift in parts of A's median.
func (w *row) relative() {
	if e, err := stats.Ratio(w.a, w.b); err == nil {
		w.Ratio, w.RatioCI95 = &e.Value, e.CI95
		w.ChangePercent = percent(e.Value)
		if e.CI95 != nil {
			w.ChangeCI95 = &[2]float64{*percent(e.CI95[0]), *percent(e.CI95[1])}
		}
		return
	}
	w.ChangePercent, w.Ratio = nil, nil
	if base := math.Abs(*w.A.Median); base != 0 {
		w.ChangePercent = percent(1 + *w.Shift/base)
		if w.ShiftCI95 != nil {
			w.ChangeCI95 = &[2]float64{*percent(1 + w.ShiftCI95[0]/base), *percent(1 + w.ShiftCI95[1]/base)}
		}
	}
}

// dropOverflown takes out what is too large for a number: of absurd values, which are shown,
// there is no change in percent.
func (w *row) dropOverflown() {
	for _, e := range []struct {
		value **float64
		ci    **[2]float64
	}{{&w.Shift, &w.ShiftCI95}, {&w.ChangePercent, &w.ChangeCI95}, {&w.Ratio, &w.RatioCI95}} {
		if v := *e.value; v != nil && math.IsInf(*v, 0) {
			*e.value, *e.ci = nil, nil
		}
		if ci := *e.ci; ci != nil && (math.IsInf(ci[0], 0) || math.IsInf(ci[1], 0)) {
			*e.ci = nil
		}
	}
}

func percent(ratio float64) *float64 {
	p := 100 * (ratio - 1)
	return &p
}

// correct corrects the p values for their number, which it returns.
func correct(rows []*row, how string) int {
	var tested []*row
	var p []float64
	for _, w := range rows {
		if w.P != nil {
			tested, p = append(tested, w), append(p, *w.P)
		}
	}
	corrected := p
	switch how {
	case CorrectHolm:
		corrected = stats.Holm(p)
	case CorrectBH:
		corrected = stats.BenjaminiHochberg(p)
	}
	for i, w := range tested {
		w.PCorrected = &corrected[i]
	}
	return len(tested)
}

// factors are what the p value of each row would be multiplied by at least if it were the
// least that its number of samples allows. Holm's steps are those with a smaller p that were
// taken; Benjamini and Hochberg's factor is 1 if all others differ.
func factors(rows []*row, how string, comparisons int) []float64 {
	out := slices.Repeat([]float64{1}, len(rows))
	if how != CorrectHolm {
		return out
	}
	var taken []float64
	for _, w := range rows {
		if w.PCorrected != nil && *w.PCorrected < stats.Alpha {
			taken = append(taken, *w.P)
		}
	}
	slices.Sort(taken)
	for i, w := range rows {
		before, _ := slices.BinarySearch(taken, stats.LeastP(len(w.a), len(w.b)))
		out[i] = float64(comparisons - before)
	}
	return out
}

// judge gives the verdict. factor is the row's of [factors].
func (w *row) judge(threshold, factor float64) {
	switch {
	case w.Verdict != "":
		return
	case w.exact:
		if *w.A.Median == *w.B.Median {
			w.Verdict = Same
			return
		}
	case w.PCorrected == nil:
		w.Verdict = TooFew
		return
	case *w.PCorrected >= stats.Alpha:
		w.Verdict = Same
		if stats.LeastP(len(w.a), len(w.b))*factor >= stats.Alpha { // it could hardly have differed
			w.Verdict = TooFew
		}
		if *w.P < stats.Alpha {
			w.Notes = append(w.Notes, "alone it would differ; corrected for the number of comparisons it does not")
		}
		return
	}
	larger := w.larger()
	switch {
	case w.Better == Neither:
		w.Verdict = Different
	case larger == (w.Better == More):
		w.Verdict = Improved
	default:
		w.Verdict = Worse
	}
	// With ties the interval may hold 0 though the test sees a difference: without a
	// threshold the test alone decides.
	w.Beyond = threshold == 0 || w.leastChange(larger) > threshold
	w.Regression = w.Beyond && w.Verdict == Worse
}

// larger tells whether B is the larger one.
func (w *row) larger() bool {
	if w.exact {
		return *w.B.Median > *w.A.Median
	}
	return *w.Superiority > 0.5
}

// leastChange is how large the change is at least, in percent, without sign: the end of its
// interval that is nearer to none. Where samples timed out there is no interval, and it is
// that of the medians; where there is no percentage, any change is beyond every threshold.
func (w *row) leastChange(larger bool) float64 {
	switch {
	case w.ChangePercent == nil:
		return math.Inf(1)
	case w.ChangeCI95 == nil && larger:
		return *w.ChangePercent
	case w.ChangeCI95 == nil:
		return -*w.ChangePercent
	case larger:
		return w.ChangeCI95[0]
	}
	return -w.ChangeCI95[1]
}

// aboutCells says what the cells differ in beside the figures.
func (m *matcher) aboutCells(p pair) []string {
	var out []string
	var differ []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(names(p.a.Settings), names(p.b.Settings))))) {
		if !results.SettingApplies(p.a.Platform, p.a.Experiment, name) || !results.SettingApplies(p.b.Platform, p.b.Experiment, name) {
			continue // of one of the two it says nothing
		}
		if was, is := p.a.Settings[name], p.b.Settings[name]; was != is && (!m.alongAxis() || !ofSystem(name)) {
			differ = append(differ, fmt.Sprintf("%s %s and %s", name, cmp.Or(was, "nothing"), cmp.Or(is, "nothing")))
		}
	}
	if len(differ) > 0 {
		out = append(out, "settings differ, in A and in B: "+someOf(differ))
	}
	if !m.alongAxis() && p.a.Image != p.b.Image && p.a.Image != "" && p.b.Image != "" {
		text := "the image is another"
		if p.a.ImageVersion != p.b.ImageVersion {
			text += fmt.Sprintf(": version %q in A, %q in B", p.a.ImageVersion, p.b.ImageVersion)
		}
		out = append(out, text)
	}
	return out
}

// ofSystem are settings that follow from which system it is.
func ofSystem(setting string) bool {
	return setting == "ready" || setting == "args" || setting == "address"
}
