// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/suggest"
	"github.com/ukprobe/ukprobe/results"
)

// pair are two cells that are held against each other.
type pair struct{ a, b *Cell }

// Left is a cell that was not compared.
type Left struct {
	Cell   string `json:"cell"`
	Reason string `json:"reason"`
	// Broken: it has figures on side A and none on side B, whatever the reason.
	Broken bool `json:"broken,omitempty"`
	alone  bool // there is no other to hold it against
}

// matcher pairs the cells of two sets, or of one.
type matcher struct {
	all   []Set // what there is
	a, b  Set   // what of it was chosen; b is a if there is one set only
	one   bool  // there is one set only
	o     Options
	hosts []string // differences of the hosts
	pairs []pair
	left  []Left
	gone  bool     // of what B has, something has no figures any more
	warn  []string // without duplicates
}

// group are cells that differ in the axis and the accelerator only.
type group struct{ a, b []*Cell }

// take chooses the cells, and refuses a base that none of them has.
func (m *matcher) take() error {
	sets, err := Select(m.all, m.o.Only)
	if err != nil {
		return err
	}
	m.a, m.b = sets[0], sets[len(sets)-1]
	if m.o.Base == "" {
		return nil
	}
	var have []string
	for i := range m.a.Cells {
		if v := m.a.Cells[i].axisValue(m.o.By); v != "" && !slices.Contains(have, v) {
			have = append(have, v)
		}
	}
	if slices.Contains(have, m.o.Base) {
		return nil
	}
	there := "none has a " + m.o.By
	if len(have) > 0 {
		there = "there are: " + strings.Join(have, ", ")
	}
	return fmt.Errorf("base: no cell has %s %q%s (%s)", m.o.By, m.o.Base, suggest.DidYouMean(m.o.Base, have), there)
}

func (m *matcher) match() {
	groups := map[Key]*group{}
	var order []Key
	at := func(c *Cell) *group {
		k := c.without(m.o.By)
		k.Accel = ""
		if groups[k] == nil {
			groups[k] = &group{}
			order = append(order, k)
		}
		return groups[k]
	}
	for i := range m.a.Cells {
		g := at(&m.a.Cells[i])
		g.a = append(g.a, &m.a.Cells[i])
	}
	for i := range m.b.Cells {
		g := at(&m.b.Cells[i])
		g.b = append(g.b, &m.b.Cells[i])
	}
	for _, k := range order {
		if m.one {
			m.within(groups[k].a)
		} else {
			m.between(groups[k])
		}
	}
}

// within holds the cells of one run against that of them which is the base.
func (m *matcher) within(cells []*Cell) {
	cells = slices.DeleteFunc(slices.Clone(cells), func(c *Cell) bool { return !c.measured() })
	if len(cells) == 0 {
		return
	}
	base := cells[0].axisValue(m.o.By)
	if m.o.Base != "" {
		base = m.o.Base
	}
	var g group
	for _, c := range cells {
		if c.axisValue(m.o.By) == base {
			g.a = append(g.a, c)
		} else {
			g.b = append(g.b, c)
		}
	}
	switch {
	case len(g.a) == 0:
		m.leave(g.b, fmt.Sprintf("no %s %s has it", m.o.By, base), false)
	case len(g.b) == 0:
		m.leave(g.a, "no other "+m.o.By+" has it", false)
	default:
		m.between(&g)
	}
}

// between pairs each cell of B with those of A. Those with the same accelerator go first.
func (m *matcher) between(g *group) {
	used := map[*Cell]bool{}
	for _, b := range g.b {
		var same, others []*Cell
		for _, a := range g.a {
			switch {
			case m.alongAxis() && a.axisValue(m.o.By) == b.axisValue(m.o.By):
			case a.Accel == b.Accel:
				same = append(same, a)
			default:
				others = append(others, a)
			}
		}
		if len(same) == 0 {
			same = others
		}
		for _, a := range same {
			used[a], used[b] = true, true
			m.consider(a, b, !slices.ContainsFunc(g.b, func(c *Cell) bool { return c.Accel == a.Accel }))
		}
	}
	unused := func(c *Cell) bool { return c.measured() && !used[c] }
	for _, a := range g.a {
		if unused(a) {
			m.lonely(a, g.b, m.onlyIn(m.a), !m.one)
		}
	}
	for _, b := range g.b {
		if unused(b) {
			m.lonely(b, g.a, m.onlyIn(m.b), false)
		}
	}
}

// lonely leaves a cell that none of the other side's was held against. Along an axis there may
// be some with the same value, with which nothing is wrong.
func (m *matcher) lonely(c *Cell, others []*Cell, why string, broken bool) {
	value, measured := c.axisValue(m.o.By), 0
	same := m.alongAxis()
	for _, other := range others {
		if other.measured() {
			measured++
			same = same && other.axisValue(m.o.By) == value
		}
	}
	if same && measured > 0 {
		m.left = append(m.left, Left{Cell: c.String(), Reason: sameValue(m.o.By, value)})
		return
	}
	m.left = append(m.left, Left{Cell: c.String(), Reason: why, Broken: broken, alone: true})
}

