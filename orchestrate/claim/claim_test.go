// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// said is a claim without what its line brings.
type said struct {
	Name       string
	Kind       Kind
	NS         int64
	Ticks      uint64
	Resolution int64
	Since      string
}

func saidIn(lines []Line, more ...Pattern) []said {
	var out []said
	for _, c := range Parse(lines, more) {
		out = append(out, said{c.Name, c.Kind, c.NS, c.Ticks, c.ResolutionNS, c.Since})
	}
	return out
}

func TestParseBuiltin(t *testing.T) {
	tests := []struct {
		line string
		want []said
	}{
		{"ukprobe-reference: start tsc=123\n", []said{{"reference_start", TSC, 0, 123, 0, ""}}},
		{"ukprobe-reference: ready tsc=18446744073709551615\n", []said{{"reference_ready", TSC, 0, 1<<64 - 1, 0, ""}}},
		{"ukprobe-reference: ready tsc=18446744073709551616\n", nil}, // more than a TSC holds
		{"[    0.123456] Run /init as init process\r\n", []said{{"linux_printk", Stamp, 123456000, 0, 1000, GuestClock}}},
		{"[   12.000001][    T1] with its caller\n", []said{{"linux_printk", Stamp, 12000001000, 0, 1000, GuestClock}}},
		{"[    0.000000] \n", []said{{"linux_printk", Stamp, 0, 0, 1000, GuestClock}}},
		{"[    0.12345] five digits\n", nil},
		{"> [    0.123456] not at its beginning\n", nil},
		{"[99999999999.123456] too many seconds\n", nil},
		{"Booted up in 12.34 ms\n", []said{{"osv_boot", Duration, 12340000, 0, 10000, GuestClock}}},
		{"Booted up in 12 ms\n", nil},
		{"[    0.000522] Warn: [apphelloworld] <helloworld.c @    6> Hello\n", []said{{"unikraft_print", Stamp, 522000, 0, 1000, GuestClock}}},
		{"\x1b[0m\x1b[32m[    1.002911] \x1b[0m\x1b[1;34mdbg:\x1b[0m  [libkvmplat] x\n", []said{{"unikraft_print", Stamp, 1002911000, 0, 1000, GuestClock}}},
		{"[0][0:2][INFO] Boot time: 70 ms\n", []said{{"hermit_boot", Duration, 70e6, 0, 10e6, GuestClock}}},
		{"2020-01-01T00:00:00 [anonymous-instance:INFO:x.rs:1] Guest-boot-time =  98765 us 98 ms,   1234 CPU us 1 CPU ms\n", []said{
			{"firecracker_boot", Duration, 98765000, 0, 1000, "instance_start"},
			{"firecracker_boot_cpu", Duration, 1234000, 0, 1000, "instance_start"}}},
		{"", nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, saidIn([]Line{{1, 2, tt.line}})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.line, diff)
		}
	}
}

func TestParseKeepsTheLine(t *testing.T) {
	got := Parse([]Line{{1, 2, "nothing"}, {3, 4, "Booted up in 1.00 ms\r\n"}}, nil)
	if len(got) != 1 || got[0].Number != 1 || got[0].Line != (Line{3, 4, "Booted up in 1.00 ms"}) {
		t.Errorf("%+v", got)
	}
}

