// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
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
		f.Verify("p")
		if diff := cmp.Diff(want, f.Latency); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.missing, f.Missing); diff != "" || len(f.Notes) != len(tt.missing) {
			t.Errorf("%s: notes %q, missing (-want +got):\n%s", tt.name, f.Notes, diff)
		}
	}
}

// TestVerifyWrkPipeline: wrk 4.1.0 with eight requests on each connection, as it was
// recorded, tells no value that is 0.
func TestVerifyWrkPipeline(t *testing.T) {
	f, err := readWrk(recorded(t, "wrk-pipe8.txt"))
	if err != nil {
		t.Fatal(err)
	}
	f.Verify("wrk")
	for name, d := range f.Latency {
		if d == 0 || strings.HasPrefix(name, "p") {
			t.Errorf("%s %v", name, d)
		}
	}
	if f.Missing["p90"] == "" || f.Missing["p50"] == "" || len(f.Notes) == 0 {
		t.Errorf("missing %v, notes %q", f.Missing, f.Notes)
	}
}
