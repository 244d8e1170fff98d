// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ukprobe/ukprobe/internal/remotewrite"
	"github.com/ukprobe/ukprobe/internal/statuspage"
	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// runStatus is what /status.json says of a run. Durations are in nanoseconds, of medians
// the unit is at the end of the figure's name.
type runStatus struct {
	Version   string       `json:"version"`
	Run       string       `json:"run"`
	Status    string       `json:"status"` // running, or how it ended
	Started   time.Time    `json:"started"`
	Host      statusHost   `json:"host"`
	Done      int          `json:"steps_done"`
	Steps     int          `json:"steps"`
	Warmups   int          `json:"warmups,omitempty"`         // of steps
	Estimated bool         `json:"steps_estimated,omitempty"` // stopping rules may change them
	LeftNS    *int64       `json:"left_ns,omitempty"`         // estimated; absent if it cannot be yet
	Now       *statusNow   `json:"now,omitempty"`             // what is being booted
	Cells     []statusCell `json:"cells"`
}

type statusHost struct {
	Name         string   `json:"name"`
	Kernel       string   `json:"kernel"`
	CPU          string   `json:"cpu"`
	CPUs         int      `json:"cpus"`
	Accelerators []string `json:"accelerators"`
	Hypervisor   string   `json:"hypervisor,omitempty"`
}

type statusNow struct {
	Index   int       `json:"index"` // in cells
	Cell    string    `json:"cell"`
	Accel   string    `json:"accel"`
	Sample  int       `json:"sample"`
	Samples int       `json:"samples"`
	Warmup  bool      `json:"warmup,omitempty"`
	Since   time.Time `json:"since"`
}

type statusCell struct {
	Cell   string `json:"cell"`
	Accel  string `json:"accel"`
	Probes string `json:"probes,omitempty"`

	experiment string
	Status     string   `json:"status"` // "": not begun, or under way
	Reason     string   `json:"reason,omitempty"`
	OK         int      `json:"ok"`
	Bad        int      `json:"not_ok"`
	Asked      int      `json:"samples,omitempty"`
	Figure     string   `json:"figure,omitempty"`
	Median     *float64 `json:"median,omitempty"` // of the ok samples that count so far
	Min        *float64 `json:"min,omitempty"`
	Max        *float64 `json:"max,omitempty"`
	Last       *float64 `json:"last,omitempty"`
	Outcome    string   `json:"last_outcome,omitempty"`
}

// ledger keeps what a run's page says. It passes on what it is told, and may be told and
// asked by several goroutines. Whom it passes it on to may take its time, and as long as a
// terminal is stopped (Ctrl-S) all of it: the page answers meanwhile.
type ledger struct {
	next    orchestrate.Observer
	push    *remotewrite.Pusher // is told when something is measured; may be nil
	passing sync.Mutex          // one at a time is told; never taken within mu

	mu      sync.Mutex // of all below
	out     runStatus
	figures [][]float64 // by cell, sorted
}

func newLedger(next orchestrate.Observer) *ledger {
	return &ledger{next: next, out: runStatus{Version: Version(), Status: results.RunRunning, Cells: []statusCell{}}}
}

// Log implements orchestrate.Observer; also for goroutines beside the run.
func (s *ledger) Log(format string, args ...any) {
	s.pass(func() { s.next.Log(format, args...) })
}

// pass tells who is next.
func (s *ledger) pass(tell func()) {
	s.passing.Lock()
	defer s.passing.Unlock()
	tell()
}

// Begin implements orchestrate.Observer.
func (s *ledger) Begin(at orchestrate.Progress) {
	s.push.Begin()
	s.begin(at)
	s.pass(func() { s.next.Begin(at) })
}

