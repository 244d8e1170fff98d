// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/linux"
)

// What a microVM printed on 2026-11-23: 100 reads or writes of each kind, on a disk of 50
// a second.
func TestReadFio(t *testing.T) {
	got, err := ReadFio(recorded(t, "fio.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, r := range got {
		kinds = append(kinds, r.Kind)
		// fio flushes after a write, and not after the last one.
		count, moved := uint64(100), uint64(409600)
		if r.Kind == "fsync" {
			count, moved = 99, 0
		}
		if r.BlockBytes != 4096 || r.Count != count || r.Bytes != moved || (r.Duration > 0) != (moved > 0) {
			t.Errorf("%+v", r)
		}
		if l := r.Latency; l["p50"] <= 0 || l["p50"] > l["p90"] || l["p90"] > l["p99"] || l["p99"] > l["p999"] || l["mean"] > l["max"] {
			t.Errorf("%s: %v", r.Kind, l)
		}
		// Each waits for its turn on the disk: 20 ms, but for the first few.
		if r.Kind != "fsync" && (r.Latency["mean"] < 18*time.Millisecond || r.Latency["mean"] > 20*time.Millisecond) {
			t.Errorf("%s: mean %v", r.Kind, r.Latency["mean"])
		}
	}
	if diff := cmp.Diff(linux.FioKinds, kinds); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

func TestReadFioFails(t *testing.T) {
	whole := recorded(t, "fio.txt")
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":        {"", ErrNotOver.Error()},
		"not over":       {strings.Replace(whole, linux.FioOver, "", 1), ErrNotOver.Error()},
		"failed":         {"fio-3.33\nukprobe-fio: FAILED: there is no disk /dev/vda\r\nmore", "fio: there is no disk /dev/vda"},
		"no JSON":        {linux.FioResults + "\nKilled\n" + linux.FioOver, "fio's output has no JSON"},
		"cut":            {whole[:len(whole)*2/3] + "\n" + linux.FioOver, "fio's output: "},
		"no jobs":        {linux.FioResults + "\n{}\n" + linux.FioOver, "fio's output has no jobs"},
		"unknown job":    {strings.Replace(whole, "randread-4096", "readrand-4096", 1), `unknown job "readrand-4096"`},
		"no size":        {strings.Replace(whole, "randread-4096", "randread", 1), `unknown job "randread"`},
		"a job's error":  {strings.Replace(whole, `"error" : 0`, `"error" : 5`, 1), "job randread-4096 ended with error 5"},
		"nothing done":   {strings.ReplaceAll(whole, `"total_ios" : 100`, `"total_ios" : 0`), "job randread-4096: nothing was done"},
		"negative times": {strings.Replace(whole, `"mean" : 1`, `"mean" : -1`, 5), "out of range"},
	} {
		if r, err := ReadFio(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v; want %q", name, r, err, tt.want)
		}
	}
	if _, err := ReadFio(""); !errors.Is(err, ErrNotOver) {
		t.Error(err)
	}
}

// FuzzFio: nothing that a guest prints breaks it, or gives figures that cannot be.
func FuzzFio(f *testing.F) {
	f.Add(recorded(f, "fio.txt"))
	f.Add(linux.FioResults + "\n" + `{"jobs":[{"jobname":"read-512","read":{"total_ios":1,"runtime":1e300,"lat_ns":{"N":1,"mean":1}}}]}` + linux.FioOver)
	f.Add(linux.FioFailed)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadFio(text)
		if err != nil {
			return
		}
		for _, r := range got {
			if r.Count == 0 || r.Duration < 0 || r.BlockBytes < 1 || math.IsNaN(r.Duration.Seconds()) {
				t.Errorf("%+v", r)
			}
			for name, d := range r.Latency {
				if d < 0 {
					t.Errorf("%s %v", name, d)
				}
			}
		}
	})
}

// TestFioVerify: a bucket's upper end is not above the longest, and of few there are no
// high quantiles.
func TestFioVerify(t *testing.T) {
	r := FioResult{Count: 500, Latency: map[string]time.Duration{"p50": 0, "p90": ms(1), "p99": ms(2.02), "p999": ms(2.02), "max": ms(2), "mean": ms(1)}}
	wrong := r.Verify()
	if diff := cmp.Diff(map[string]time.Duration{"p90": ms(1), "p99": ms(2), "max": ms(2), "mean": ms(1)}, r.Latency); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := map[string]string{"p50": "shorter than the guest's clock can tell", "p999": "of 500 it is the slowest one"}
	if diff := cmp.Diff(want, wrong); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
