// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/internal/hostfile"
)

// HostClock converts readings of the host's time-stamp counter to
// CLOCK_MONOTONIC, the clock of every event, with a bound on the error.
//
// It knows pairs of the two clocks taken at several moments ([HostClock.Pair])
// and draws a straight line between neighbours; it does not extrapolate. The
// bound has four terms, docs/experiments/timing-validation.md:
//
//   - each pair's half-width: the counter was read before and after
//     clock_gettime, whose value belongs to some moment between;
//   - the line: between two pairs the rate of CLOCK_MONOTONIC may have changed.
//     With a rate within ±s of its mean, the clock strays from the chord by at
//     most 2·s·a·b/(a+b), a and b being the distances to the two pairs;
//   - the kernel's fast clock, which bpf_ktime_get_ns reads, may lag a change of
//     the rate by one tick: s times 10 ms (HZ=100);
//   - what the pairs contradict: if a pair was not where its neighbours' line and
//     the bound allow it, the largest such excess is added to every bound.
//
// Not for concurrent use.
type HostClock struct {
	pairs  []clockPair // in the order of both clocks
	excess int64       // ns
	source string      // the kernel's clocksource
}

// clockPair is one moment on both clocks.
type clockPair struct {
	tsc  uint64
	half uint64 // ± ticks of tsc
	ns   int64
	ntp  ntpState
}

// ntpState is what decides the rate of CLOCK_MONOTONIC, from adjtimex(2).
type ntpState struct {
	freq, tick int64
	slewing    bool // an offset is being worked off, or the state is not known
}

const (
	// pairTries is how many readings compete to be a pair: the narrowest wins, as
	// an interrupt or a missed cache line only ever widens one.
	pairTries = 32
	// maxPairs bounds the memory of a long watch. When it is reached every second
	// pair is dropped: the bound grows, it is not lost.
	maxPairs = 4096
	// minPairGap keeps pairs from being taken for each byte of a chatty guest.
	minPairGap = 5 * time.Millisecond
	// granularPPM bounds the dither of CLOCK_MONOTONIC's rate: the kernel
	// changes its multiplier by one unit (kernel/time/timekeeping.c,
	// timekeeping_adjust), and clocks_calc_mult_shift gives a multiplier of at
	// least 22 bits to a counter above 1 MHz that must not overflow within 600 s:
	// 0.24 ppm. Rounded up.
	granularPPM = 1
	// slewPPM is the rate that NTP can add or take: MAXFREQ of the kernel,
	// 500 ppm, by frequency, and as much by adjtime's slewing.
	slewPPM = 1000
	// tickPPM is what one microsecond of adjtimex's tick is, at 100 ticks a second.
	tickPPM = 100
	// tickNS is the longest tick of a Linux kernel (HZ=100).
	tickNS = 10_000_000
)

// NewHostClock returns a clock without pairs, or the reason why this host's
// counter cannot be mapped: it must run at one rate whatever the CPU does.
func NewHostClock() (*HostClock, error) {
	if !haveTSC {
		return nil, errors.New("map the TSC: only x86-64 has one")
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return nil, fmt.Errorf("map the TSC: %w", err)
	}
	source, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil {
		return nil, fmt.Errorf("map the TSC: %w", err)
	}
	c := &HostClock{source: strings.TrimSpace(string(source))}
	if why := unmappable(string(info), c.source); why != "" {
		return nil, fmt.Errorf("map the TSC to CLOCK_MONOTONIC: %s", why)
	}
	return c, nil
}

// unmappable says why a counter cannot be mapped, or "". A kernel that keeps its
// own time by the TSC vouches for it, whatever the CPU's flags are.
func unmappable(cpuinfo, clocksource string) string {
	if clocksource == "tsc" {
		return ""
	}
	flags := flagsOf(cpuinfo)
	if len(flags) == 0 {
		return "/proc/cpuinfo lists no CPU flags"
	}
	var absent []string
	for _, flag := range []string{"constant_tsc", "nonstop_tsc"} {
		if !slices.Contains(flags, flag) {
			absent = append(absent, flag)
		}
	}
	if len(absent) == 0 {
		return ""
	}
	return fmt.Sprintf("the CPU has no %s (/proc/cpuinfo), and the kernel's clocksource is %s, not tsc: its rate may change", strings.Join(absent, " and no "), clocksource)
}

// flagsOf are the first CPU's flags in /proc/cpuinfo.
func flagsOf(cpuinfo string) []string {
	return strings.Fields(hostfile.Field(cpuinfo, "flags"))
}

// Source is the kernel's clocksource: CLOCK_MONOTONIC runs on it. If it is not
// tsc the two clocks drift, and the bound allows for that.
func (c *HostClock) Source() string { return c.source }

// Pair reads both clocks, unless that was done less than 5 ms ago.
func (c *HostClock) Pair() error {
	if n := len(c.pairs); n > 0 && now()-c.pairs[n-1].ns < minPairGap.Nanoseconds() {
		return nil
	}
	return c.pair()
}

