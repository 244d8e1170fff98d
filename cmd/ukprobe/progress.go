// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/results"
)

// progress tells a person how far a run is: a bar on a terminal, plain lines
// elsewhere. It writes to standard error; standard output is for results.
type progress struct {
	w        *os.File
	terminal bool
	quiet    bool
	bar      *progressbar.ProgressBar
}

func newProgress(w *os.File, quiet bool) *progress {
	return &progress{w: w, terminal: term.IsTerminal(int(w.Fd())), quiet: quiet}
}

// Log implements orchestrate.Observer.
func (p *progress) Log(format string, args ...any) {
	if p.quiet {
		return
	}
	p.clear()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// Begin implements orchestrate.Observer.
func (p *progress) Begin(at orchestrate.Progress) {
	if p.quiet || !p.terminal {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(at.Steps, progressbar.OptionSetWriter(p.w), progressbar.OptionSetWidth(20),
			progressbar.OptionSetPredictTime(false), progressbar.OptionShowCount(), progressbar.OptionThrottle(50*time.Millisecond))
	}
	p.bar.ChangeMax(at.Steps)
	p.bar.Describe(fmt.Sprintf("%s %s%s", at.Cell, sampleText(at), leftText(at.Left)))
	_ = p.bar.Set(at.Step - 1)
}

// End implements orchestrate.Observer.
func (p *progress) End(at orchestrate.Progress, s results.Sample) {
	if p.quiet {
		return
	}
	if p.terminal && s.Status == results.SampleOK {
		return
	}
	p.clear()
	fmt.Fprintf(p.w, "[%d/%s%d] %s (%s) %s: %s%s\n", at.Step, about(at), at.Steps, at.Cell, at.Accel, sampleText(at), sampleOutcome(at.Experiment, s), leftText(at.Left))
}

// sampleOutcome is what has become of a sample: its experiment's main figure, which of
// others than a boot's time is named.
func sampleOutcome(experiment string, s results.Sample) string {
	if s.Status != results.SampleOK {
		return s.Status + ": " + s.Reason
	}
	metric, v, ok := s.MainFigure(experiment)
	switch {
	case !ok:
		return s.Status
	case metric == "total_ns":
		return time.Duration(v).Round(10 * time.Microsecond).String()
	}
	return metric + " " + units.Style{}.Quantity(metric, v)
}

// Close ends the bar.
func (p *progress) Close() {
	p.clear()
	p.bar = nil
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// about marks a number of samples that stopping rules may change.
func about(at orchestrate.Progress) string {
	if at.Estimated {
		return "~"
	}
	return ""
}

func sampleText(at orchestrate.Progress) string {
	if at.Warmup {
		return "warm-up"
	}
	if at.AtMost > 0 {
		return fmt.Sprintf("%d/%d-%d", at.Sample, at.Samples, at.AtMost)
	}
	return fmt.Sprintf("%d/%d", at.Sample, at.Samples)
}

func leftText(d time.Duration) string {
	if d < 0 {
		return ""
	}
	return fmt.Sprintf(", about %v left", d.Round(time.Second))
}
