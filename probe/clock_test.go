// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestUnmappable(t *testing.T) {
	tests := []struct {
		name, cpuinfo, clocksource, want string
	}{
		{"invariant", "flags\t\t: fpu constant_tsc nonstop_tsc", "hpet", ""},
		{"the kernel trusts it", "flags\t\t: fpu tsc", "tsc", ""},
		{"stops", "flags\t\t: fpu constant_tsc\n", "hpet", "no nonstop_tsc"},
		{"neither", "processor: 0\nflags\t\t: fpu tsc\n", "acpi_pm", "no constant_tsc and no nonstop_tsc"},
		{"no flags", "Processor\t: AArch64\n", "arch_sys_counter", "lists no CPU flags"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := unmappable(tt.cpuinfo, tt.clocksource)
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q in it", got, tt.want)
			}
		})
	}
}

// TestHostClockOfThisMachine: readings between pairs are where they belong.
func TestHostClockOfThisMachine(t *testing.T) {
	c, err := NewHostClock()
	if err != nil {
		t.Skip(err)
	}
	type reading struct {
		tsc           uint64
		before, after int64
	}
	var readings []reading
	for range 5 {
		if err := c.pair(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		before := now()
		tsc := rdtsc()
		readings = append(readings, reading{tsc, before, now()})
	}
	last := readings[len(readings)-1]
	if _, _, err := c.At(last.tsc); err == nil {
		t.Error("a reading after the last pair is mapped")
	}
	if err := c.pair(); err != nil {
		t.Fatal(err)
	}
	for _, r := range readings {
		ns, errNS, err := c.At(r.tsc)
		if err != nil {
			t.Fatal(err)
		}
		if ns+errNS < r.before || ns-errNS > r.after {
			t.Errorf("mapped to %d ± %d; it was read between %d and %d", ns, errNS, r.before, r.after)
		}
		if errNS <= 0 || errNS > 1e6 {
			t.Errorf("error %d ns", errNS)
		}
	}
	if _, _, err := c.At(c.pairs[0].tsc - 1); err == nil {
		t.Error("a reading before the first pair is mapped")
	}
	if _, _, err := (&HostClock{}).At(1); err == nil {
		t.Error("a reading is mapped without a pair")
	}
}

// wandering is a clock whose rate changes within a bound, over a TSC of 2 GHz.
type wandering struct {
	r    *rand.Rand
	ppm  float64
	tsc  uint64
	ns   float64
	rate float64
}

func (w *wandering) run(ticks uint64) {
	w.tsc += ticks
	w.ns += float64(ticks) / 2 * (1 + w.rate/1e6)
	w.rate = (2*w.r.Float64() - 1) * w.ppm
}

func (w *wandering) pair(ntp ntpState) clockPair {
	const half = 100
	return clockPair{tsc: w.tsc + w.r.Uint64N(2*half) - half, half: half, ns: int64(w.ns), ntp: ntp}
}

// TestHostClockBound: as long as a clock's rate stays within what the bound
// allows, no reading is outside it.
func TestHostClockBound(t *testing.T) {
	for _, tt := range []struct {
		name   string
		source string
		ntp    ntpState
		ppm    float64
	}{
		{"quiet", "tsc", ntpState{tick: 10000}, granularPPM},
		{"slewing", "tsc", ntpState{tick: 10000, slewing: true}, slewPPM},
		{"another clocksource", "hpet", ntpState{tick: 10000}, slewPPM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			w := &wandering{r: r, ppm: tt.ppm, tsc: 1 << 50, ns: 1e12}
			c := &HostClock{source: tt.source}
			type truth struct {
				tsc uint64
				ns  float64
			}
			var truths []truth
			for range 200 {
				c.add(w.pair(tt.ntp))
				for range 1 + r.IntN(20) {
					w.run(1 + r.Uint64N(20_000_000))
					truths = append(truths, truth{w.tsc, w.ns})
				}
			}
			c.add(w.pair(tt.ntp))
			for _, x := range truths {
				ns, errNS, err := c.At(x.tsc)
				if err != nil {
					continue // the last ones can be within the last pair's width
				}
				if d := float64(ns) - x.ns; d > float64(errNS) || d < -float64(errNS) {
					t.Fatalf("off by %.0f ns at an error of %d", d, errNS)
				}
			}
			if c.excess != 0 {
				t.Errorf("excess %d ns of a clock that keeps its bound", c.excess)
			}
		})
	}
}

// TestHostClockExcess: a clock that breaks its bound makes the bound larger by
// what was seen.
func TestHostClockExcess(t *testing.T) {
	ntp := ntpState{tick: 10000}
	c := &HostClock{source: "tsc"}
	c.add(clockPair{tsc: 1000, half: 1, ns: 1_000_000, ntp: ntp})
	c.add(clockPair{tsc: 3000_000, half: 1, ns: 2_500_000 + 50_000, ntp: ntp}) // 50 µs from the line
	c.add(clockPair{tsc: 6000_000, half: 1, ns: 4_000_000, ntp: ntp})
	_, errNS, err := c.At(4000_000)
	if err != nil {
		t.Fatal(err)
	}
	if errNS < 49_000 || errNS > 51_000 {
		t.Errorf("error %d ns, want about the 50 µs that a pair was off", errNS)
	}
	c.add(clockPair{tsc: 5000_000, half: 1, ns: 5_000_000, ntp: ntp}) // the TSC goes back
	if _, errNS, _ := c.At(4000_000); errNS < 1_000_000 {
		t.Errorf("error %d ns after the TSC went back by far more", errNS)
	}
}

// TestHostClockForgetsEverySecondPair: the memory is bounded, the map stays whole.
func TestHostClockForgetsEverySecondPair(t *testing.T) {
	c := &HostClock{source: "tsc"}
	const n = 3 * maxPairs
	for i := range n {
		c.add(clockPair{tsc: uint64(i+1) * 1000, half: 1, ns: int64(i+1) * 500})
	}
	if len(c.pairs) >= maxPairs {
		t.Errorf("%d pairs are kept, want fewer than %d", len(c.pairs), maxPairs)
	}
	for _, tsc := range []uint64{1000, 1500, n * 500, n * 1000} {
		if ns, errNS, err := c.At(tsc); err != nil || abs(ns-int64(tsc/2)) > errNS {
			t.Errorf("%d is mapped to %d ± %d, %v; want %d", tsc, ns, errNS, err, tsc/2)
		}
	}
}