func TestNewPattern(t *testing.T) {
	tests := []struct {
		expression, unit, since string
		err                     string
	}{
		{`up (?P<value>[0-9.]+)`, "ms", "", ""},
		{`up (?P<value>[0-9]+)`, "tsc", "", ""},
		{`up ([0-9]+)`, "ms", "", "no group named value"},
		{`up (`, "ms", "", "missing closing"},
		{`(?P<value>.)`, "min", "", "use ns, us, ms, s or tsc"},
	}
	for _, tt := range tests {
		_, err := NewPattern("mine", tt.expression, tt.unit, tt.since)
		if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q %s: %v, want an error with %q", tt.expression, tt.unit, err, tt.err)
		}
	}
	p, err := NewPattern("mine", `up since (?P<value>[0-9.]+)`, "s", "vmm_exec")
	if err != nil {
		t.Fatal(err)
	}
	want := []said{{"mine", Duration, 1_500_000_000, 0, 1e8, "vmm_exec"}}
	if diff := cmp.Diff(want, saidIn([]Line{{1, 1, "up since 1.5"}}, p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := saidIn([]Line{{1, 1, "up since 1.5.3"}, {1, 1, "up since ."}}, p); got != nil {
		t.Errorf("%+v are no numbers", got)
	}
}

func TestParseDecimal(t *testing.T) {
	tests := []struct {
		text           string
		unit           int64
		ns, resolution int64
		ok             bool
	}{
		{"0", 1e9, 0, 1e9, true},
		{"1.5", 1e9, 1.5e9, 1e8, true},
		{"12.34", 1e6, 12340000, 10000, true},
		{"7", 1, 7, 1, true},
		{"7.9", 1, 7, 1, true}, // nothing is finer than a nanosecond
		{"1.1234567891", 1e9, 1123456789, 1, true},
		{"9223372036", 1e9, 0, 0, false}, // its next second is beyond
		{"9223372035.5", 1e9, 9223372035500000000, 1e8, true},
		{"99999999999999999999", 1, 0, 0, false},
		{"", 1, 0, 0, false}, {"-1", 1, 0, 0, false}, {"1.x", 1e9, 0, 0, false}, {"1.2.3", 1e9, 0, 0, false},
	}
	for _, tt := range tests {
		ns, resolution, ok := parseDecimal(tt.text, tt.unit)
		if !ok {
			ns, resolution = 0, 0
		}
		if ns != tt.ns || resolution != tt.resolution || ok != tt.ok {
			t.Errorf("%q in %d ns: %d, %d, %v, want %d, %d, %v", tt.text, tt.unit, ns, resolution, ok, tt.ns, tt.resolution, tt.ok)
		}
	}
}

// FuzzParse: whatever a guest prints, claims have values in range and a verdict
// comes out.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"[    0.123456] x\n[    0.2", "Booted up in 12.34 ms", "ukprobe-reference: ready tsc=12",
		"Guest-boot-time = 1 us 0 ms, 1 CPU us", "[0][INFO] Boot time: 10 ms", "\x1b[0m[    0.000001] Info: ", "x 1e99 y"} {
		f.Add(seed, int64(1), int64(2))
	}
	custom, err := NewPattern("custom", `x (?P<value>\S*) y`, "s", "vmm_exec")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, first, last int64) {
		var lines []Line
		for l := range strings.Lines(text) {
			lines = append(lines, Line{first, last, l})
			first, last = first+1e6, last+1e6
		}
		claims := Parse(lines, []Pattern{custom})
		for _, c := range claims {
			if c.NS < 0 || c.ResolutionNS < 0 || c.Kind != TSC && c.ResolutionNS == 0 || c.Number >= len(lines) {
				t.Errorf("%+v", c)
			}
		}
		e := Evidence{Events: map[string]int64{vmmExec: 1, guestEntry: 2, firmwareEnd: 3}, NoTSC: "none"}
		for _, v := range Judge(claims, e) {
			switch v.Status {
			case Agrees, Off:
			case Unknown:
				if v.Reason == "" {
					t.Errorf("no reason: %+v", v)
				}
			default:
				t.Errorf("status %q", v.Status)
			}
		}
	})
}

// TestUnmatched: a pattern that finds nothing has a verdict of its own.
func TestUnmatched(t *testing.T) {
	var patterns []Pattern
	for _, name := range []string{"up", "never"} {
		p, err := NewPattern(name, "^"+name+" (?P<value>.+)$", "ms", "")
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	claims := Parse([]Line{{Text: "up 5"}, {Text: "never yet"}}, patterns)
	want := []Verdict{{Name: "never", Kind: Duration, Status: Unknown, Reason: NoLine}}
	if diff := cmp.Diff(want, Unmatched(patterns, claims)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
