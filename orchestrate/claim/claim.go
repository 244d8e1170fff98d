// SPDX-License-Identifier: Apache-2.0

// Package claim reads what guests say about their own time (printk stamps, "Booted
// up in 12.34 ms", TSC values) and judges it by what the host saw.
//
// It is pure: console lines and events go in, claims and verdicts come out. It
// does not know where the lines come from, nor how a TSC is mapped to the host's
// clock; [Evidence] brings that along. Times are nanoseconds, those of the host
// on CLOCK_MONOTONIC.
package claim

import (
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind says what a claim's value is.
type Kind string

// The kinds of claims.
const (
	Stamp    Kind = "stamp"    // a reading of the guest's clock, printed with a line
	Duration Kind = "duration" // a span that ends when the line is printed, or at another event
	TSC      Kind = "tsc"      // a reading of the guest's time-stamp counter
)

// GuestClock is, as what a duration counts from, the zero of the guest's own clock:
// no event of the host.
const GuestClock = "guest clock"

// Line is one line of output. FirstNS and LastNS are the host's times of its first
// and last byte, 0 if the host did not see them: the VMM's own log.
type Line struct {
	FirstNS, LastNS int64
	Text            string
}

// Claim is what one line says.
type Claim struct {
	Name         string
	Kind         Kind
	NS           int64  // stamp, duration
	Ticks        uint64 // tsc
	ResolutionNS int64  // what one step of the last digit is worth; 0 for tsc
	Line         Line
	Number       int    // of the line, from 0
	Since        string // what a duration counts from: an event, or GuestClock
	Until        string // the event that ends it; "": its line's first byte
	Moment       string // tsc: the event that it is a reading of; "": its line's first byte
	CannotTell   string // why the host has nothing to hold against it; "" otherwise
	None         string // why what is printed is no value at all; "" otherwise
}

// Pattern finds claims of one name. The group "value" of the expression is a
// decimal number of the unit.
type Pattern struct {
	Name  string
	Regex *regexp.Regexp
	Kind  Kind
	Unit  string // ns, us, ms, s or tsc
	// ResolutionNS, if not 0, is coarser than the printed digits.
	ResolutionNS         int64
	Since, Until, Moment string
	CannotTell           string
	// NotZero, if not "", is why a zero is no value: the guest did not know.
	NotZero string
}

// Units are the units of a pattern, in nanoseconds; tsc is none of them.
var Units = map[string]int64{"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}

// UnitTSC is the unit of a reading of the guest's time-stamp counter.
const UnitTSC = "tsc"

// NewPattern makes a pattern from the words of a matrix file.
func NewPattern(name, expression, unit, since string) (Pattern, error) {
	re, err := regexp.Compile(expression)
	if err != nil {
		return Pattern{}, fmt.Errorf("pattern of claim %s: %w", name, err)
	}
	if re.SubexpIndex("value") < 0 {
		return Pattern{}, fmt.Errorf("pattern of claim %s: %q has no group named value: write (?P<value>[0-9.]+)", name, expression)
	}
	p := Pattern{Name: name, Regex: re, Kind: Duration, Unit: unit, Since: since}
	if p.Since == "" {
		p.Since = GuestClock
	}
	if unit == UnitTSC {
		p.Kind, p.Since = TSC, ""
	} else if Units[unit] == 0 {
		return Pattern{}, fmt.Errorf("unit %q of claim %s: use ns, us, ms, s or tsc", unit, name)
	}
	return p, nil
}

// escapes are ANSI's colours, which Unikraft and Hermit put around their marks.
var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Unmatched are the patterns of which there is no claim.
func Unmatched(patterns []Pattern, claims []Claim) []Verdict {
	var out []Verdict
	for _, p := range patterns {
		if !slices.ContainsFunc(claims, func(c Claim) bool { return c.Name == p.Name }) {
			out = append(out, Verdict{Name: p.Name, Kind: p.Kind}.unknown(NoLine))
		}
	}
	return out
}

// NoLine is the reason of a verdict without a line.
const NoLine = "no line matched"

// Parse finds the claims in lines. A line can hold several; of the built-in
// patterns and those given, each is tried on each line. A line has one stamp: what
// is Unikraft's is not Linux'.
func Parse(lines []Line, more []Pattern) []Claim {
	var out []Claim
	for i, l := range lines {
		text := strings.TrimRight(escapes.ReplaceAllString(l.Text, ""), "\r\n")
		stamped := false
		for _, set := range [][]Pattern{builtin, more} {
			for j := range set {
				c, ok := set[j].find(text)
				if !ok || c.Kind == Stamp && stamped {
					continue
				}
				stamped = stamped || c.Kind == Stamp
				c.Line, c.Number = Line{l.FirstNS, l.LastNS, text}, i
				out = append(out, c)
			}
		}
	}
	return out
}

// find looks for the pattern in a line.
func (p *Pattern) find(text string) (Claim, bool) {
	m := p.Regex.FindStringSubmatch(text)
	if m == nil {
		return Claim{}, false
	}
	c := Claim{Name: p.Name, Kind: p.Kind, Since: p.Since, Until: p.Until, Moment: p.Moment, CannotTell: p.CannotTell}
	value := m[p.Regex.SubexpIndex("value")]
	if p.Unit == UnitTSC {
		n, err := strconv.ParseUint(value, 10, 64)
		c.Ticks = n
		return c, err == nil
	}
	var ok bool
	c.NS, c.ResolutionNS, ok = parseDecimal(value, Units[p.Unit])
	c.ResolutionNS = max(c.ResolutionNS, p.ResolutionNS)
	if c.NS == 0 {
		c.None = p.NotZero
	}
	return c, ok
}

// parseDecimal reads a decimal number of a unit, exactly: its nanoseconds and what
// a step of its last digit is worth. Nothing finer than a nanosecond is kept.
func parseDecimal(text string, unit int64) (ns, resolution int64, ok bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole, 10, 63)
	if err != nil {
		return 0, 0, false
	}
	hi, lo := bits.Mul64(n, uint64(unit))
	if hi != 0 || lo > math.MaxInt64-uint64(unit) {
		return 0, 0, false
	}
	ns, resolution = int64(lo), unit
	for _, digit := range fraction {
		if digit < '0' || digit > '9' {
			return 0, 0, false
		}
		if resolution < 10 {
			continue
		}
		resolution /= 10
		ns += int64(digit-'0') * resolution
	}
	return ns, resolution, true
}
