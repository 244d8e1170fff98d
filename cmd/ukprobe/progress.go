// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/report"
)

// progress tells a person how far a run is. It writes to standard error; standard
// output is for results.
type progress interface {
	orchestrate.Observer
	Close()
}

// newProgress is a live view on a terminal, plain lines elsewhere, and nothing if quiet.
func newProgress(w *os.File, quiet bool) progress {
	switch {
	case quiet:
		return noProgress{}
	case isTerminal(w):
		return newBoard(w)
	}
	return plainLines{w}
}

// isTerminal tells whether lines can be redrawn in place.
func isTerminal(w *os.File) bool {
	return term.IsTerminal(int(w.Fd())) && os.Getenv("TERM") != "dumb"
}

// noProgress says nothing.
type noProgress struct{ orchestrate.Quiet }

// Close implements progress.
func (noProgress) Close() {}

// plainLines has a line for each sample.
type plainLines struct{ w *os.File }

// Log implements orchestrate.Observer.
func (p plainLines) Log(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// Begin implements orchestrate.Observer.
func (plainLines) Begin(orchestrate.Progress) {}

// End implements orchestrate.Observer.
func (p plainLines) End(at orchestrate.Progress, s results.Sample) {
	fmt.Fprintln(p.w, finishedLine(at, s, streamUnits(p.w)))
}

// Close implements progress.
func (plainLines) Close() {}

// finishedLine says what has become of a sample.
func finishedLine(at orchestrate.Progress, s results.Sample, u units.Style) string {
	return fmt.Sprintf("[%d/%s%d] %s (%s) %s: %s%s", at.Step, about(at), at.Steps, at.Cell, at.Accel, sampleText(at), sampleOutcome(at.Experiment, s, u), leftText(at.Left))
}

// sampleOutcome is what has become of a sample: its experiment's main figure, which of
// others than a boot's time is named, or the reason why there is none.
func sampleOutcome(experiment string, s results.Sample, u units.Style) string {
	if s.Status != results.SampleOK {
		return s.Status + ": " + s.Reason
	}
	return outcomeWord(experiment, s, u)
}

// outcomeWord is a sample's main figure, or its status.
func outcomeWord(experiment string, s results.Sample, u units.Style) string {
	metric, v, ok := s.MainFigure(experiment)
	switch {
	case s.Status != results.SampleOK || !ok:
		return s.Status
	case metric == "total_ns":
		return u.Duration(v)
	}
	return metric + " " + u.Quantity(metric, v)
}

// streamOptions are how a stream wants to be written to: standard output or error.
func streamOptions(w *os.File) report.Options {
	width, _, err := term.GetSize(int(w.Fd()))
	terminal := err == nil
	if !terminal {
		width = 0
	}
	return report.OptionsFor(os.Getenv, terminal, width)
}

func streamUnits(w *os.File) units.Style { return units.Style{ASCII: streamOptions(w).ASCII} }

// about marks a number of samples that stopping rules may change.
func about(at orchestrate.Progress) string {
	if at.Estimated {
		return "~"
	}
	return ""
}

// boots is what a number of steps is of: of a run that warms up not only samples. in is the
// parts apart, "" if all are samples.
func boots(of, warmups int) (what, in string) {
	if warmups == 0 {
		return "samples", ""
	}
	return "boots", fmt.Sprintf(" (%d samples and %d warm-ups)", of-warmups, warmups)
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
	return fmt.Sprintf(", about %v left", units.Left(d))
}
