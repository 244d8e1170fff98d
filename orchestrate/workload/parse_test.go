// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func us(n float64) time.Duration { return time.Duration(n * float64(time.Microsecond)) }
func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// recorded is a generator's output as it was on 2026-11-23 with Debian 12's packages.
func recorded(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var readers = map[string]func(string) (Figures, error){
	"wrk":      toldWrk,
	"redis":    func(text string) (Figures, error) { return readRedis(text, 50_000) },
	"memaslap": readMemaslap,
	"sysbench": readSysbench,
	"dnsperf":  readDnsperf,
	"http":     func(text string) (Figures, error) { return readHTTP(text, 100) },
}

// toldWrk reads the output of a run with four connections.
func toldWrk(text string) (Figures, error) {
	return wrkOf(text, 1)
}

// wrkOf reads what a run with four connections has told.
func wrkOf(text string, pipe int) (Figures, error) {
	s := &wrkSamples{all: micros{}, connections: 4, pipe: pipe}
	var rest strings.Builder
	for line := range strings.Lines(text) {
		if !s.line(strings.TrimSuffix(line, "\n")) {
			rest.WriteString(line)
		}
	}
	return s.figures(rest.String())
}

func TestRead(t *testing.T) {
	noP90 := map[string]string{"p90": "redis-benchmark tells p50, p95 and p99"}
	untold := map[string]string{}
	for _, name := range wrkLatencies {
		untold[name] = "wrk adds samples that it has not seen, and this one does not tell which"
	}
	for file, want := range map[string]Figures{
		// Without samples there are no latencies.
		"wrk.txt": {Requests: 44017, Duration: ms(3010), PerSecond: 14605.10, Latency: map[string]time.Duration{}, Missing: untold},
		// A page that is not there.
		"wrk-404.txt": {Requests: 0, Errors: 34127, Trouble: "34127 answers with a status that is not 2xx or 3xx", Duration: ms(2020), Latency: map[string]time.Duration{}, Missing: untold},
		// The server was ended meanwhile.
		"wrk-died.txt": {Requests: 12254, Errors: 13581, Trouble: "8 reads that failed, 13573 writes that failed", Duration: ms(2090), PerSecond: 5855.08,
			Latency: map[string]time.Duration{}, Missing: untold},
		"redis.csv": {Requests: 50_000, PerSecond: 24875.62, Duration: time.Duration(math.Round(50_000 / 24875.62 * 1e9)), Missing: noP90,
			Latency: map[string]time.Duration{"mean": us(269), "p50": us(143), "p95": us(1287), "p99": us(3079), "max": us(8743)}},
		"redis-p16.csv": {Requests: 50_000, PerSecond: 390624.97, Duration: time.Duration(math.Round(50_000 / 390624.97 * 1e9)), Missing: noP90,
			Latency: map[string]time.Duration{"mean": us(292), "p50": us(183), "p95": us(759), "p99": us(3623), "max": us(7031)}},
		// Of 86877: the 43439th is in the bucket up to 64 µs, 13791 + 60233; the 78190th in
		// that up to 128 µs; the 86009th in that up to 256 µs, 85667 + 578.
		"memaslap.txt": {Requests: 86880, Duration: 2 * time.Second, PerSecond: 43435,
			Latency: map[string]time.Duration{"mean": us(68), "max": us(27230), "p50": us(64), "p90": us(128), "p99": us(256)}},
		"sysbench.txt": {Requests: 44188, Duration: us(2002600), PerSecond: 22061.05,
			Latency: map[string]time.Duration{"mean": us(180), "max": us(29320), "p99": us(920), "p50": us(141), "p90": us(307)}},
		"dnsperf.txt": {Requests: 7529, Duration: us(2000133), PerSecond: 7529 / us(2000133).Seconds(),
			Latency: map[string]time.Duration{"mean": us(133), "max": us(5709)}},
		// A name that is there, one that is not, one of another zone.
		"dnsperf-codes.txt": {Requests: 17, Errors: 33, Trouble: "17 NXDOMAIN, 16 REFUSED", Duration: us(1000268), PerSecond: 17 / us(1000268).Seconds(),
			Latency: map[string]time.Duration{"mean": us(372), "max": us(9332)}},
		// No server is there.
		"dnsperf-lost.txt": {Errors: 4, Trouble: "4 without an answer", Duration: us(1000232), Latency: map[string]time.Duration{}},
		"http.json": {Requests: 93, Errors: 7, Trouble: "2: no answer in time, 1: status 404 Not Found, 4 were due and not sent, since all connections waited for answers: 100 requests per second are too many",
			Duration: 2 * time.Second, PerSecond: 46.5,
			Latency: map[string]time.Duration{"p50": ms(2), "uncorrected_p50": ms(1)}, Late: map[string]time.Duration{"p50": us(5), "p99": ms(1.5)},
			Missing: map[string]string{"p999": "of 100 requests it is the slowest one", "uncorrected_p999": "of 100 requests it is the slowest one"},
			Notes:   []string{"load-http: one request in a hundred was sent 1.5ms or more after it was due: the client or its connections were too slow"}},
	} {
		t.Run(file, func(t *testing.T) {
			name, _, _ := strings.Cut(strings.TrimSuffix(file, filepath.Ext(file)), "-")
			got, err := readers[name](recorded(t, file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Figures are never made of what does not have them.
func TestReadNothing(t *testing.T) {
	for name, read := range readers {
		for _, text := range []string{"", "Killed\n", "unable to connect to 127.0.0.1:81 Connection refused\n", "{}", "\"test\",\"rps\"\n"} {
			if f, err := read(text); err == nil {
				t.Errorf("%s: %q gives %+v", name, text, f)
			}
		}
	}
	if f, err := readMemaslap(recorded(t, "memaslap-nostats.txt")); err == nil || !strings.Contains(err.Error(), "no distribution") {
		t.Errorf("without a distribution: %+v, %v", f, err)
	}
}

// The quantiles are of the lines that dnsperf -v prints, which are not kept.
func TestDnsperfAnswers(t *testing.T) {
	c, a := Dnsperf{}.verbose("dnsperf", guest, load(time.Second, 0))
	taken, text := 0, recorded(t, "dnsperf-verbose.txt")
	for line := range strings.Lines(text) {
		if c.Line(strings.TrimSuffix(line, "\n")) {
			taken++
		} else if strings.HasPrefix(line, "> ") {
			t.Errorf("kept: %q", line)
		}
	}
	f, err := readDnsperf(text)
	if err != nil || taken == 0 || uint64(taken) != f.Requests {
		t.Fatalf("%d of %d answers, %v", taken, f.Requests, err)
	}
	mean := f.Latency["mean"]
	a.into(&f)
	// The lines' own mean is that of the statistics.
	sum := uint64(0)
	for us, n := range a.micros {
		sum += uint64(us) * n
	}
	if own := time.Duration(sum/f.Requests) * time.Microsecond; own < mean-2*time.Microsecond || own > mean+2*time.Microsecond {
		t.Errorf("mean %v, of the lines %v", mean, own)
	}
	if p50, p99 := f.Latency["p50"], f.Latency["p99"]; p50 == 0 || p50 > p99 || p99 > f.Latency["max"] {
		t.Errorf("%v", f.Latency)
	}
	few := answers{micros{}}
	few.line("> NOERROR host-000.ukprobe.test A 0.000250")
	few.line("> NXDOMAIN nobody.ukprobe.test A 9.000000")
	few.line("> T host-001.ukprobe.test A 5.000001")
	got := Figures{Latency: map[string]time.Duration{}}
	few.into(&got)
	if got.Latency["p50"] != us(250) || len(got.Latency) != 1 || got.Missing["p99"] != "of 1 answers it is the slowest one" {
		t.Errorf("of one answer: %+v", got)
	}
}

// TestHTTPTime: answers and the time in which they came make the rate, also of few requests,
// of which the last is answered a gap before the schedule is over.
func TestHTTPTime(t *testing.T) {
	f, err := readHTTP(`{"due": 50, "answered": 50, "failed": 0, "unsent": 0, "took_ns": 2451000000, "latency_ns": {}, "service_ns": {}, "late_ns": {}}`, 20)
	if err != nil || f.PerSecond != 20 || f.Duration != ms(2500) {
		t.Errorf("%+v, %v", f, err)
	}
}

// A miss of memaslap is an error.
func TestMisses(t *testing.T) {
	f, err := readMemaslap(strings.Replace(recorded(t, "memaslap.txt"), "get_misses: 0", "get_misses: 17", 1))
	if err != nil || f.Errors != 17 || f.Trouble == "" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestWrkTime(t *testing.T) {
	for text, want := range map[string]time.Duration{"0.00us": 0, "448.00us": us(448), "1.06ms": us(1060), "2.50s": ms(2500), "1.20m": 72 * time.Second, "1.00h": time.Hour} {
		if got, err := wrkTime(text); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1.0", "1.0x", "us", "-1us", "1e300h", "NaNs"} {
		if got, err := wrkTime(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// FuzzRead: no output of a client, which a guest has its part in, breaks a reader or
// makes it give figures that cannot be.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, path := range files {
		f.Add(recorded(f, filepath.Base(path)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, read := range readers {
			got, err := read(text)
			if err != nil {
				continue
			}
			if got.Duration < 0 || got.PerSecond < 0 || math.IsNaN(got.PerSecond) || math.IsInf(got.PerSecond, 0) {
				t.Errorf("%s: %+v", name, got)
			}
			for what, d := range got.Latency {
				if d < 0 {
					t.Errorf("%s: %s %v", name, what, d)
				}
			}
		}
	})
}
