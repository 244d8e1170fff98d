// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// boot is what the host saw of a guest: 10 ms of VMM, 20 ms of firmware.
func boot() Evidence {
	return Evidence{
		Events:  map[string]int64{vmmExec: 1_000_000_000, guestEntry: 1_010_000_000, firmwareEnd: 1_030_000_000},
		Hooks:   map[string]string{firmwareEnd: "kvm_exit"},
		Missing: map[string]string{BootTimer: "alive, but did not happen"},
		TSC: func(ticks uint64) (int64, int64, error) {
			if ticks == 0 {
				return 0, 0, errors.New("it never had this value")
			}
			return 1_000_000_000 + int64(ticks), 100, nil
		},
	}
}

// line is a console line of so many bytes, 10 µs each.
func line(text string, first int64) Line {
	return Line{FirstNS: first, LastNS: first + int64(len(text))*10_000, Text: text + "\n"}
}

// judge parses one line and judges its only claim.
func judge(t *testing.T, l Line, e Evidence, more ...Pattern) Verdict {
	t.Helper()
	vs := Judge(Parse([]Line{l}, more), e)
	if len(vs) != 1 {
		t.Fatalf("%q: %d verdicts", l.Text, len(vs))
	}
	return vs[0]
}

func TestJudgeReady(t *testing.T) {
	const text = "ukprobe-reference: ready tsc=50000000" // 50 ms after the VMM's exec
	emulated := boot()
	emulated.Hooks[guestEntry] = instructionHook
	if v := judge(t, line(text, 1_050_009_999), boot()); v.Status != Agrees || v.ErrNS != 5100 {
		t.Errorf("%+v: want a byte's time allowed where the CPU runs the guest", v)
	}
	if v := judge(t, line(text, 1_050_010_101), boot()); v.Status != Off {
		t.Errorf("%+v: want no more than a byte's time allowed where the CPU runs the guest", v)
	}
	tests := []struct {
		name   string
		first  int64 // of the line
		status string
		off    int64
	}{
		{"just before its byte", 1_050_015_000, Agrees, 0},
		{"at its byte, at the error of the mapping", 1_050_000_000 - 100, Agrees, 15_100},
		{"a byte too early: the guest cannot have read it later", 1_050_000_000 - 200, Off, 15_200},
		{"as late as three bytes", 1_050_030_000 + 100, Agrees, -15_100},
		{"a millisecond before its byte", 1_051_000_000, Off, -985_000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := judge(t, line(text, tt.first), emulated)
			if v.Status != tt.status || v.OffNS != tt.off || v.ErrNS != 15_100 {
				t.Errorf("%s by %d ± %d (%s): want %s by %d ± 15100", v.Status, v.OffNS, v.ErrNS, v.Reason, tt.status, tt.off)
			}
			want := []Term{{TermMapping, 100}, {TermOutput, 15_000}}
			if diff := cmp.Diff(want, v.Terms); diff != "" {
				t.Errorf("terms (-want +got):\n%s", diff)
			}
			if *v.ClaimNS != 50_000_000 || len(v.LeavesOut) != 0 {
				t.Errorf("claim %d ns, leaves out %v", *v.ClaimNS, v.LeavesOut)
			}
		})
	}
}

// TestOutputTime: a line that was slow because the guest was preempted does not
// make another's bound wider.
func TestOutputTime(t *testing.T) {
	slow := line("ukprobe-reference: start tsc=1", 1_040_000_000)
	slow.LastNS += 1e9
	ready := line("ukprobe-reference: ready tsc=50000000", 1_050_000_000)
	e := boot()
	if got := e.outputTime(Parse([]Line{slow, ready, {Text: "ukprobe-reference: ready tsc=1"}}, nil)); got != 10_000 {
		t.Errorf("%d ns, want 10 µs, a byte of the quicker line", got)
	}
}