func (s *ledger) begin(at orchestrate.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Done, s.out.Steps, s.out.Warmups, s.out.Estimated, s.out.LeftNS = at.Step-1, at.Steps, at.Warmups, at.Estimated, nil
	if at.Left >= 0 {
		left := at.Left.Nanoseconds()
		s.out.LeftNS = &left
	}
	s.out.Now = &statusNow{Index: at.Index, Cell: at.Cell, Accel: at.Accel, Sample: at.Sample, Samples: max(at.Samples, at.AtMost), Warmup: at.Warmup, Since: time.Now()}
}

var _ orchestrate.Watcher = (*ledger)(nil) // the live view needs what it passes on

// Seen implements orchestrate.Watcher, for who is told next: nothing is locked on the way.
func (s *ledger) Seen(t probe.Timeline) {
	if w, ok := s.next.(orchestrate.Watcher); ok {
		w.Seen(t)
	}
}

// End implements orchestrate.Observer.
func (s *ledger) End(at orchestrate.Progress, sample results.Sample) {
	s.end(at, &sample)
	s.push.End()
	s.pass(func() { s.next.End(at, sample) })
}

func (s *ledger) end(at orchestrate.Progress, sample *results.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Done = at.Step
	if !at.Warmup && at.Index < len(s.out.Cells) {
		s.add(at.Index, sample)
	}
}

// open takes in the run: its cells, and the samples of parts before.
func (s *ledger) open(f *results.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, _ := os.Hostname() // "" is not shown
	s.out.Run, s.out.Started = f.Run.ID, f.Run.Started
	s.out.Host = statusHost{Name: name, Kernel: f.Host.Kernel, CPU: f.Host.CPUModel, CPUs: f.Host.CPUs, Accelerators: f.Host.Accelerators, Hypervisor: f.Host.Hypervisor}
	s.figures = make([][]float64, len(f.Cells))
	for i := range f.Cells {
		c := &f.Cells[i]
		one := statusCell{Cell: c.Name(), Accel: c.Accel, Probes: c.Probes, experiment: c.Experiment, Status: c.Status, Reason: c.Reason}
		if c.Status == results.CellSkipped { // so far
			one.Status, one.Reason = "", ""
		}
		if c.Settings != nil {
			one.Asked = c.Settings.Samples
		}
		s.out.Cells = append(s.out.Cells, one)
		for j := range c.Samples {
			s.add(i, &c.Samples[j])
		}
	}
}

// close notes the run's end, and what became of its cells.
func (s *ledger) close(f *results.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Status, s.out.Now, s.out.LeftNS = f.Run.Status, nil, nil
	for i := range f.Cells {
		if i < len(s.out.Cells) {
			s.out.Cells[i].Status, s.out.Cells[i].Reason = f.Cells[i].Status, f.Cells[i].Reason
		}
	}
}

// add counts a sample.
func (s *ledger) add(cell int, sample *results.Sample) {
	c := &s.out.Cells[cell]
	c.Outcome = sample.Status
	counts, instead := place(sample, c.OK)
	switch {
	case !counts:
		return
	case sample.Status != results.SampleOK:
		c.Bad++
		return
	case !instead:
		c.OK++
	case c.Last != nil:
		at, _ := slices.BinarySearch(s.figures[cell], *c.Last)
		s.figures[cell] = slices.Delete(s.figures[cell], at, at+1)
	}
	c.Median, c.Min, c.Max, c.Last = nil, nil, nil, nil
	for _, figure := range results.MainFigures(c.experiment) {
		if v, ok := sample.Metric(figure); ok && (c.Figure == "" || figure == c.Figure) {
			at, _ := slices.BinarySearch(s.figures[cell], v)
			s.figures[cell] = slices.Insert(s.figures[cell], at, v)
			c.Figure, c.Last = figure, &v
			break
		}
	}
	if all := s.figures[cell]; len(all) > 0 {
		low, median, high := all[0], (all[(len(all)-1)/2]+all[len(all)/2])/2, all[len(all)-1]
		c.Min, c.Median, c.Max = &low, &median, &high
	}
}

