// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestVerify: what cannot be is missing, with a reason and a note; all else stays.
func TestVerify(t *testing.T) {
	const fall = "p: quantiles that fall are none: p50 2ms, p90 0s, p99 0s"
	for _, tt := range []struct {
		name     string
		in, want map[string]time.Duration
		missing  map[string]string
	}{
		{"well", map[string]time.Duration{"p50": 1, "p90": 1, "p99": 2, "p999": 3, "max": 3, "mean": 1}, nil, nil},
		{"quantiles of 0 after others", map[string]time.Duration{"p50": ms(2), "p90": 0, "p99": 0, "max": ms(5), "mean": ms(1)},
			map[string]time.Duration{"max": ms(5), "mean": ms(1)}, map[string]string{"p50": fall, "p90": fall, "p99": fall}},
		{"rounded to 0", map[string]time.Duration{"p50": 0, "p90": ms(1), "max": ms(1), "mean": 0},
			map[string]time.Duration{"p90": ms(1), "max": ms(1)},
			map[string]string{"p50": "p: it was told as 0, which no answer takes", "mean": "p: it was told as 0, which no answer takes"}},
		{"above the longest", map[string]time.Duration{"p50": ms(1), "p99": ms(3), "max": ms(2), "mean": ms(1)},
			map[string]time.Duration{"p50": ms(1), "max": ms(2), "mean": ms(1)}, map[string]string{"p99": "p: 3ms are more than the longest, 2ms"}},
		{"each kind by itself", map[string]time.Duration{"p50": ms(5), "max": ms(9), "uncorrected_p50": ms(1), "uncorrected_p99": ms(3), "uncorrected_max": ms(2)},
			map[string]time.Duration{"p50": ms(5), "max": ms(9), "uncorrected_p50": ms(1), "uncorrected_max": ms(2)},
			map[string]string{"uncorrected_p99": "p: 3ms are more than the longest, 2ms"}},
	} {
		f := Figures{Latency: tt.in}
		want := tt.want
		if want == nil {
			want = map[string]time.Duration{}
			for k, v := range tt.in {
				want[k] = v
			}
		}
		f.Verify(Command{Name: "p"})
		if diff := cmp.Diff(want, f.Latency); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.missing, f.Missing); diff != "" || len(f.Notes) != len(tt.missing) {
			t.Errorf("%s: notes %q, missing (-want +got):\n%s", tt.name, f.Notes, diff)
		}
	}
}

// TestVerifyApart: quantiles of another run may be above the longest of this one.
func TestVerifyApart(t *testing.T) {
	f := Figures{Apart: 10, Latency: map[string]time.Duration{"p99": ms(3), "max": ms(2), "mean": ms(1)}}
	if f.Verify(Command{Name: "p"}); len(f.Notes) != 0 || len(f.Latency) != 3 {
		t.Errorf("%+v", f)
	}
}

// TestLittle: no more are on their way than can be, in what was recorded of each
// generator and by what they are told to have at once.
func TestLittle(t *testing.T) {
	for _, tt := range []struct {
		f      Figures
		atOnce int
		name   string // what is left out
	}{
		{Figures{PerSecond: 1000, Latency: map[string]time.Duration{"mean": ms(10)}}, 10, ""},
		{Figures{PerSecond: 1000, Latency: map[string]time.Duration{"mean": ms(10.4)}}, 10, ""},
		{Figures{PerSecond: 1000, Latency: map[string]time.Duration{"mean": ms(10.6)}}, 10, "mean"},
		{Figures{PerSecond: 1000, Latency: map[string]time.Duration{"mean": ms(99)}}, 0, ""}, // not known
		// From the moment due it may be more.
		{Figures{PerSecond: 1000, Latency: map[string]time.Duration{"mean": ms(99), "uncorrected_mean": ms(9)}}, 10, ""},
		{Figures{PerSecond: 1000, Latency: map[string]time.Duration{"mean": ms(99), "uncorrected_mean": ms(11)}}, 10, "uncorrected_mean"},
	} {
		tt.f.Verify(Command{Name: "p", AtOnce: tt.atOnce})
		if _, left := tt.f.Latency[tt.name]; left || (tt.name == "") != (len(tt.f.Notes) == 0) || (tt.name != "") != (tt.f.Missing[tt.name] != "") {
			t.Errorf("%+v", tt)
		}
	}
	w := load(time.Second, 0)
	w.Pipeline, w.Connections, w.Threads = 4, 9, 2
	for g, want := range map[Generator]int{Wrk{}: 32, RedisBenchmark{}: 36, Memaslap{}: 9, Sysbench{}: 9, Dnsperf{}: 36, FixedRate{}: 9} {
		l := logged{answer: func(argv []string) (r Ran) {
			switch argv[0] { // what is read before the run that counts
			case dnsperf:
				r.Stdout = recorded(t, "dnsperf.txt")
			case "redis-benchmark":
				r.Stdout = recorded(t, "redis.csv")
			}
			return r
		}}
		if err := g.Load(t.Context(), &l, guest, w); err != nil {
			t.Fatal(err)
		}
		if l.atOnce != want {
			t.Errorf("%T: %d at once, want %d", g, l.atOnce, want)
		}
	}
}