// pair reads both clocks.
func (c *HostClock) pair() error {
	best := clockPair{half: ^uint64(0)}
	for range pairTries {
		before := rdtsc()
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			return fmt.Errorf("read CLOCK_MONOTONIC: %w", err)
		}
		after := rdtsc()
		if width := after - before; after > before && (width+1)/2 < best.half {
			best.tsc, best.half, best.ns = before+width/2, (width+1)/2, ts.Nano()
		}
	}
	if best.half == ^uint64(0) {
		return errors.New("pair the TSC with CLOCK_MONOTONIC: the TSC did not advance")
	}
	best.ntp = readNTP()
	c.add(best)
	return nil
}

// add keeps a pair and holds the one before it against its neighbours.
func (c *HostClock) add(p clockPair) {
	if n := len(c.pairs); n > 0 && (p.tsc <= c.pairs[n-1].tsc || p.ns <= c.pairs[n-1].ns) {
		c.excess = max(c.excess, abs(p.ns-c.pairs[n-1].ns)) // a counter or clock that goes back
		return
	}
	c.pairs = append(c.pairs, p)
	if n := len(c.pairs); n >= 3 {
		a, b := c.pairs[n-3], c.pairs[n-1]
		middle := c.pairs[n-2]
		ns, err := between(a, b, middle.tsc, c.slew(a, b))
		c.excess = max(c.excess, abs(middle.ns-ns)-err-toNS(middle.half, a, b))
	}
	if len(c.pairs) >= maxPairs {
		kept := c.pairs[:0]
		for i, p := range c.pairs {
			if i%2 == 0 || i == len(c.pairs)-1 {
				kept = append(kept, p)
			}
		}
		c.pairs = kept
	}
}

// readNTP reads the state of the clock's discipline.
func readNTP() ntpState {
	var tx unix.Timex
	if _, err := unix.Adjtimex(&tx); err != nil {
		return ntpState{slewing: true}
	}
	return ntpState{freq: tx.Freq, tick: tx.Tick, slewing: tx.Offset != 0}
}

// slew bounds by how much the clock's rate differs from its mean between two
// pairs, in parts per million. If nothing of NTP's settings changed, only the
// kernel's own dither is left; a change that was taken back between two pairs,
// milliseconds apart, is not seen: NTP daemons act once in a second at most.
func (c *HostClock) slew(a, b clockPair) int64 {
	if a.ntp == b.ntp && !a.ntp.slewing && c.source == "tsc" {
		return granularPPM
	}
	return granularPPM + slewPPM + tickPPM*abs(a.ntp.tick-b.ntp.tick)
}

// At converts a reading of the host's counter. errNS bounds the error. A reading
// before the first or after the last pair is an error.
func (c *HostClock) At(tsc uint64) (ns, errNS int64, err error) {
	i, found := slices.BinarySearchFunc(c.pairs, tsc, func(p clockPair, tsc uint64) int {
		switch {
		case p.tsc < tsc:
			return -1
		case p.tsc > tsc:
			return 1
		}
		return 0
	})
	if found && i == 0 {
		i++
	}
	switch {
	case len(c.pairs) < 2:
		return 0, 0, fmt.Errorf("map TSC %d: fewer than two pairs of TSC and CLOCK_MONOTONIC were taken", tsc)
	case i == 0:
		return 0, 0, fmt.Errorf("map TSC %d: it is before the first pair of TSC and CLOCK_MONOTONIC (%d)", tsc, c.pairs[0].tsc)
	case i == len(c.pairs):
		return 0, 0, fmt.Errorf("map TSC %d: it is after the last pair of TSC and CLOCK_MONOTONIC (%d)", tsc, c.pairs[i-1].tsc)
	}
	a, b := c.pairs[i-1], c.pairs[i]
	slew := c.slew(a, b)
	ns, errNS = between(a, b, tsc, slew)
	return ns, errNS + slew*tickNS/1e6 + c.excess, nil
}

// between is the chord of two pairs at tsc, and how far the clock can be from it.
func between(a, b clockPair, tsc uint64, slewPPM int64) (ns, errNS int64) {
	left := toNS(tsc-a.tsc, a, b)
	right := b.ns - a.ns - left
	stray := int64(2 * float64(slewPPM) / 1e6 * float64(left) * float64(right) / float64(b.ns-a.ns))
	const rounding = 2 // of clock_gettime, and of the division, 1 ns each
	return a.ns + left, max(toNS(a.half, a, b), toNS(b.half, a, b)) + stray + rounding
}

// toNS converts ticks at the mean rate between two pairs, of which b is later.
func toNS(ticks uint64, a, b clockPair) int64 {
	hi, lo := bits.Mul64(ticks, uint64(b.ns-a.ns))
	if hi >= b.tsc-a.tsc {
		return int64(^uint64(0) >> 1) // only for ticks far beyond the pairs
	}
	q, _ := bits.Div64(hi, lo, b.tsc-a.tsc)
	return int64(min(q, ^uint64(0)>>1))
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
