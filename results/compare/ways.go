// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/shell"
	"github.com/ukprobe/ukprobe/results/report"
)

// way is other options with which there is something to compare.
type way struct {
	o     Options
	count int // pairs of cells
	first pair
}

// ways are what would compare something where the options do not: of each axis, the asked one
// first, with as little else changed as does it.
func (m *matcher) ways() []way {
	axes := []string{BySystem, ByPlatform, ByVersion}
	if !m.one {
		axes = slices.Insert(axes, 0, "")
	}
	if m.o.By != ByHost {
		axes = slices.DeleteFunc(axes, func(by string) bool { return by == m.o.By })
		axes = slices.Insert(axes, 0, m.o.By)
	}
	var out []way
	for _, by := range axes {
		o := m.o
		if o.By = by; by != m.o.By {
			o.Base = ""
		}
		if w, found := m.wayAlong(o); found {
			out = append(out, w)
		}
	}
	const most = 3
	return out[:min(most, len(out))]
}

// wayAlong looks along an axis: across more and more, then without a base, then with all cells,
// then with the main figures.
func (m *matcher) wayAlong(o Options) (way, bool) {
	looser := []Options{o}
	for _, l := range []struct {
		asked bool
		drop  func(*Options)
	}{
		{o.Base != "", func(o *Options) { o.Base = "" }},
		{len(o.Only) > 0, func(o *Options) { o.Only = nil }},
		{len(o.Metrics) > 0, func(o *Options) { o.Metrics = nil }},
	} {
		if l.asked {
			l.drop(&o)
			looser = append(looser, o)
		}
	}
	for _, o := range looser {
		for _, o.Across = range acrossSets() {
			if w, found := m.try(o); found {
				return w, true
			}
		}
	}
	return way{}, false
}

// acrossSets are all that can be asked for of --across, the least first.
func acrossSets() [][]string {
	var out [][]string
	for set := range 1 << len(AcrossValues) {
		var across []string
		for i, what := range AcrossValues {
			if set&(1<<i) != 0 {
				across = append(across, what)
			}
		}
		out = append(out, across)
	}
	slices.SortStableFunc(out, func(a, b []string) int { return len(a) - len(b) })
	return out
}

func (m *matcher) try(o Options) (way, bool) {
	other := &matcher{one: m.one, o: o, hosts: m.hosts, all: m.all}
	if other.take() != nil {
		return way{}, false
	}
	other.match()
	w := way{o: o}
	for _, p := range other.pairs {
		if len(chosen(o.Metrics, p.a, p.b)) == 0 {
			continue
		}
		if w.count++; w.count == 1 {
			w.first = p
		}
	}
	return w, w.count > 0
}

// flags are those of the command, as they are typed.
func (w way) flags() string {
	var out []string
	add := func(flag string, values ...string) {
		for _, v := range values {
			if v != "" {
				out = append(out, flag+" "+shell.Quote(v))
			}
		}
	}
	add("--by", w.o.By)
	add("--base", w.o.Base)
	add("--across", strings.Join(w.o.Across, ","))
	for _, s := range w.o.Only {
		add("--only", s.String())
	}
	add("--metric", w.o.Metrics...)
	return strings.Join(out, " ")
}

// tell is what somebody can do, given what was asked for.
func (w way) tell(asked Options) string {
	var dropped, parts []string
	for _, d := range []struct {
		flag string
		is   bool
	}{
		{"--by", asked.By != "" && w.o.By == ""}, {"--base", asked.Base != "" && w.o.Base == ""},
		{"--only", len(asked.Only) > len(w.o.Only)}, {"--metric", len(asked.Metrics) > len(w.o.Metrics)},
	} {
		if d.is {
			dropped = append(dropped, d.flag)
		}
	}
	if flags := w.flags(); flags != "" {
		parts = append(parts, "with "+flags)
	}
	if len(dropped) > 0 {
		parts = append(parts, "without "+strings.Join(dropped, " and "))
	}
	what := fmt.Sprintf("%d pairs of cells", w.count)
	if w.count == 1 {
		what = "1 pair of cells"
	}
	return fmt.Sprintf("%s (%s, as %s)", strings.Join(parts, " and "), what, w.first.name(w.o.By))
}

// name is what a pair is called.
func (p pair) name(by string) string {
	if by == "" || by == ByHost {
		return p.a.String()
	}
	row := Row{Key: p.a.without(by), FromA: p.a.axisValue(by), FromB: p.b.axisValue(by)}
	return row.name()
}

// nothing is the error that there is nothing to compare: why, what each side has, and with
// which flags there would be something.
func (m *matcher) nothing() error {
	what, why := "", m.why()
	switch {
	case len(m.pairs) > 0:
		why = []string{fmt.Sprintf("the cells are the same, but no metric of these is in both: %s: --metric all shows which there are", strings.Join(m.metricsAsked(), ", "))}
	case m.alongAxis():
		what = " along " + m.o.By
	case m.one:
	default:
		what = ": A and B have nothing in common"
		why = slices.Insert(why, 0, m.a.has(), m.b.has())
	}
	text := strings.Join(why, "; ")
	var others []string
	for _, w := range m.ways() {
		others = append(others, w.tell(m.o))
	}
	if len(others) > 0 {
		text += ". There is something to compare " + strings.Join(others, "; or ")
	}
	return fmt.Errorf("%w%s: %s", ErrNothing, what, report.Options{}.Clean(text)) // guests' words may be in it
}

// why are the reasons for which cells were left, without those that only say that there is
// no other.
func (m *matcher) why() []string {
	var out []string
	for _, l := range m.left {
		if !l.alone && !slices.Contains(out, l.Reason) {
			out = append(out, l.Reason)
		}
	}
	if len(out) > 0 {
		return []string{someOf(out)}
	}
	if !m.alongAxis() {
		return nil
	}
	if !slices.ContainsFunc(slices.Concat(m.a.Cells, m.b.Cells), func(c Cell) bool { return c.measured() }) {
		return []string{"no cell has figures"}
	}
	return []string{fmt.Sprintf("no two cells differ in %s alone", axisWords[m.o.By])}
}

// axisWords are what cells differ in along an axis.
var axisWords = map[string]string{BySystem: "their system", ByPlatform: "their platform", ByVersion: "the version of their image"}
