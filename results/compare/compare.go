// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/stats"
)

// Report is a comparison.
type Report struct {
	A  Side   `json:"a"`
	B  *Side  `json:"b,omitempty"` // nil: A's cells were held against each other
	By string `json:"by,omitempty"`
	// Threshold is in percent; Alpha the level of the corrected p values.
	Threshold   float64 `json:"threshold_percent"`
	Correction  string  `json:"correction"`
	Alpha       float64 `json:"alpha"`
	Comparisons int     `json:"comparisons"` // that p values were corrected for
	Rows        []Row   `json:"rows"`
	// Left are the cells that were not compared, with the reason.
	Left []Left `json:"not_compared"`
	// Warnings are of all rows: what a reader must know first.
	Warnings []string `json:"warnings"`
}

// Side is a run.
type Side struct {
	Label   string `json:"label"`
	Run     string `json:"run"`
	Version string `json:"version"` // of ukprobe
	Status  string `json:"status"`
}

// ErrNothing is wrapped if there is nothing that could be compared.
var ErrNothing = errors.New("nothing to compare")

// Runs compares the cells of two runs. That there is none to compare is an error which
// says what each has.
func Runs(a, b Set, o Options) (*Report, error) { return compare(a, &b, o) }

// Within compares cells of one run along an axis: system, platform or version. The first
// value in the run, or the base, is what others are held against.
func Within(a Set, o Options) (*Report, error) { return compare(a, nil, o) }

func compare(a Set, b *Set, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, &OptionError{err}
	}
	m := &matcher{one: b == nil, o: o, all: []Set{a}}
	switch {
	case b != nil && o.Base != "":
		return nil, &OptionError{errBaseOfTwo}
	case b != nil:
		m.all = append(m.all, *b)
		for _, d := range results.HostChanges(a.Host, b.Host) {
			m.hosts = append(m.hosts, d.String())
		}
	case o.By == "" || o.By == ByHost:
		return nil, &OptionError{errors.New("one run has nothing to be compared with: name another, or an axis within it (system, platform, version)")}
	}
	if err := m.take(); err != nil {
		return nil, &OptionError{err}
	}
	m.match()
	r := &Report{A: side(a), By: o.By, Threshold: o.Threshold, Correction: o.Correct, Alpha: stats.Alpha}
	if b != nil {
		s := side(*b)
		r.B = &s
	}
	var rows []*row
	for _, p := range m.pairs {
		rows = append(rows, m.rows(p)...)
	}
	measureAll(rows)
	r.Left = m.left // with the metrics that had no row
	if len(rows) == 0 && !m.gone {
		return nil, m.nothing()
	}
	r.Comparisons = correct(rows, o.Correct)
	factors := factors(rows, o.Correct, r.Comparisons)
	for i, w := range rows {
		w.judge(o.Threshold, factors[i])
		r.Rows = append(r.Rows, w.Row)
	}
	r.Warnings = slices.Concat(m.warn, m.aboutHosts(), m.aboutRuns(), m.aboutTaints(), aboutTests(rows), aboutSamples(rows, o.Correct != CorrectNone))
	return r, nil
}

func side(s Set) Side { return Side{Label: s.Label, Run: s.Run, Version: s.Version, Status: s.Status} }

// aboutHosts says that runs which were to be of two hosts are of one.
func (m *matcher) aboutHosts() []string {
	if m.o.By != ByHost || len(m.hosts) > 0 {
		return nil
	}
	return []string{"A and B are from the same host, or from two that are alike: kernel, CPU, KVM and all else that is known of both are the same"}
}

