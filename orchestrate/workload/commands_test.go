// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// logged is a Bench that notes what would be run.
type logged struct {
	commands []string
	measured []string // their prefixes
	atOnce   int      // of the last one
	answer   func(argv []string) Ran
	fails    string // the name of a command
}

func (l *logged) Run(_ context.Context, c Command) (Ran, error) {
	l.commands = append(l.commands, c.Name+": "+strings.Join(c.Argv, " "))
	if c.Name == l.fails {
		return Ran{}, errors.New("it failed")
	}
	if l.answer == nil {
		return Ran{}, nil
	}
	return l.answer(c.Argv), nil
}

func (l *logged) Measure(ctx context.Context, prefix string, c Command, _ func(Ran) (Figures, error)) error {
	l.measured, l.atOnce = append(l.measured, prefix), c.AtOnce
	_, err := l.Run(ctx, c)
	return err
}

var guest = netip.MustParseAddrPort("198.18.0.2:99")

func load(duration, warmup time.Duration) matrix.Workload {
	return matrix.Workload{Duration: duration, Warmup: warmup, Connections: 30, Threads: 2, Pipeline: 1, ValueBytes: 3}
}

func TestCommands(t *testing.T) {
	piped, counted := load(1500*time.Millisecond, 0), load(time.Second, 0)
	piped.Pipeline, counted.Requests = 16, 5000
	fixed := load(2*time.Second, 500*time.Millisecond)
	fixed.Rate = 1000
	const (
		slap  = "memcaslap -s 198.18.0.2:99 -T 2 -c 30 -X 3 -w 1k -S 24h "
		mysql = " --db-driver=mysql --mysql-host=198.18.0.2 --mysql-port=99 --mysql-user=root --mysql-db="
		dns   = "dnsperf -s 198.18.0.2 -p 99 -d {dir}/queries -c 30 -T 2 "
		table = mysql + "sbtest --tables=1 --table-size=10000 --threads=30 "
	)
	for _, tt := range []struct {
		name string
		g    Generator
		w    matrix.Workload
		want []string
	}{
		{"wrk", Wrk{}, load(10*time.Second, 2*time.Second), []string{
			"wrk-warmup: wrk --latency -t2 -c30 -d2s http://198.18.0.2:99/", "wrk: wrk --latency -t2 -c30 -d10s -s {dir}/ukprobe.lua http://198.18.0.2:99/"}},
		{"wrk with a pipeline, whole seconds", Wrk{}, piped, []string{"wrk: wrk --latency -t2 -c30 -d2s -s {dir}/ukprobe.lua http://198.18.0.2:99/"}},
		{"memaslap", Memaslap{}, load(10*time.Second, 2*time.Second), []string{"memaslap-warmup: " + slap + "-t 2s", "memaslap: " + slap + "-t 10s"}},
		{"memaslap by number", Memaslap{}, counted, []string{"memaslap: " + slap + "-x 5000"}},
		{"sysbench", Sysbench{}, load(10*time.Second, 2*time.Second), []string{
			"sysbench-create: sysbench {dir}/create.lua" + mysql + "information_schema --threads=30 prepare",
			"sysbench-prepare: sysbench oltp_point_select" + table + "prepare",
			"sysbench-warmup: sysbench oltp_point_select" + table + "--time=2 --histogram=on --percentile=99 run",
			"sysbench: sysbench oltp_point_select" + table + "--time=10 --histogram=on --percentile=99 run"}},
		{"redis by number", RedisBenchmark{}, counted, []string{
			"redis-benchmark-set: redis-benchmark -h 198.18.0.2 -p 99 -t set --csv --precision 3 -c 30 -n 5000 -P 1 -d 3 --threads 2",
			"redis-benchmark-get: redis-benchmark -h 198.18.0.2 -p 99 -t get --csv --precision 3 -c 30 -n 5000 -P 1 -d 3 --threads 2"}},
		// The quantiles have a run of their own, or else the rate does for both.
		{"dnsperf", Dnsperf{}, piped, []string{"dnsperf-latency: " + dns + "-q 480 -l 1.5 -v", "dnsperf: " + dns + "-q 480 -l 1.5"}},
		{"dnsperf by rate", Dnsperf{}, fixed, []string{"dnsperf-warmup: " + dns + "-q 30 -l 0.5 -Q 1000", "dnsperf: " + dns + "-q 30 -l 2 -Q 1000 -v"}},
		{"http", FixedRate{}, fixed, []string{
			"load-http-warmup: ukprobe load-http --address 198.18.0.2:99 --rate 1000 --requests 500 --connections 30 --timeout 10s",
			"load-http: ukprobe load-http --address 198.18.0.2:99 --rate 1000 --requests 2000 --connections 30 --timeout 10s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.g.Check(tt.w); err != nil {
				t.Fatal(err)
			}
			l := logged{answer: func(argv []string) (r Ran) {
				if argv[0] == dnsperf { // its first run is read
					r.Stdout = recorded(t, "dnsperf.txt")
				}
				return r
			}}
			if err := tt.g.Load(t.Context(), &l, guest, tt.w); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, l.commands); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDnsperfFirstRun: quantiles of a run in which questions were lost are none.
func TestDnsperfFirstRun(t *testing.T) {
	for file, want := range map[string]string{"dnsperf-lost.txt": "4 without an answer", "dnsperf-codes.txt": "33 errors beside 17 good answers"} {
		l := logged{answer: func([]string) Ran { return Ran{Stdout: recorded(t, file)} }}
		if err := (Dnsperf{}).Load(t.Context(), &l, guest, load(time.Second, 0)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

// redisOf answers as a server of so many requests per second.
func redisOf(rate float64) func(argv []string) Ran {
	return func([]string) Ran {
		return Ran{Stdout: fmt.Sprintf("\"test\",\"rps\",\"p50_latency_ms\"\n\"GET\",\"%.2f\",\"0.1\"\n", rate)}
	}
}

func requestsOf(command string) int {
	words := strings.Fields(command)
	n, _ := strconv.Atoi(words[slices.Index(words, "-n")+1])
	return n
}

// The warm-up learns how many requests take as long as is wanted.
func TestRedisCounts(t *testing.T) {
	for _, tt := range []struct {
		rate             float64
		duration, warmup time.Duration
		pipeline         int
		least, most      int // requests measured
	}{
		{100_000, 10 * time.Second, 2 * time.Second, 1, 1_000_000, 1_000_001},
		{100_000, 10 * time.Second, 0, 1, 1_000_000, 1_000_001},
		{10, 10 * time.Second, 2 * time.Second, 1, 100, 101},
		{10, time.Second, time.Second, 16, 480, 480},           // no fewer than are on their way at once
		{1e9, time.Hour, 2 * time.Second, 1, 1 << 30, 1 << 30}, // what redis-benchmark can count
	} {
		w := load(tt.duration, tt.warmup)
		w.Pipeline = tt.pipeline
		l := logged{answer: redisOf(tt.rate)}
		if err := (RedisBenchmark{}).Load(t.Context(), &l, guest, w); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"set_", ""}, l.measured); diff != "" {
			t.Errorf("%+v: measured (-want +got):\n%s", tt, diff)
		}
		if n := requestsOf(l.commands[len(l.commands)-1]); n < tt.least || n > tt.most {
			t.Errorf("%+v: %d requests measured", tt, n)
		}
		if len(l.commands) > 40 {
			t.Errorf("%+v: %d runs", tt, len(l.commands))
		}
		// All but the last two of each test are the warm-up, and not much longer than it.
		spent := 0
		for _, c := range l.commands {
			if strings.Contains(c, "redis-benchmark-get-warmup: ") {
				spent += requestsOf(c)
			}
		}
		if most := 1.5*tt.rate*max(tt.warmup.Seconds(), 0.2) + 1000; float64(spent) > most {
			t.Errorf("%+v: %d requests of warm-up", tt, spent)
		}
	}
}

// What cannot be prepared or warmed up is not measured.
func TestFailedPreparation(t *testing.T) {
	for name, g := range map[string]Generator{"wrk-warmup": Wrk{}, "memaslap-warmup": Memaslap{}, "sysbench-create": Sysbench{}, "sysbench-prepare": Sysbench{},
		"sysbench-warmup": Sysbench{}, "redis-benchmark-set-warmup": RedisBenchmark{}, "load-http-warmup": FixedRate{}} {
		w := load(time.Second, time.Second)
		w.Rate = 10
		l := logged{fails: name}
		if err := g.Load(t.Context(), &l, guest, w); err == nil || len(l.measured) != 0 {
			t.Errorf("%s: %v, measured %q", name, err, l.measured)
		}
	}
}

func TestCheck(t *testing.T) {
	change := func(f func(*matrix.Workload)) matrix.Workload {
		w := matrix.DefaultLoad()
		f(&w)
		return w
	}
	for want, c := range map[string]struct {
		g Generator
		w matrix.Workload
	}{
		"use load.duration in place of load.requests": {Wrk{}, change(func(w *matrix.Workload) { w.Requests = 5 })},
		"as many connections (1) as threads (2)":      {Wrk{}, change(func(w *matrix.Workload) { w.Connections, w.Threads = 1, 2 })},
		"that its threads (4) divide":                 {Memaslap{}, change(func(w *matrix.Workload) { w.Threads = 4 })},
		"memaslap sends one request":                  {Memaslap{}, change(func(w *matrix.Workload) { w.Pipeline = 2 })},
		"sysbench sends one query":                    {Sysbench{}, change(func(w *matrix.Workload) { w.Pipeline = 2 })},
		"dnsperf runs for a time":                     {Dnsperf{}, change(func(w *matrix.Workload) { w.Requests = 5 })},
		"as many sockets (load.connections: 1)":       {Dnsperf{}, change(func(w *matrix.Workload) { w.Connections, w.Threads = 1, 2 })},
		"load.connections times load.pipeline":        {Dnsperf{}, change(func(w *matrix.Workload) { w.Connections, w.Pipeline = 1000, 100 })},
		"load.rate is missing":                        {FixedRate{}, matrix.DefaultLoad()},
		"experiment http sends one request":           {FixedRate{}, change(func(w *matrix.Workload) { w.Rate, w.Pipeline = 1, 2 })},
		"keeps every latency":                         {FixedRate{}, change(func(w *matrix.Workload) { w.Rate = 10_000_000 })},
	} {
		if err := c.g.Check(c.w); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c.w, err, want)
		}
	}
	for app, g := range byApp {
		if err := g.Check(matrix.DefaultLoad()); err != nil {
			t.Errorf("%s: the default load: %v", app, err)
		}
	}
}

// A program that is not there is told with its package.
func TestFind(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for app, g := range byApp {
		if err := g.Program().Find(); err == nil || !strings.Contains(err.Error(), "apt-get install "+g.Program().Package) {
			t.Errorf("%s: %v", app, err)
		}
	}
	if err := (FixedRate{}).Program().Find(); err != nil {
		t.Errorf("ukprobe itself: %v", err)
	}
	if _, err := (Wrk{}).Program().Ask(t.Context()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("version: %v", err)
	}
}

func TestFor(t *testing.T) {
	if _, ok := For("hello"); ok {
		t.Error("there is a load for hello")
	}
	if g, ok := For("nginx"); !ok || g != (Wrk{}) || !HTTP("nginx") || HTTP("redis") || DNS("nginx") || !DNS("dnsmasq") {
		t.Errorf("nginx: %v, %v", g, ok)
	}
}