// sameValue says that both sides have it.
func sameValue(by, value string) string {
	switch {
	case by == ByVersion && value == "":
		return "neither image has a version"
	case by == ByVersion:
		return "the images have the same version, " + value
	}
	return fmt.Sprintf("the %s is the same, %s", by, value)
}

func (m *matcher) onlyIn(s Set) string {
	if m.alongAxis() {
		return "nothing to compare it with along " + m.o.By
	}
	return "only in " + s.Label
}

// alongAxis: cells are paired that differ in something.
func (m *matcher) alongAxis() bool { return m.o.By != "" && m.o.By != ByHost }

func (m *matcher) leave(cells []*Cell, why string, broken bool) {
	for _, c := range cells {
		m.left = append(m.left, Left{Cell: c.String(), Reason: why, Broken: broken, alone: true})
	}
}

// measured tells whether there is a figure of the cell.
func (c *Cell) measured() bool { return len(c.Metrics) > 0 }

// consider pairs two cells if they may be. alone: B has no cell with the accelerator of A's.
func (m *matcher) consider(a, b *Cell, alone bool) {
	if !a.measured() || !b.measured() {
		m.missing(a, b)
		return
	}
	for _, d := range m.obstacles(a, b) {
		if !m.o.across(d.what) {
			m.left = append(m.left, Left{Cell: b.String(), Reason: fmt.Sprintf("%s: with --across %s they are compared all the same", d.text, d.what),
				Broken: d.what == AcrossAccel && alone && !m.one})
			return
		}
	}
	for _, d := range m.obstacles(a, b) {
		m.warning(d.text)
	}
	m.pairs = append(m.pairs, pair{a, b})
}

// missing says of a cell that one side has no figures of why not. Where neither was to have
// any, nothing needs to be said. Along an axis, what does not exist of B's value did not break.
func (m *matcher) missing(a, b *Cell) {
	tried := func(c *Cell) bool { return c.Status == results.CellOK || c.Status == results.CellFailed }
	switch {
	case a.measured():
		broken := !m.alongAxis() || b.Status != results.CellUnsupported
		m.gone = m.gone || broken
		m.left = append(m.left, Left{Cell: b.String(), Reason: fmt.Sprintf("no figures in %s: %s", m.labelB(), state(b)), Broken: broken})
	case b.measured():
		m.left = append(m.left, Left{Cell: b.String(), Reason: fmt.Sprintf("no figures in %s: %s", m.a.Label, state(a))})
	case tried(a) || tried(b):
		m.left = append(m.left, Left{Cell: b.String(), Reason: "no figures on either side: " + state(b)})
	}
}

func (m *matcher) labelB() string {
	if m.one {
		return m.a.Label
	}
	return m.b.Label
}

func state(c *Cell) string {
	if c.Reason != "" {
		return c.Status + ", " + c.Reason
	}
	return c.Status
}

func (m *matcher) warning(text string) {
	if !slices.Contains(m.warn, text) {
		m.warn = append(m.warn, text)
	}
}

// obstacle is what figures differ in that do not compare.
type obstacle struct{ what, text string }

func (m *matcher) obstacles(a, b *Cell) []obstacle {
	var out []obstacle
	if a.Accel != b.Accel {
		out = append(out, obstacle{AcrossAccel, fmt.Sprintf("accelerators differ: %s and %s", orNone(a.Accel), orNone(b.Accel))})
	}
	if exact(a.Experiment) { // of files, wherever they are
		return out
	}
	if len(m.hosts) > 0 {
		out = append(out, obstacle{AcrossHost, "hosts differ: " + someOf(m.hosts)})
	}
	if d := rungs(a, b, m.a.Host, m.b.Host); len(d) > 0 {
		out = append(out, obstacle{AcrossRung, "rungs differ: " + someOf(d)})
	}
	return out
}

func orNone(accel string) string {
	if accel == "" {
		return "none"
	}
	return accel
}

// someOf are the first few of many.
func someOf(list []string) string {
	const most = 4
	if len(list) > most {
		return fmt.Sprintf("%s; and %d more", strings.Join(list[:most], "; "), len(list)-most)
	}
	return strings.Join(list, "; ")
}

// rungs names the events that both cells have from different rungs, and the hooks that
// counted at different ones.
func rungs(a, b *Cell, hostA, hostB results.Host) []string {
	var out []string
	for _, event := range names(a.Rungs) {
		if other, both := b.Rungs[event]; both && other != a.Rungs[event] {
			out = append(out, fmt.Sprintf("%s by %s and by %s", event, a.Rungs[event], other))
		}
	}
	if a.Probes == results.ProbesNone {
		return out
	}
	for _, hook := range names(hostA.Rungs) {
		r, other := hostA.Rungs[hook].Rung, hostB.Rungs[hook].Rung
		if r != "" && other != "" && r != other {
			out = append(out, fmt.Sprintf("hook %s at %s and at %s", hook, r, other))
		}
	}
	return out
}