// TestJudgeStart: by the hook that sees every instruction the image's first one is
// known closely, by exits only as between the guest's start and its first exit.
func TestJudgeStart(t *testing.T) {
	const text = "ukprobe-reference: start tsc=30005000"
	l := line(text, 1_031_000_000)
	every := boot()
	every.Hooks[firmwareEnd], every.Hooks[guestEntry] = instructionHook, instructionHook
	if v := judge(t, l, every); v.Status != Agrees || v.OffNS != -10_000 || v.ErrNS != 15_100 {
		t.Errorf("%+v: want it 5 µs after firmware_end, of 30 allowed", v)
	}
	exits := boot()
	if v := judge(t, l, exits); v.Status != Agrees || v.ErrNS != 10_500_000+100 {
		t.Errorf("%+v: want it to agree within guest_entry and its line", v)
	}
	if v := judge(t, line("ukprobe-reference: start tsc=9000000", 1_031_000_000), exits); v.Status != Off {
		t.Errorf("%+v: want a start before guest_entry off", v)
	}
	early := boot()
	delete(early.Events, firmwareEnd)
	early.Missing[firmwareEnd] = "the image's load segments are not known"
	if v := judge(t, l, early); v.Status != Unknown || !strings.Contains(v.Reason, "load segments") {
		t.Errorf("%+v", v)
	}
	delete(exits.Events, guestEntry)
	if v := judge(t, l, exits); v.Status != Unknown || !strings.Contains(v.Reason, guestEntry) {
		t.Errorf("%+v", v)
	}
}

func TestJudgeUnknown(t *testing.T) {
	noTSC := boot()
	noTSC.TSC, noTSC.NoTSC = nil, "not under KVM"
	unseen := Line{Text: "Booted up in 1.00 ms"}
	tests := []struct {
		name string
		line Line
		e    Evidence
		want string
	}{
		{"no mapping", line("ukprobe-reference: ready tsc=1", 1_050_000_000), noTSC, "not under KVM"},
		{"a value that it never had", line("ukprobe-reference: ready tsc=0", 1_050_000_000), boot(), "never had"},
		{"the host did not see the line", Line{Text: "ukprobe-reference: ready tsc=1"}, boot(), "did not see"},
		{"nor this one", unseen, boot(), "did not see"},
		{"no event at all", line("Booted up in 1.00 ms", 5), Evidence{}, "from which it counts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v := judge(t, tt.line, tt.e); v.Status != Unknown || !strings.Contains(v.Reason, tt.want) {
				t.Errorf("%s: %q, want %q in it", v.Status, v.Reason, tt.want)
			}
		})
	}
}

// TestJudgeNoValue: OSv without KVM's clock prints a zero, which is no time.
func TestJudgeNoValue(t *testing.T) {
	v := judge(t, line("Booted up in 0.00 ms", 1_050_000_000), boot())
	if v.Status != Unknown || v.ClaimNS != nil || v.HostNS != nil || !strings.Contains(v.Reason, "prints zero") {
		t.Errorf("%+v", v)
	}
	if v := judge(t, line("Booted up in 0.01 ms", 1_050_000_000), boot()); v.Status == Unknown || v.ClaimNS == nil {
		t.Errorf("a small one: %+v", v)
	}
}

// TestJudgeGuestClock: a span since the guest's own zero is held against all that
// the guest did, and says what it leaves out.
func TestJudgeGuestClock(t *testing.T) {
	// 50 ms after firmware_end; the guest says 40.
	v := judge(t, line("Booted up in 40.00 ms", 1_080_000_000), boot())
	if v.Status != Off || *v.ClaimNS != 40e6 {
		t.Errorf("%+v", v)
	}
	// The line's 210 µs are what it can have been late.
	if v.OffNS != -9_895_000 || v.ErrNS != 10_000+105_000 {
		t.Errorf("off by %d ± %d", v.OffNS, v.ErrNS)
	}
	want := []Span{{"VMM", 10e6}, {"firmware", 20e6}, {"image before the clock", 9_895_000}}
	if diff := cmp.Diff(want, v.LeavesOut); diff != "" {
		t.Errorf("leaves out (-want +got):\n%s", diff)
	}
	if v.LeftOut().Nanoseconds() != 39_895_000 {
		t.Errorf("leaves out %v", v.LeftOut())
	}
}