// aboutRuns is what differs between the runs and does not keep figures from being compared.
func (m *matcher) aboutRuns() []string {
	if m.one {
		return nil
	}
	var out []string
	for _, s := range []struct {
		name string
		Set
	}{{"A", m.a}, {"B", m.b}} {
		if s.Status != results.RunOK && s.Status != "" {
			out = append(out, fmt.Sprintf("the run of %s is %s: it may lack cells and samples", s.name, s.Status))
		}
	}
	if m.a.Version != m.b.Version {
		out = append(out, fmt.Sprintf("ukprobe %s measured A, %s measured B", m.a.Version, m.b.Version))
	}
	for _, program := range names(m.a.Host.Versions) {
		if v, both := m.b.Host.Versions[program]; both && v != m.a.Host.Versions[program] {
			out = append(out, fmt.Sprintf("%s: %s in A, %s in B", program, m.a.Host.Versions[program], v))
		}
	}
	if m.a.Run == m.b.Run && m.a.Run != "" {
		out = append(out, "A and B are the same run: its figures are compared with themselves")
	}
	return out
}

// aboutTests says that there was none: then no difference could be found, whatever there is.
func aboutTests(rows []*row) []string {
	if slices.ContainsFunc(rows, func(w *row) bool { return w.exact || w.Verdict != TooFew && w.Verdict != Untested }) {
		return nil
	}
	return []string{"nothing could be tested: that no difference is told says nothing"}
}

// aboutSamples says where more samples would be needed.
func aboutSamples(rows []*row, corrected bool) []string {
	few := 0
	for _, w := range rows {
		if w.Verdict == TooFew {
			few++
		}
	}
	if few == 0 {
		return nil
	}
	all, of := 1, "one comparison"
	if corrected { // with enough samples those would be tested as well
		all = few
		for _, w := range rows {
			if w.P != nil && w.Verdict != TooFew {
				all++
			}
		}
	}
	if all > 1 {
		of = fmt.Sprintf("%d comparisons, for which p is corrected", all)
	}
	need := 1
	for stats.LeastP(need, need)*float64(all) >= stats.Alpha {
		need++
	}
	return []string{fmt.Sprintf("%d of %d rows have too few samples to show a difference: it takes %d on each side for %s. Take more, or compare less with --only and --metric",
		few, len(rows), need, of)}
}

// aboutTaints counts the samples that something has disturbed; the rows have how many each.
func (m *matcher) aboutTaints() []string {
	count := func(cell func(pair) *Cell) (tainted, all int) {
		seen := map[*Cell]bool{}
		for _, p := range m.pairs {
			if c := cell(p); !seen[c] {
				seen[c] = true
				tainted, all = tainted+c.Tainted, all+c.Samples
			}
		}
		return tainted, all
	}
	ta, a := count(func(p pair) *Cell { return p.a })
	tb, b := count(func(p pair) *Cell { return p.b })
	if ta+tb == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d of %d samples of A and %d of %d of B are tainted; they count all the same", ta, a, tb, b)}
}

func (m *matcher) metricsAsked() []string {
	if len(m.o.Metrics) > 0 {
		return m.o.Metrics
	}
	var out []string
	for _, p := range m.pairs {
		for _, metric := range byDefault(p.a.Experiment) {
			if !slices.Contains(out, metric) {
				out = append(out, metric)
			}
		}
	}
	return out
}

// has lists the cells with figures.
func (s Set) has() string {
	var cells []string
	for _, c := range s.Cells {
		if c.measured() {
			cells = append(cells, c.String())
		}
	}
	if len(cells) == 0 {
		return s.Label + " has no cell with figures"
	}
	return s.Label + " has " + someOf(cells)
}

// Regressions are how many rows are regressions, and how many cells (or metrics of cells)
// have figures in A and none in B.
func (r *Report) Regressions() (rows, broken int) {
	for _, w := range r.Rows {
		if w.Regression {
			rows++
		}
	}
	for _, l := range r.Left {
		if l.Broken {
			broken++
		}
	}
	return rows, broken
}

// Differences are how many rows differ by more than the threshold, in any direction.
func (r *Report) Differences() int {
	n := 0
	for _, w := range r.Rows {
		if w.Beyond {
			n++
		}
	}
	return n
}
