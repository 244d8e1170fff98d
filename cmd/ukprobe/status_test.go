// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/ukprobe/ukprobe/internal/remotewrite"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/results"
)

func statusFile() *results.File {
	return &results.File{Run: results.Run{ID: "20260101-000000-0001", Started: time.Unix(0, 0)},
		Host: results.Host{Kernel: "6.18", CPUModel: "EPYC", CPUs: 2, Accelerators: []string{"kvm"}},
		Cells: []results.Cell{
			{System: "linux", App: "nginx", Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellSkipped, Reason: "not started",
				Settings: &results.Settings{Samples: 3}, Samples: []results.Sample{okSample(9 * time.Millisecond)}},
			{System: "process", App: "redis", Platform: "process", Experiment: "throughput", Accel: "none", Status: results.CellSkipped, Reason: "not started"},
			{System: "osv", App: "hello", Platform: "qemu", Experiment: "boot", Status: results.CellUnsupported, Reason: "no <disk>"},
		}}
}

func TestStatus(t *testing.T) {
	s := newLedger(orchestrate.Quiet{})
	if p := s.snapshot().page(); p.Subtitle != "The first sample is about to begin." || len(p.Tables[0].Rows) != 0 {
		t.Errorf("before: %+v", p)
	}
	s.open(statusFile())
	at := orchestrate.Progress{Step: 2, Steps: 9, Cell: "linux/nginx/qemu/boot", Accel: "kvm", Sample: 2, Samples: 3, Left: 90 * time.Second}
	s.Begin(at)
	if p := s.snapshot().page(); p.Subtitle != "Booting linux/nginx/qemu/boot (kvm), sample 2 of 3, about 1m30s left" || p.Done != 1 || p.Of != 9 {
		t.Errorf("while it boots: %+v", p)
	}
	s.End(at, okSample(3*time.Millisecond))
	s.End(at, results.Sample{Status: results.SampleTimeout})
	s.End(orchestrate.Progress{Warmup: true}, okSample(1))
	s.End(at, okSample(5*time.Millisecond))
	s.End(orchestrate.Progress{Index: 1, Step: 5}, results.Sample{Status: results.SampleOK, Values: map[string]float64{"requests_per_second": 1234.5}})
	var got []statusCell
	text, err := json.Marshal(s.snapshot().Cells)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	v := func(f float64) *float64 { return &f }
	want := []statusCell{
		{Cell: "linux/nginx on qemu (kvm)", Accel: "kvm", OK: 3, Bad: 1, Asked: 3, Figure: "total_ns", Median: v(5e6), Min: v(3e6), Max: v(9e6), Last: v(5e6), Outcome: "ok"},
		{Cell: "process/redis on process, throughput (none)", Accel: "none", OK: 1, Figure: "requests_per_second", Median: v(1234.5), Min: v(1234.5), Max: v(1234.5), Last: v(1234.5), Outcome: "ok"},
		{Cell: "osv/hello on qemu", Status: "unsupported", Reason: "no <disk>"},
	}
	for i := range want {
		want[i].Cell = got[i].Cell // its wording is the store's
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(statusCell{})); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	rows := s.snapshot().page().Tables[0].Rows
	if diff := cmp.Diff([]string{"5.00 ms", "5.00 ms", "3.00 ms", "9.00 ms", "total", "3", "1", "3", "under way"}, rows[0].Cells[1:]); diff != "" || !rows[0].Now || rows[1].Now {
		t.Errorf("row (-want +got):\n%s", diff)
	}
	if rows[2].Cells[9] != "unsupported: no <disk>" || rows[1].Cells[1] != "1.23 k" {
		t.Errorf("rows %+v", rows)
	}
	f := statusFile()
	f.Run.Status, f.Cells[0].Status = results.RunInterrupted, results.CellOK
	s.close(f)
	if p := s.snapshot().page(); p.Subtitle != "The run has ended: interrupted." || !strings.HasPrefix(p.Tables[0].Rows[0].Cells[9], "ok") {
		t.Errorf("after: %+v", p)
	}
}

// What counts of a disturbed sample and its repeats counts at once on the page and on the
// board, as it does in the table at the end.
func TestStatusOfRepeats(t *testing.T) {
	s, b := newLedger(orchestrate.Quiet{}), &boardCell{cell: results.Cell{Experiment: "boot"}}
	f := statusFile()
	f.Cells[0].Samples = nil
	s.open(f)
	end := results.Cell{Experiment: "boot"}
	repeat := func(of int, s results.Sample) results.Sample { s.RepeatOf = of; return s }
	for i, sample := range []results.Sample{
		okSample(9 * time.Millisecond), repeat(1, okSample(8*time.Millisecond)), repeat(1, okSample(5*time.Millisecond)), repeat(1, results.Sample{Status: results.SampleTimeout}),
		okSample(7 * time.Millisecond), {Status: results.SampleFailed}, okSample(1 * time.Millisecond), repeat(7, results.Sample{Status: results.SampleOK}), okSample(6 * time.Millisecond),
	} {
		s.End(orchestrate.Progress{}, sample)
		b.add(sample)
		end.Samples = append(end.Samples, sample)
		want, found := end.SummaryOf("total_ns")
		got := s.snapshot().Cells[0]
		if got.OK != end.OKSamples() || got.OK+got.Bad != end.Taken() || !found || *got.Median != want.Median || *got.Min != want.Min || *got.Max != want.Max {
			t.Errorf("after %d samples: %+v, median %v of %v to %v, want %+v", i+1, got, *got.Median, *got.Min, *got.Max, want)
		}
		if _, sum, _ := b.figure(); len(b.cell.Samples) != end.Taken() || sum.Median != want.Median || sum.Max != want.Max {
			t.Errorf("after %d samples the board has %d, %+v, want %d, %+v", i+1, len(b.cell.Samples), sum, end.Taken(), want)
		}
	}
}