// TestJudgeBootTimer: Firecracker's own log line counts from the request to start
// the guest to the event, which the host saw; what went before is left out.
func TestJudgeBootTimer(t *testing.T) {
	text := Line{Text: "Guest-boot-time =  79000 us 79 ms,   1000 CPU us 1 CPU ms"}
	e := boot()
	e.Events[started] = 1_000_500_000
	e.Events[BootTimer] = 1_080_000_000
	vs := Judge(Parse([]Line{text}, nil), e)
	if len(vs) != 2 || vs[0].Status != Off || vs[0].OffNS != -500_000 || vs[0].ErrNS != 1000 {
		t.Errorf("%+v: want half a millisecond short", vs)
	}
	if diff := cmp.Diff([]Span{{"VMM", 1e6}}, vs[0].LeavesOut); diff != "" {
		t.Errorf("leaves out (-want +got):\n%s", diff)
	}
	if vs[1].Status != Unknown || !strings.Contains(vs[1].Reason, "CPU time") {
		t.Errorf("%+v: CPU time is not told by the host", vs[1])
	}
	if v := Judge(Parse([]Line{text}, nil), boot())[0]; v.Status != Unknown || !strings.Contains(v.Reason, "did not happen") {
		t.Errorf("%+v", v)
	}
}

func TestJudgePattern(t *testing.T) {
	p, err := NewPattern("mine", `^up after (?P<value>[0-9]+)`, "ms", guestEntry)
	if err != nil {
		t.Fatal(err)
	}
	v := judge(t, line("up after 70", 1_080_000_000), boot(), p)
	// Half of the line's 110 µs is what it is taken to have been late.
	if diff := cmp.Diff([]Span{{"VMM", 9_945_000}}, v.LeavesOut); diff != "" || v.Status != Agrees || v.Against != "the time from guest_entry to its line's first byte" {
		t.Errorf("%+v (-want +got):\n%s", v, diff)
	}
	// What says that it counts from vmm_exec leaves nothing out: it is off.
	p.Since = vmmExec
	if v := judge(t, line("up after 70", 1_080_000_000), boot(), p); v.Status != Off || len(v.LeavesOut) != 0 || v.Against != "the time from vmm_exec to its line's first byte" {
		t.Errorf("%+v", v)
	}
	tsc, err := NewPattern("main", `^main at (?P<value>[0-9]+)$`, UnitTSC, "")
	if err != nil {
		t.Fatal(err)
	}
	if v := judge(t, line("main at 50000000", 1_050_005_000), boot(), tsc); v.Status != Agrees || v.Against != "its line's first byte" {
		t.Errorf("%+v", v)
	}
}

func abs(n int64) int64 { return max(n, -n) }

// stamps prints lines every 10 ms whose clock runs at a rate from zero on.
func stamps(zero int64, hostPerGuest float64, n int) []Claim {
	var lines []Line
	for i := 1; i <= n; i++ {
		g := int64(i) * 10_000_000
		lag := int64(i%5) * 20_000
		l := line("[    0.000001] x", zero+int64(hostPerGuest*float64(g))+lag)
		lines = append(lines, l)
	}
	claims := Parse(lines, nil)
	for i := range claims {
		claims[i].NS = int64(i+1) * 10_000_000
	}
	return claims
}

