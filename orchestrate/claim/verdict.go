// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"fmt"
	"time"
)

// Evidence is what the host saw of one guest.
type Evidence struct {
	Events  map[string]int64  // event to its time
	Hooks   map[string]string // event to the hook that told it
	Missing map[string]string // event to the reason why it is not there
	// TSC maps a reading of the guest's time-stamp counter to the host's clock,
	// with the bound of the error. If it is nil, NoTSC says why.
	TSC   func(ticks uint64) (ns, errNS int64, err error)
	NoTSC string
}

// The statuses of a verdict.
const (
	Agrees  = "agrees"
	Off     = "off"
	Unknown = "unknown" // cannot be told
)

// Term is one part of a verdict's error.
type Term struct {
	Name string // one of the Term… names
	NS   int64
}

// The terms of an error. docs/experiments/timing-validation.md says where each
// comes from.
const (
	TermResolution = "resolution" // a step of the claim's last printed digit
	TermMapping    = "mapping"    // guest TSC to host clock
	TermOutput     = "output"     // from the reading to the line's first byte
	TermSighting   = "sighting"   // from the moment itself to the event that shows it
)

// Span is a named stretch of host time.
type Span struct {
	Name string
	NS   int64
}

// Verdict is one claim beside what the host saw.
//
// If the claim is right, the host's value is somewhere between two bounds; OffNS
// is the claim less their middle, ErrNS half their distance plus the claim's own
// error. The claim agrees if zero is within OffNS ± ErrNS.
type Verdict struct {
	Name   string
	Kind   Kind
	Text   string // the line
	Status string
	Reason string // of Unknown
	// ClaimNS is the claim's value: for a tsc its moment after vmm_exec, for a
	// series the span of its stamps. HostNS is the host's in the same terms. Both
	// are nil where they are not known.
	ClaimNS, HostNS *int64
	OffNS, ErrNS    int64
	// Against is what the claim was held against, for people; "" if it was not.
	Against string
	Terms   []Term
	// Zero is the host's time of the moment from which the claim counts; LeavesOut
	// is what happened between vmm_exec and then.
	ZeroNS    *int64
	LeavesOut []Span
	// NotApart says which of those spans could not be told from each other.
	NotApart string
	Series   *Series
}

// Judge holds each claim against the evidence. Stamps of one name are judged
// together, as a series.
func Judge(claims []Claim, e Evidence) []Verdict {
	var out []Verdict
	done := map[string]bool{}
	output := e.outputTime(claims)
	for _, c := range claims {
		switch {
		case c.Kind != Stamp:
			out = append(out, judgeOne(c, e, output))
		case !done[c.Name]:
			done[c.Name] = true
			out = append(out, judgeSeries(c.Name, claims, e))
		}
	}
	return out
}

func judgeOne(c Claim, e Evidence, output int64) Verdict {
	v := Verdict{Name: c.Name, Kind: c.Kind, Text: c.Line.Text}
	switch {
	case c.None != "":
		return v.unknown(c.None)
	case c.CannotTell != "":
		v.ClaimNS = ptr(c.NS)
		return v.unknown(c.CannotTell)
	case c.Kind == TSC:
		return judgeTSC(v, c, e, output)
	}
	return judgeDuration(v, c, e)
}

// lineByte is when a claim without an end of its own was made.
const lineByte = "its line's first byte"

func (v Verdict) unknown(reason string) Verdict {
	v.Status, v.Reason = Unknown, reason
	return v
}

// missing is unknown for want of an event.
func (v Verdict) missing(event, what string, e Evidence) Verdict {
	return v.unknown(fmt.Sprintf("%s, %s, is missing: %s", event, what, orElse(e.Missing[event], "it was not seen")))
}

// between sets the verdict of a claim whose error is own, and of which the host
// knows that the truth is from low to high.
func (v Verdict) between(claim, own, low, high int64) Verdict {
	middle := low + (high-low)/2
	v.OffNS, v.ErrNS = claim-middle, own+(high-low+1)/2
	v.Status = Off
	if v.OffNS >= -v.ErrNS && v.OffNS <= v.ErrNS {
		v.Status = Agrees
	}
	return v
}

func ptr(n int64) *int64 { return &n }

// From a guest's reading of its TSC to the first byte of the line that tells it, in
// times of a byte of its lines. The reference guest executes some 25 instructions
// from RDTSC to the first OUT, and 6 from OUT to OUT with a round trip through the
// VMM. Measured are 0.6 to 2.8 where KVM emulates each instruction, and 0.05 to 0.4
// where the CPU runs them and only the OUT is an exit.
const (
	bytesEmulated = 3
	bytesHardware = 1
)

// instructionHook sees every instruction before it is emulated.
const instructionHook = "kvm_emulate_insn"

// outputTime bounds the time from a reading of the TSC to the line's first byte.
func (e *Evidence) outputTime(claims []Claim) int64 {
	var pace int64
	for _, c := range claims {
		// The line end makes up for the first byte. A vCPU that is preempted while it
		// prints makes one line slow: the quickest counts.
		l := c.Line
		p := (l.LastNS - l.FirstNS) / max(int64(len(l.Text)), 1)
		if c.Kind == TSC && p > 0 && (pace == 0 || p < pace) {
			pace = p
		}
	}
	if e.Hooks[guestEntry] == instructionHook {
		return bytesEmulated * pace
	}
	return bytesHardware * pace
}

