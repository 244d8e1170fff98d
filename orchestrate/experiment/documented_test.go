// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/methodpage"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
	"github.com/ukprobe/ukprobe/orchestrate/workload/openloop"
	"github.com/ukprobe/ukprobe/probe"
)

// replay has the generators' recorded outputs in place of their runs, and a guest whose
// every cost was seen.
type replay struct {
	live *Live
	text string
}

func (r replay) Run(_ context.Context, c workload.Command) (workload.Ran, error) {
	for range 200 { // as if it had run so much longer: there are quantiles then
		if c.Line == nil {
			break
		}
		for line := range strings.Lines(r.text) {
			c.Line(strings.TrimRight(line, "\n"))
		}
	}
	return workload.Ran{Stdout: r.text, Wall: time.Second, CPU: time.Second / 10}, nil
}

func (r replay) Measure(ctx context.Context, prefix string, c workload.Command, read func(workload.Ran) (workload.Figures, error)) error {
	ran, err := r.Run(ctx, c)
	if err != nil {
		return err
	}
	f, err := read(ran)
	if err != nil {
		return err
	}
	f.Verify(c)
	if mean, told := f.Latency["mean"]; told && mean < time.Second { // longer than on the wire
		f.Latency["mean"] = time.Second
	}
	r.live.figures(prefix, f)
	(&bench{live: r.live}).saturation(prefix, c, ran)
	r.live.costs(prefix, meter{counts: probe.Counts{Spans: map[string]probe.Histogram{probe.SpanHalted: {}, probe.SpanWaited: {}}}}, everything(), f.Requests)
	r.live.hostNetwork(prefix, f)
	return nil
}

// everything is a reading in which nothing is missing.
func everything() meter {
	return meter{cpu: 9 * time.Second, system: time.Second, counts: probe.Counts{
		Values:    map[string]uint64{"kvm_exits": 1400, "kvm_userspace_exits": 110, "frames_in": 5, "frames_out": 6},
		Exits:     map[string]probe.Histogram{"hlt": histogram(1400, time.Millisecond)},
		Parts:     map[string]probe.Parts{"hlt": {VMM: 100 * time.Millisecond, Halted: 200 * time.Millisecond, Waited: 40 * time.Millisecond}},
		GuestTime: map[string]probe.Histogram{"hlt": histogram(400, 500*time.Microsecond)},
		Spans:     map[string]probe.Histogram{probe.SpanHalted: histogram(3, time.Millisecond), probe.SpanWaited: histogram(3, time.Millisecond)},
		Network:   probe.Network{Responses: map[probe.Exchange]probe.Histogram{{Kind: "tcp_next", Side: "guest"}: histogram(100, 300*time.Microsecond)}},
	}}
}

// steady is what ukprobe load-http prints of a server that answers at once.
func steady(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }))
	defer server.Close()
	r, err := openloop.Run(t.Context(), openloop.Options{Addr: netip.MustParseAddrPort(server.Listener.Addr().String()),
		Rate: 5000, Requests: 1000, Connections: 4, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// underLoad are the values of a load, as by a generator's output.
func underLoad(t *testing.T, g workload.Generator, w matrix.Workload, output string) map[string]float64 {
	t.Helper()
	l := &Live{Boot: &Boot{Accel: platform.KVM}, Sample: &Sample{}}
	if err := g.Load(t.Context(), replay{live: l, text: output}, netip.MustParseAddrPort("198.18.0.2:99"), w); err != nil {
		t.Fatalf("%T: %v", g, err)
	}
	return l.Sample.Values
}

func recorded(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../workload/testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// ofFio are the values of experiment fs, of a recorded run of fio and a disk of which
// everything was seen.
func ofFio(t *testing.T) map[string]float64 {
	t.Helper()
	l := &Live{Sample: &Sample{}}
	jobs, err := workload.ReadFio(recorded(t, "fio.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range jobs {
		r.Count += 1000 // of fewer there is no p999
		for name, d := range r.Latency {
			r.Latency[name] = max(d, 1)
		}
		l.fioFigures("", r)
	}
	calls := probe.DiskCalls{Count: 3, Bytes: 12288, Latency: histogram(3, time.Millisecond)}
	calls.Sizes[12] = 3
	l.hostDid(probe.DiskIO{Calls: 9}, probe.DiskIO{Reads: calls, Writes: calls, Flushes: probe.DiskCalls{Count: 1, Latency: histogram(1, time.Millisecond)}, Unseen: 1}, true)
	l.Value("cpu_ns", 1) // fio itself
	return l.Sample.Values
}

// TestValuesAreDocumented: the pages of the experiments with a client, and of fs, name what
// these yield, and nothing else.
func TestValuesAreDocumented(t *testing.T) {
	load := matrix.DefaultLoad()
	load.Warmup, load.Rate, load.Connections, load.Threads = 0, 0, 4, 1 // as with wrk-stalls.txt
	atRate := load
	atRate.Rate, atRate.Requests = 5000, 1000
	throughput := map[string]float64{}
	for file, g := range map[string]workload.Generator{"wrk-stalls.txt": workload.Wrk{}, "redis.csv": workload.RedisBenchmark{}, "memaslap.txt": workload.Memaslap{}, "sysbench.txt": workload.Sysbench{}} {
		maps.Copy(throughput, underLoad(t, g, load, recorded(t, file)))
	}
	for _, tt := range []struct {
		experiment string
		values     map[string]float64
		also       string // the page that says the rest
	}{
		{matrix.Throughput, throughput, ""},
		{matrix.HTTP, underLoad(t, workload.FixedRate{}, atRate, steady(t)), matrix.Throughput},
		{matrix.DNS, underLoad(t, workload.Dnsperf{}, load, recorded(t, "dnsperf-verbose.txt")), matrix.Throughput},
		{matrix.FileSystem, ofFio(t), ""},
	} {
		t.Run(tt.experiment, func(t *testing.T) {
			promised := methodpage.Values(t, tt.experiment)
			known := maps.Clone(promised)
			if tt.also != "" {
				maps.Copy(known, methodpage.Values(t, tt.also))
			}
			var unnamed, unkept []string
			for name := range tt.values {
				name = inGeneral(name)
				if !known[name] {
					unnamed = append(unnamed, name)
				}
				delete(promised, name)
			}
			unkept = slices.Sorted(maps.Keys(promised))
			slices.Sort(unnamed)
			if d := cmp.Diff([]string(nil), unnamed); d != "" {
				t.Errorf("yielded, and not on the page:\n%s", d)
			}
			if d := cmp.Diff([]string(nil), unkept); d != "" {
				t.Errorf("on the page, and not yielded:\n%s", d)
			}
		})
	}
}

// inGeneral is a value's name as the pages have it.
func inGeneral(name string) string {
	return sizeClass.ReplaceAllString(strings.TrimPrefix(name, "set_"), "_from_N_bytes")
}

var sizeClass = regexp.MustCompile(`_from_\d+_bytes$`)