func TestFit(t *testing.T) {
	const zero = 1_050_000_000
	for _, rate := range []float64{0.9, 1, 1.0001} {
		s, ok := Fit(stamps(zero, rate, 100))
		if !ok || s.N != 100 || s.Rate < rate-1e-6 || s.Rate > rate+1e-6 {
			t.Errorf("rate %g: %+v", rate, s)
		}
		if abs(s.LagMaxNS-80_000) > 5000 || abs(s.LagMedianNS-40_000) > 5000 {
			t.Errorf("rate %g: lags %d and %d, want 40 and 80 µs", rate, s.LagMedianNS, s.LagMaxNS)
		}
		if s.ErrNS != 160_000+1000 { // of a line of 16 bytes, longer than its lag
			t.Errorf("rate %g: error %d ns", rate, s.ErrNS)
		}
		if early := s.ZeroNS - zero; rate == 1 && early != 0 {
			t.Errorf("zero is off by %d", early)
		}
	}
	for name, claims := range map[string][]Claim{"none": nil, "two": stamps(zero, 1, 2), "all the same": {
		{Kind: Stamp, NS: 1, Line: Line{FirstNS: 5}}, {Kind: Stamp, NS: 1, Line: Line{FirstNS: 6}}, {Kind: Stamp, NS: 1, Line: Line{FirstNS: 7}}}} {
		if s, ok := Fit(claims); ok {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestFitAfterSetBack: Linux counts jiffies first and then starts anew.
func TestFitAfterSetBack(t *testing.T) {
	jiffies := stamps(1_000_000_000, 1, 5)
	s, ok := Fit(append(jiffies, stamps(1_200_000_000, 1, 50)...))
	if !ok || s.N != 50 || s.Earlier != 5 || s.ZeroNS != 1_200_000_000 {
		t.Errorf("%+v, %v", s, ok)
	}
}

// TestJudgeSeries: a clock that loses 100 µs in 100 ms is told from one that does not.
func TestJudgeSeries(t *testing.T) {
	const zero = 1_050_000_000
	for _, tt := range []struct {
		rate   float64
		status string
	}{{1, Agrees}, {1.00001, Agrees}, {1.001, Off}, {0.999, Off}} {
		vs := Judge(stamps(zero, tt.rate, 100), boot())
		if len(vs) != 1 || vs[0].Status != tt.status || vs[0].Series == nil {
			t.Fatalf("rate %g: %+v", tt.rate, vs)
		}
		if v := vs[0]; tt.rate == 1 && v.LeftOut().Nanoseconds() != zero-1e9 {
			t.Errorf("leaves out %v: %+v", v.LeftOut(), v.LeavesOut)
		}
	}
	if vs := Judge(stamps(zero, 1, 2), boot()); len(vs) != 1 || vs[0].Status != Unknown {
		t.Errorf("two stamps: %+v", vs)
	}
}

// TestLeavesOut: by the events that are there; what cannot be told apart is one
// span, with the reason.
func TestLeavesOut(t *testing.T) {
	const zero = 1_100_000_000
	all := boot()
	all.Events[optionROM], all.Events[decompress], all.Events[kernel] = 1_020_000_000, 1_040_000_000, 1_060_000_000
	early := boot()
	early.Events[kernel] = zero + 1
	tcg := boot()
	delete(tcg.Events, guestEntry)
	delete(tcg.Events, firmwareEnd)
	tcg.Missing[guestEntry] = "not under KVM"
	tests := []struct {
		name string
		e    Evidence
		want []Span
		why  string
	}{
		{"all", all, []Span{{"VMM", 10e6}, {"firmware", 10e6}, {"option ROM", 10e6}, {"image before the clock", 10e6},
			{"decompression", 20e6}, {"kernel before the clock", 40e6}}, ""},
		{"an event after the zero", early, []Span{{"VMM", 10e6}, {"firmware", 20e6}, {"image before the clock", 70e6}}, ""},
		{"not under KVM", tcg, []Span{{"VMM, firmware, image before the clock", 100e6}}, "guest_entry is missing: not under KVM"},
		{"no exec", Evidence{}, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v Verdict
			v.leaveOut(zero, tt.e)
			if diff := cmp.Diff(tt.want, v.LeavesOut); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if v.NotApart != tt.why {
				t.Errorf("%q, want %q", v.NotApart, tt.why)
			}
		})
	}
}