func judgeTSC(v Verdict, c Claim, e Evidence, output int64) Verdict {
	if e.TSC == nil {
		return v.unknown(e.NoTSC)
	}
	ns, errNS, err := e.TSC(c.Ticks)
	if err != nil {
		return v.unknown(err.Error())
	}
	start, known := e.Events[vmmExec]
	if known {
		v.ClaimNS = ptr(ns - start)
	}
	low, high, term := c.Line.FirstNS-output, c.Line.FirstNS, TermOutput
	if c.Line.FirstNS == 0 {
		return v.unknown("the host did not see the line's first byte")
	}
	if at, ok := e.Events[c.Moment]; ok {
		low, high, term = at, at+output, TermSighting
		if e.Hooks[c.Moment] != instructionHook {
			// The first exit in the image can be before its first instruction (the
			// page fault of fetching it) or after. Sure is only that the guest ran,
			// and that it printed the line later.
			low, high = e.Events[guestEntry], c.Line.FirstNS
		}
		if low == 0 {
			return v.missing(guestEntry, "before which no guest reads a clock", e)
		}
	} else if c.Moment != "" {
		return v.missing(c.Moment, "which it is a reading of", e)
	}
	v.Against = lineByte
	if c.Moment != "" {
		v.Against = c.Moment
	}
	if known {
		v.HostNS = ptr(low + (high-low)/2 - start)
	}
	v.Terms = []Term{{TermMapping, errNS}, {term, (high - low + 1) / 2}}
	return v.between(ns, errNS, low, high)
}

func judgeDuration(v Verdict, c Claim, e Evidence) Verdict {
	v.ClaimNS = ptr(c.NS)
	end, output := c.Line.FirstNS, c.Line.LastNS-c.Line.FirstNS
	if c.Until != "" {
		end, output = e.Events[c.Until], 0
		if end == 0 {
			return v.missing(c.Until, "where it ends", e)
		}
	} else if end == 0 {
		return v.unknown("the host did not see the line's first byte")
	}
	since := c.Since
	if since == GuestClock {
		// No event tells where the guest's clock begins. It is held against the
		// whole time of the guest's own code.
		if since = firmwareEnd; e.Events[since] == 0 {
			since = guestEntry
		}
	}
	zero := e.Events[since]
	if zero == 0 {
		return v.missing(since, "from which it counts", e)
	}
	v.Against = "the time from " + since + " to " + orElse(c.Until, lineByte)
	// What it leaves out is told by its value, wherever it means to count from; but
	// what says that it counts from vmm_exec is only off. (With an end of its own,
	// as Firecracker's, it does not say so.)
	v.ZeroNS = ptr(end - output/2 - c.NS)
	if c.Since != vmmExec || c.Until != "" {
		v.leaveOut(*v.ZeroNS, e)
	}
	v.HostNS = ptr(end - output/2 - zero)
	v.Terms = []Term{{TermResolution, c.ResolutionNS}, {TermOutput, (output + 1) / 2}}
	return v.between(c.NS, c.ResolutionNS, end-output-zero, end-zero)
}

// judgeSeries holds the rate of a guest's clock against the host's, over the span
// of its stamps.
func judgeSeries(name string, claims []Claim, e Evidence) Verdict {
	v := Verdict{Name: name, Kind: Stamp}
	var own []Claim
	for _, c := range claims {
		if c.Kind == Stamp && c.Name == name {
			own = append(own, c)
			v.Text = c.Line.Text
		}
	}
	s, ok := Fit(own)
	if !ok {
		return v.unknown(fmt.Sprintf("fewer than %d different stamps that the host saw printed", minStamps))
	}
	v.Series = &s
	v.ZeroNS = ptr(s.ZeroNS)
	v.leaveOut(s.ZeroNS, e)
	v.Against = "the host's time between the first bytes of its lines"
	v.ClaimNS, v.HostNS = ptr(s.SpanNS), ptr(s.HostNS)
	resolution := own[0].ResolutionNS
	v.Terms = []Term{{TermResolution, resolution}, {TermOutput, s.ErrNS - resolution}}
	return v.between(s.SpanNS, s.ErrNS, s.HostNS, s.HostNS)
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// spanNames name what goes on from one event to the next. The events that every
// guest has are required: without one, what is before and behind it is one span.
var spanNames = []struct {
	event, name string
	required    bool
}{
	{vmmExec, "VMM", true},
	{guestEntry, "firmware", true},
	{optionROM, "option ROM", false},
	{firmwareEnd, "image before the clock", true},
	{decompress, "decompression", false},
	{kernel, "kernel before the clock", false},
}

// leaveOut splits the time from vmm_exec to zero by the events in it.
func (v *Verdict) leaveOut(zero int64, e Evidence) {
	from, name := e.Events[vmmExec], ""
	if from == 0 {
		return
	}
	for _, s := range spanNames {
		at, seen := e.Events[s.event]
		switch {
		case seen && at > zero:
			continue // not reached before the claim's zero
		case seen:
			if name != "" && at > from {
				v.LeavesOut = append(v.LeavesOut, Span{name, at - from})
			}
			from, name = at, s.name
		case s.required:
			name += ", " + s.name
			v.NotApart = orElse(v.NotApart, fmt.Sprintf("%s is missing: %s", s.event, e.Missing[s.event]))
		}
	}
	if zero > from {
		v.LeavesOut = append(v.LeavesOut, Span{name, zero - from})
	}
}

// LeftOut is all that the claim leaves out, 0 if that is not known.
func (v Verdict) LeftOut() time.Duration {
	var sum int64
	for _, s := range v.LeavesOut {
		sum += s.NS
	}
	return time.Duration(sum)
}
