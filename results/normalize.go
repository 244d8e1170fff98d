// SPDX-License-Identifier: Apache-2.0

package results

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Bounds of the texts kept with a sample. A guest that prints for ever must
// not fill the disk.
const (
	MaxConsoleLines = 200      // half from the start, half from the end
	MaxConsoleText  = 1024     // bytes of one line
	MaxStderr       = 16 << 10 // bytes, from the end
	MaxOutput       = 64 << 10 // bytes of a program's output, half from the start, half from the end
	MaxCurve        = 10_000   // points; of more, every second, third … is kept
)

var sampleStatuses = []string{SampleOK, SampleFailed, SampleTimeout, SampleInterrupted}

// normalize returns the sample as it is stored: no nil lists, texts bounded and
// valid UTF-8, and what was not measured moved to Missing. It changes nothing
// that s points to.
func normalize(s Sample) (Sample, error) {
	if !slices.Contains(sampleStatuses, s.Status) {
		return s, fmt.Errorf("sample status %q is none of %s", s.Status, strings.Join(sampleStatuses, ", "))
	}
	for name := range s.Phases.ByName() {
		if _, taken := s.Values[name]; taken {
			return s, fmt.Errorf("value %q has the name of a phase: give it another name", name)
		}
	}
	s.Started = s.Started.UTC().Round(0)
	s.Taints = orEmpty(s.Taints)
	s.Missing = slices.Clone(orEmpty(s.Missing))
	s.Events = orEmpty(s.Events)
	if slices.ContainsFunc(s.Events, beforeZero) {
		for _, e := range s.Events {
			if beforeZero(e) {
				s.Missing = append(s.Missing, Missing{e.Name, fmt.Sprintf("its time was %d ns, before the clock's zero", e.NS)})
			}
		}
		s.Events = slices.DeleteFunc(slices.Clone(s.Events), beforeZero)
	}
	s.dropImpossible()
	s.boundConsole()
	s.boundOutputs()
	s.Claims = slices.Clone(s.Claims)
	for i := range s.Claims {
		c := &s.Claims[i]
		c.Text = strings.ToValidUTF8(c.Text[:min(len(c.Text), MaxConsoleText)], "\uFFFD")
		c.Reason = strings.ToValidUTF8(c.Reason, "\uFFFD")
	}
	s.Guests = slices.Clone(s.Guests)
	for i, g := range s.Guests {
		var err error
		if s.Guests[i], err = normalize(g); err != nil {
			return s, fmt.Errorf("guest %d: %w", i+1, err)
		}
	}
	s.Reason = strings.ToValidUTF8(s.Reason, "\uFFFD")
	s.Stderr = strings.ToValidUTF8(tail(s.Stderr, MaxStderr), "\uFFFD")
	return s, nil
}

func beforeZero(e Event) bool { return e.NS < 0 }

// dropImpossible takes out figures that cannot have been measured: values that
// are not numbers, and phases that are not longer than nothing. JSON has no
// word for the former, and the latter would pass for a measurement.
func (s *Sample) dropImpossible() {
	values := make(map[string]float64, len(s.Values))
	var gone []Missing
	for name, v := range s.Values {
		if notFinite(v) {
			gone = append(gone, Missing{name, fmt.Sprintf("the value was %v", v)})
			continue
		}
		values[name] = v
	}
	s.Values = values
	for _, p := range phases {
		if ns := p.of(&s.Phases); *ns != nil && **ns <= 0 {
			gone = append(gone, Missing{p.name, fmt.Sprintf("the phase came out as %d ns: its events are out of order", **ns)})
			*ns = nil
		}
	}
	slices.SortFunc(gone, func(a, b Missing) int { return cmp.Compare(a.Name, b.Name) })
	s.Missing = append(s.Missing, gone...)
}

// boundConsole keeps the first and the last lines: how a guest started and how
// it ended are what a person looks for.
func (s *Sample) boundConsole() {
	lines := s.Console
	if n := len(lines); n > MaxConsoleLines {
		half := MaxConsoleLines / 2
		s.ConsoleOmitted += uint64(n - MaxConsoleLines)
		lines = slices.Concat(lines[:half], lines[n-half:])
	} else {
		lines = slices.Clone(lines)
	}
	for i := range lines {
		text := lines[i].Text
		if len(text) > MaxConsoleText {
			text = text[:MaxConsoleText]
		}
		lines[i].Text = strings.ToValidUTF8(text, "\uFFFD")
	}
	s.Console = lines
}

// boundOutputs keeps beginning and end of what programs printed, and curves at a
// resolution that a person can see.
func (s *Sample) boundOutputs() {
	outputs := make(map[string]string, len(s.Outputs))
	for name, text := range s.Outputs {
		if cut := len(text) - MaxOutput; cut > 0 {
			text = fmt.Sprintf("%s\n[%d bytes left out]\n%s", text[:MaxOutput/2], cut, tail(text, MaxOutput/2))
		}
		outputs[name] = strings.ToValidUTF8(text, "\uFFFD")
	}
	curves := make(map[string][]Point, len(s.Curves))
	for name, points := range s.Curves {
		kept := make([]Point, 0, min(len(points), MaxCurve))
		every := (len(points) + MaxCurve - 1) / MaxCurve
		for i, p := range points {
			if i%every == 0 && !notFinite(p.Value) {
				kept = append(kept, p)
			}
		}
		curves[name] = kept
	}
	s.Outputs, s.Curves = outputs, curves
}

func tail(s string, n int) string {
	if len(s) > n {
		return s[len(s)-n:]
	}
	return s
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (r *Run) normalize() {
	r.Argv = orEmpty(r.Argv)
	r.Started = r.Started.UTC().Round(0)
	r.Finished = nil
	r.Status = RunRunning
}

func (h *Host) normalize() {
	h.Accelerators = orEmpty(h.Accelerators)
	for _, m := range []*map[string]string{&h.KVMParameters, &h.Versions} {
		if *m == nil {
			*m = map[string]string{}
		}
	}
	if h.Rungs == nil {
		h.Rungs = map[string]Rung{}
	}
}