// A page that was made does not change, whatever happens meanwhile.
func TestStatusAtOnce(t *testing.T) {
	s := newLedger(orchestrate.Quiet{})
	s.open(statusFile())
	var parts sync.WaitGroup
	parts.Go(func() {
		for i := range 500 {
			s.End(orchestrate.Progress{Step: i}, okSample(time.Duration(500-i)))
		}
	})
	parts.Go(func() {
		for range 200 {
			snapshot := s.snapshot()
			first, _ := json.Marshal(snapshot)
			second, _ := json.Marshal(snapshot)
			if string(first) != string(second) {
				t.Errorf("%s became\n%s", first, second)
				return
			}
		}
	})
	parts.Wait()
}

// stopped is a view on a terminal that has been stopped.
type stopped struct {
	orchestrate.Quiet
	in, on chan struct{}
}

func (s stopped) End(orchestrate.Progress, results.Sample) {
	close(s.in)
	<-s.on
}

// As long as a terminal is stopped the page goes on to answer.
func TestStatusWhileStopped(t *testing.T) {
	view := stopped{in: make(chan struct{}), on: make(chan struct{})}
	s := newLedger(view)
	s.open(statusFile())
	var parts sync.WaitGroup
	parts.Go(func() { s.End(orchestrate.Progress{Step: 5}, okSample(time.Millisecond)) })
	<-view.in
	answer := make(chan runStatus, 1)
	go func() { answer <- s.snapshot() }()
	select {
	case got := <-answer:
		if got.Done != 5 || got.Cells[0].OK != 2 {
			t.Errorf("%+v: want what the view is being told", got)
		}
	case <-time.After(30 * time.Second):
		t.Error("no answer")
	}
	close(view.on)
	parts.Wait()
}

func TestFigureText(t *testing.T) {
	v := func(f float64) *float64 { return &f }
	for _, tc := range []struct {
		name string
		v    *float64
		want string
	}{{"total_ns", v(1234567890), "1.23 s"}, {"file_bytes", v(3 << 20), "3.00 MiB"}, {"requests_per_second", v(51234.7), "51.2 k"}, {"total_ns", nil, ""}} {
		if got := figureText(tc.name, tc.v); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// counting is a receiver that counts what is sent to it.
type counting struct{ sent atomic.Int64 }

func (*counting) String() string { return "counting" }
func (*counting) Classic() bool  { return false }

func (c *counting) Send(context.Context, []*dto.MetricFamily, time.Time) error {
	c.sent.Add(1)
	return nil
}

// While a sample is taken nothing is pushed, and once it has ended it is.
func TestPushBetweenSamples(t *testing.T) {
	c := &counting{}
	s := newLedger(orchestrate.Quiet{})
	s.push = &remotewrite.Pusher{Client: c, Gatherer: prometheus.NewRegistry(), Every: time.Millisecond, Log: s.Log}
	s.Begin(orchestrate.Progress{})
	s.push.Start()
	time.Sleep(50 * time.Millisecond)
	if n := c.sent.Load(); n > 1 {
		t.Errorf("%d pushes in a sample", n)
	}
	s.End(orchestrate.Progress{}, okSample(time.Second))
	for end := time.Now().Add(30 * time.Second); c.sent.Load() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d pushes after it", c.sent.Load())
		}
	}
	if err := s.push.Finish(t.Context(), 30*time.Second); err != nil {
		t.Error(err)
	}
}

func TestPushFlags(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--push", "localhost:9090"}, "--push: localhost:9090: want http://HOST:PORT/PATH"},
		{[]string{"--push", "http://me:hunter2@host/write"}, "put user and password into a file"},
		{[]string{"--push-config", "x.yml"}, "--push-config: needs --push URL"},
		{[]string{"--push", "http://host/write", "--push-config", "/nowhere/x.yml"}, "/nowhere/x.yml: no such file"},
	} {
		_, text, status := ukprobe(t, append([]string{"run", "--dry-run"}, tc.args...)...)
		if status != exitUsage || !strings.Contains(text, tc.want) || strings.Contains(text, "hunter2") {
			t.Errorf("%v: status %d, %q, want %q", tc.args, status, text, tc.want)
		}
	}
}
