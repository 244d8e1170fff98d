// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"fmt"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/claim"
	"github.com/ukprobe/ukprobe/probe"
)

// Validation is what the experiment timing-validation adds to a boot: the guest's
// clock is watched, and what the guest said of its own time is judged. A nil
// Validation does nothing.
type Validation struct {
	Patterns []claim.Pattern // of the matrix, beside the built-in ones
	// Controls adds, for each claim by TSC, the same claim under a mapping that is
	// wrong by a known amount: a method that finds nothing there proves nothing.
	Controls bool
	// KVM: the guest runs under it. Only then is its TSC offset known.
	KVM bool
}

// Verdict is a claim's verdict as a sample yields it.
type Verdict struct {
	claim.Verdict
	Mapping string        // how the guest's TSC was mapped, for people
	Control time.Duration // not 0: a control, mapped wrongly by this much
}

// controlShifts are the errors that the controls have.
var controlShifts = []time.Duration{-time.Millisecond, time.Millisecond}

// ClockWatch is a Watch that knows the guest's clock; *probe.Watch is one.
type ClockWatch interface {
	WatchClock() error
	PairClocks() error
	GuestTSC() (*probe.GuestTSC, error)
}

// begin is called before the VMM is started.
func (v *Validation) begin(w Watch) error {
	if v == nil {
		return nil
	}
	c, ok := w.(ClockWatch)
	if !ok || !v.KVM {
		return nil
	}
	return c.WatchClock()
}

// tick is called from time to time while the guest runs. A pair that cannot be
// taken only makes the bound larger.
func (v *Validation) tick(w Watch) {
	if v == nil {
		return
	}
	if c, ok := w.(ClockWatch); ok && v.KVM {
		_ = c.PairClocks()
	}
}

// judge is called after the guest's end.
func (v *Validation) judge(s *Sample, gst *guest, w Watch) {
	if v == nil {
		return
	}
	tsc, noTSC := v.mapping(w)
	e := evidence(s.Timeline)
	e.NoTSC = noTSC
	claims := claim.Parse(claimLines(s.Lines, gst.stdout.String()+"\n"+s.Stderr), v.Patterns)
	s.Claims = append(s.Claims, v.verdicts(claims, e, tsc, 0)...)
	s.Claims = keepFirst(s)
	for _, none := range claim.Unmatched(v.Patterns, claims) {
		s.Claims = append(s.Claims, Verdict{Verdict: none})
	}
	if tsc == nil || !v.Controls {
		return
	}
	// All readings are judged, so that the bounds are the same as above.
	var readings []claim.Claim
	of := map[string]bool{}
	for _, c := range claims {
		if c.Kind == claim.TSC {
			readings = append(readings, c)
			of[c.Name] = c.Moment == ""
		}
	}
	for _, c := range s.Claims { // what cannot be mapped cannot be mapped wrongly either
		of[c.Name] = of[c.Name] && c.Status != claim.Unknown
	}
	for _, shift := range controlShifts {
		for _, control := range v.verdicts(readings, e, tsc.Shifted(shift), shift) {
			if of[control.Name] {
				s.Claims = append(s.Claims, control)
			}
		}
	}
}

// mapping is the guest's TSC, or the reason why it cannot be mapped.
func (v *Validation) mapping(w Watch) (*probe.GuestTSC, string) {
	c, ok := w.(ClockWatch)
	switch {
	case !v.KVM:
		return nil, "not under KVM: the host kernel does not see what the guest's TSC is"
	case !ok:
		return nil, "this instrument does not watch guests' clocks"
	}
	tsc, err := c.GuestTSC()
	if err != nil {
		return nil, err.Error()
	}
	return tsc, ""
}

// maxVerdicts bounds what a guest can make a sample hold: it may print for ever.
const maxVerdicts = 64

// keepFirst are the sample's first verdicts; that there were more is a taint.
func keepFirst(s *Sample) []Verdict {
	if more := len(s.Claims) - maxVerdicts; more > 0 {
		s.Taints = append(s.Taints, fmt.Sprintf("claims: %d more than the first %d are not kept", more, maxVerdicts))
		return s.Claims[:maxVerdicts]
	}
	return s.Claims
}

// verdicts judges claims under a mapping.
func (v *Validation) verdicts(claims []claim.Claim, e claim.Evidence, tsc *probe.GuestTSC, control time.Duration) []Verdict {
	mapping := ""
	if tsc != nil {
		e.TSC = func(ticks uint64) (int64, int64, error) {
			mapping = describe(tsc, ticks)
			return tsc.Host(ticks, 0)
		}
	}
	var out []Verdict
	for _, c := range claim.Judge(claims, e) {
		one := Verdict{Verdict: c, Control: control}
		if c.Kind == claim.TSC {
			one.Mapping = mapping
		}
		out = append(out, one)
	}
	return out
}

// describe says how a reading is mapped.
func describe(tsc *probe.GuestTSC, ticks uint64) string {
	if tsc.Bare(ticks, 0) {
		return "the host's own TSC: this KVM, without VMX or SVM, does not apply the offsets that it is given"
	}
	ratio, err := tsc.Ratio(0)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("offset by kvm_write_tsc_offset, %d seen; ratio %s", tsc.Changes(0), ratio)
}

// evidence is a timeline as package claim wants it.
func evidence(t probe.Timeline) claim.Evidence {
	e := claim.Evidence{Events: map[string]int64{}, Hooks: map[string]string{}, Missing: map[string]string{}}
	for _, ev := range t.Events {
		e.Events[ev.Name], e.Hooks[ev.Name] = ev.NS, ev.Hook
	}
	if at, ok := t.At(probe.EventGuestEntry); ok && t.NoFirmware {
		e.Events[probe.EventFirmwareEnd], e.Hooks[probe.EventFirmwareEnd] = at.NS, at.Hook // the image begins there
	}
	for _, m := range t.Missing {
		e.Missing[m.Name] = m.Reason
	}
	return e
}

// claimLines are the console's lines, with their times, and those of the VMM's own
// output that the console does not have.
func claimLines(console []probe.Line, output string) []claim.Line {
	var out []claim.Line
	seen := map[string]bool{}
	for _, l := range console {
		if l.Partial {
			continue // the rest of the number may be to come
		}
		out = append(out, claim.Line{FirstNS: l.FirstNS, LastNS: l.LastNS, Text: l.Text})
		seen[strings.TrimRight(l.Text, "\r\n")] = true
	}
	for text := range strings.Lines(output) {
		if text = strings.TrimRight(text, "\r\n"); text != "" && !seen[text] {
			out = append(out, claim.Line{Text: text})
		}
	}
	return out
}
