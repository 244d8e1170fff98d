// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/claim"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// clocked is a script whose watch knows the guest's clock.
type clocked struct {
	*script
	beginErr, tscErr error
	pairs            int
}

func (c *clocked) Watch(t probe.Target) (Watch, error) { _, err := c.script.Watch(t); return c, err }
func (c *clocked) WatchClock() error                   { return c.beginErr }
func (c *clocked) PairClocks() error                   { c.pairs++; return nil }
func (c *clocked) GuestTSC() (*probe.GuestTSC, error)  { return nil, c.tscErr }

// verdictOf finds the verdict of that name.
func verdictOf(t *testing.T, s Sample, name string) Verdict {
	t.Helper()
	for _, v := range s.Claims {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("%s: %s; no claim %s among %+v", s.Status, s.Reason, name, s.Claims)
	return Verdict{}
}

func up(t *testing.T) claim.Pattern {
	t.Helper()
	p, err := claim.NewPattern("up", `^up after (?P<value>[0-9]+) ms$`, "ms", probe.EventVMMExec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestValidationOfAProcess: with the real probe, of a process that claims too
// much, of one that is right to a second, and of one whose TSC nobody mapped.
func TestValidationOfAProcess(t *testing.T) {
	b, _ := newBoot(t, "echo up after 60000 ms; echo ukprobe-reference: ready tsc=5; echo ready; exec sleep 60")
	p, err := probe.Open(probe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	b.Instrument = Kernel{Probe: p}
	never, err := claim.NewPattern("never", "(?P<value>[0-9]+) of these", "ms", "")
	if err != nil {
		t.Fatal(err)
	}
	b.Validate = &Validation{Patterns: []claim.Pattern{up(t), never}, Controls: true, KVM: true}
	s := sample(t, t.Context(), b)
	if v := verdictOf(t, s, "never"); v.Status != claim.Unknown || v.Reason != claim.NoLine {
		t.Errorf("%+v: want it told that nothing matched", v)
	}
	v := verdictOf(t, s, "up")
	if v.Status != claim.Off || v.HostNS == nil || *v.HostNS <= 0 || *v.HostNS > 20e9 || v.OffNS != *v.ClaimNS-*v.HostNS {
		t.Errorf("%+v: want it off, at a host's value of less than the timeout", v)
	}
	if v := verdictOf(t, s, "reference_ready"); v.Status != claim.Unknown || v.Reason == "" {
		t.Errorf("%+v: want no verdict, a process has no TSC offset", v)
	}
}

// TestValidationWithoutAClock: an instrument that does not know clocks says so.
func TestValidationWithoutAClock(t *testing.T) {
	b, s := newBoot(t, "exec sleep 60")
	s.lines = []probe.Line{{FirstNS: 5, LastNS: 6, Text: "ukprobe-reference: ready tsc=5\n"}}
	s.happens(probe.EventConsoleReady, 9)
	for kvm, want := range map[bool]string{true: "does not watch", false: "not under KVM"} {
		b.Validate = &Validation{KVM: kvm}
		if v := verdictOf(t, sample(t, t.Context(), b), "reference_ready"); v.Status != claim.Unknown || !strings.Contains(v.Reason, want) {
			t.Errorf("%+v, want %q", v, want)
		}
	}
}

// bootTimed is a program with a boot timer.
type bootTimed struct{ program }

func (bootTimed) BootTimer() {}

func TestValidationClock(t *testing.T) {
	b, s := newBoot(t, "echo 'Guest-boot-time =   2000 us 2 ms,   1000 CPU us 1 CPU ms' >&2; exec sleep 60")
	c := &clocked{script: s, tscErr: errors.New("no TSC here")}
	b.Instrument, b.Validate = c, &Validation{Controls: true, KVM: true}
	p := b.Platform.(program)
	p.vmm = "firecracker"
	b.Platform = bootTimed{p}
	s.lines = []probe.Line{
		{FirstNS: 5, LastNS: 6, Text: "ukprobe-reference: ready tsc=5\n"},
		{FirstNS: 7, LastNS: 8, Text: "ukprobe-reference: start tsc=5", Partial: true},
	}
	s.happens(probe.EventVMMExec, 1)
	s.happens(platform.EventInstanceStart, 1)
	s.happens(probe.EventBootTimer, 2_000_100)
	s.happens(probe.EventConsoleReady, 9)
	got := sample(t, t.Context(), b)
	if v := verdictOf(t, got, "reference_ready"); v.Status != claim.Unknown || v.Reason != "no TSC here" {
		t.Errorf("%+v", v)
	}
	if v := verdictOf(t, got, "firecracker_boot"); v.Status != claim.Agrees || v.OffNS != -99 {
		t.Errorf("%+v: want the VMM's own log judged by the event", v)
	}
	if !s.target.BootTimer || c.pairs == 0 {
		t.Errorf("boot timer looked for %v, %d pairs: want it, and the clocks paired", s.target.BootTimer, c.pairs)
	}
	for _, v := range got.Claims {
		if v.Name == claim.ReferenceStart {
			t.Errorf("a line without its end is no claim: %+v", v)
		}
	}
}

func TestValidationThatCannotBegin(t *testing.T) {
	b, s := newBoot(t, "exit 0")
	broken := errors.New("broken")
	b.Instrument, b.Validate = &clocked{script: s, beginErr: broken}, &Validation{KVM: true}
	if _, err := b.Sample(t.Context(), "s0"); !errors.Is(err, broken) || s.closed != 1 {
		t.Errorf("error %v, closed %d times: want %v and once", err, s.closed, broken)
	}
}

// TestValidationOfAFlood: what a guest makes a sample hold is bounded, and told.
func TestValidationOfAFlood(t *testing.T) {
	b, s := newBoot(t, "exec sleep 60")
	b.Validate = &Validation{}
	for i := range maxVerdicts + 5 {
		s.lines = append(s.lines, probe.Line{FirstNS: int64(i + 2), LastNS: int64(i + 2), Text: fmt.Sprintf("Booted up in %d.00 ms\n", i)})
	}
	s.happens(probe.EventGuestEntry, 1)
	s.happens(probe.EventConsoleReady, 9)
	got := sample(t, t.Context(), b)
	if len(got.Claims) != maxVerdicts || !strings.Contains(strings.Join(got.Taints, "\n"), "claims: 5 more") {
		t.Errorf("%d claims, taints %q: want %d and a word on 5 more", len(got.Claims), got.Taints, maxVerdicts)
	}
}

// TestBootIsNotValidated: the experiment boot has no claims and attaches nothing.
func TestBootIsNotValidated(t *testing.T) {
	b, s := newBoot(t, "exec sleep 60")
	c := &clocked{script: s}
	b.Instrument = c
	s.lines = []probe.Line{{FirstNS: 5, LastNS: 6, Text: "Booted up in 1.00 ms\n"}}
	s.happens(probe.EventConsoleReady, 9)
	if got := sample(t, t.Context(), b); len(got.Claims) != 0 || c.pairs != 0 {
		t.Errorf("%d pairs, claims %+v", c.pairs, got.Claims)
	}
}
