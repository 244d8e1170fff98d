// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// correct is what wrk does to its samples before it tells them (4.1.0, src/stats.c,
// stats_correct; those below the shortest are counted and not told).
func correct(seen micros, expected uint32) micros {
	out, least := maps.Clone(seen), ^uint32(0)
	for us := range seen {
		least = min(least, us)
	}
	for us, n := range seen {
		for m := int64(us) - int64(expected); us >= 2*expected && m > int64(expected); m -= int64(expected) {
			if m >= int64(least) {
				out[uint32(m)] += n
			}
		}
	}
	return out
}

// TestTakeOut: what wrk has added can be told from what it has seen, whatever that is.
func TestTakeOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		seen := micros{}
		least, most := 1+r.Uint32N(50), 100+r.Uint32N(3000)
		for range 1 + r.IntN(200) {
			seen[least+r.Uint32N(most)] += 1 + uint64(r.IntN(5))
		}
		expected := 1 + r.Uint32N(200)
		got := correct(seen, expected)
		if err := got.takeOut(int64(expected)); err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(got, func(_ uint32, n uint64) bool { return n == 0 })
		if diff := cmp.Diff(seen, got); diff != "" {
			t.Fatalf("expected %d (-want +got):\n%s", expected, diff)
		}
	}
}

// TestWrkSamples: runs of wrk 4.1.0, as they were recorded. It has printed a mean of which
// more requests were on their way than it has connections, and quantiles of 0; what it has
// seen is neither.
func TestWrkSamples(t *testing.T) {
	for file, tt := range map[string]struct {
		pipe, atOnce int
	}{
		"wrk-stalls.txt": {1, 4}, // each half second the server stalls for 100 ms
		"wrk-pipe8.txt":  {8, 32},
	} {
		text := recorded(t, file)
		f, err := wrkOf(text, tt.pipe)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Missing) != 0 && tt.pipe == 1 || f.Latency["p50"] == 0 {
			t.Errorf("%s: %+v", file, f)
		}
		mean, most := f.Latency["mean"], f.Latency["max"]
		f.Verify(Command{Name: "wrk", AtOnce: tt.atOnce})
		if len(f.Notes) != 0 {
			t.Errorf("%s: %q", file, f.Notes)
		}
		// All connections wait all of the time, but for wrk's own.
		if n := f.PerSecond * mean.Seconds(); n < 0.7*float64(tt.atOnce) || n > 1.01*float64(tt.atOnce) {
			t.Errorf("%s: %v requests at a time on average", file, n)
		}
		_, printedLine, _ := strings.Cut(text, "    Latency ")
		m := strings.Fields(printedLine)
		printed, err1 := wrkTime(m[0])
		longest, err2 := wrkTime(m[2])
		if err1 != nil || err2 != nil || most.Round(100*time.Microsecond) != longest.Round(100*time.Microsecond) {
			t.Errorf("%s: longest %v, printed %v", file, most, longest)
		}
		t.Logf("%s: mean %v, printed %v; p99 %v", file, mean, printed, f.Latency["p99"])
	}
}

// TestWrkSamplesThatAreNot: what does not add up gives no latencies.
func TestWrkSamplesThatAreNot(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "this one does not tell which",
		"ukprobe: 100 4\n":                     "this one does not tell which", // cut off
		"ukprobe: 100 4\nukprobe: run 100 5\n": "without them there are 4, of 5 requests",
		"ukprobe: 100 4\nukprobe: run 100 3\n": "without them there are 4, of 3 requests",
		"ukprobe: 30 1\nukprobe: 100 4\nukprobe: run 40 16\n": "4 of 100 µs have not left theirs at 90 µs",
	} {
		s := &wrkSamples{all: micros{}, connections: 4, pipe: 1}
		for line := range strings.Lines(text) {
			s.line(strings.TrimSuffix(line, "\n"))
		}
		var f Figures
		s.into(&f, 0)
		if len(f.Latency) != 0 || len(f.Missing) != len(wrkLatencies) || !strings.HasSuffix(f.Missing["mean"], want) {
			t.Errorf("%q: %+v", text, f)
		}
	}
	// Answers after more than 2 s are no samples.
	s := &wrkSamples{all: micros{100: 4}, connections: 4, pipe: 1, over: true, runUs: 100, complete: 5}
	var f Figures
	if s.into(&f, 1); f.Latency["p50"] != us(100) {
		t.Errorf("%+v", f)
	}
	if fmt.Sprint(f.Missing["p99"]) == "" {
		t.Errorf("%+v", f)
	}
}