// place says whether a sample counts, and whether it does so instead of the one before it,
// which was ok if there are such: of a disturbed sample and its repeats the last ok one
// counts, as in the table at the end ([results.Cell.Standing]).
func place(s *results.Sample, before int) (counts, instead bool) {
	if s.RepeatOf == 0 || before == 0 { // a run that is resumed may begin with a repeat
		return true, false
	}
	ok := s.Status == results.SampleOK
	return ok, ok
}

// snapshot is what /status.json says now.
func (s *ledger) snapshot() runStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.out
	out.Cells = slices.Clone(s.out.Cells)
	return out
}

// register adds the pages.
func (s *ledger) register(mux *http.ServeMux) {
	statuspage.Register(mux, 4, func() statuspage.Page { return s.snapshot().page() }, func() any { return s.snapshot() })
}

// page is the same for a person.
func (r runStatus) page() statuspage.Page {
	p := statuspage.Page{Title: "ukprobe run " + r.Run, Version: r.Version, Done: r.Done, Of: r.Steps,
		Links: []statuspage.Link{{Address: "/metrics", Text: "Metrics"}, {Address: "/status.json", Text: "JSON"}}}
	what, in := boots(r.Steps, r.Warmups)
	p.What = what + in
	switch {
	case r.Now != nil:
		p.Subtitle = fmt.Sprintf("Booting %s (%s), %s", r.Now.Cell, r.Now.Accel, r.Now.text())
		if r.LeftNS != nil {
			p.Subtitle += leftText(time.Duration(*r.LeftNS))
		}
	case r.Status == results.RunRunning:
		p.Subtitle = "The first sample is about to begin."
	default:
		p.Subtitle = "The run has ended: " + r.Status + "."
	}
	host := fmt.Sprintf("%d × %s", r.Host.CPUs, cmp.Or(r.Host.CPU, "unknown CPU"))
	for _, f := range []statuspage.Fact{{Name: "Host", Value: r.Host.Name}, {Name: "Kernel", Value: r.Host.Kernel}, {Name: "CPUs", Value: host},
		{Name: "Accelerators", Value: strings.Join(r.Host.Accelerators, ", ")}, {Name: "Below a hypervisor", Value: r.Host.Hypervisor},
		{Name: "Started", Value: r.Started.Local().Format("2006-01-02 15:04:05 MST")}} {
		if f.Value != "" {
			p.Facts = append(p.Facts, f)
		}
	}
	t := statuspage.Table{Caption: "Cells, with running medians", Figures: []int{1, 2, 3, 4, 6, 7, 8}, Empty: "No cells.",
		Columns: []string{"cell", "median", "last", "min", "max", "figure", "ok", "not ok", "of", "status"}}
	for i, c := range r.Cells {
		t.Rows = append(t.Rows, statuspage.Row{Now: r.Now != nil && r.Now.Index == i, Cells: []string{c.Cell,
			figureText(c.Figure, c.Median), figureText(c.Figure, c.Last), figureText(c.Figure, c.Min), figureText(c.Figure, c.Max), figureName(c.Figure),
			fmt.Sprint(c.OK), fmt.Sprint(c.Bad), fmt.Sprint(c.Asked), c.state()}})
	}
	p.Tables = []statuspage.Table{t}
	return p
}

// state says how far a cell is.
func (c statusCell) state() string {
	switch {
	case c.Reason != "":
		return c.Status + ": " + c.Reason
	case c.Status != "":
		return c.Status
	case c.OK+c.Bad == 0:
		return "to do"
	}
	return "under way"
}

// figureName is a figure's for people: its unit stands with the values.
func figureName(name string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(name, "_ns"), "_bytes"), "_", " ")
}

func (n statusNow) text() string {
	if n.Warmup {
		return "warm-up"
	}
	return fmt.Sprintf("sample %d of %d", n.Sample, n.Samples)
}

// figureText writes a figure in the unit that its name ends with.
func figureText(name string, v *float64) string {
	if v == nil {
		return ""
	}
	return units.Style{}.Quantity(name, *v)
}
