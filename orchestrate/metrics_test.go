// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

func gather(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*dto.MetricFamily{}
	var ours []*dto.MetricFamily
	for _, f := range families {
		out[f.GetName()] = f
		if strings.HasPrefix(f.GetName(), "ukprobe_") {
			ours = append(ours, f)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(ours).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	return out
}

func labelled(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// fired is how often each hook has fired.
func fired(families map[string]*dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for _, m := range families["ukprobe_hook_fired_total"].GetMetric() {
		out[labelled(m, "hook")] = m.GetCounter().GetValue()
	}
	return out
}

func testCell() *cell {
	return &cell{Cell: matrix.Cell{System: "reference", App: "hello", Platform: "qemu", Experiment: "boot",
		Settings: matrix.Settings{Probes: "full"}}, accel: "kvm"}
}

func TestObserve(t *testing.T) {
	m := newMetrics()
	c := testCell()
	m.observe(c, record(aSample()))
	m.observe(c, record(aSample()))
	failed := record(aSample())
	failed.Status = results.SampleTimeout
	m.observe(c, failed)
	families := gather(t, m)

	statuses := map[string]float64{}
	for _, s := range families["ukprobe_samples_total"].GetMetric() {
		statuses[labelled(s, "status")] = s.GetCounter().GetValue()
	}
	if statuses["ok"] != 2 || statuses["timeout"] != 1 || len(statuses) != 2 {
		t.Errorf("samples by status %v", statuses)
	}
	phases := map[string]*dto.Histogram{}
	for _, p := range families["ukprobe_boot_phase_seconds"].GetMetric() {
		phases[labelled(p, "phase")] = p.GetHistogram()
		for name, want := range map[string]string{"system": "reference", "app": "hello", "platform": "qemu", "experiment": "boot", "accel": "kvm", "probes": "full"} {
			if got := labelled(p, name); got != want {
				t.Errorf("label %s is %q, want %q", name, got, want)
			}
		}
	}
	if len(phases) != 2 || phases["vmm"].GetSampleCount() != 2 || phases["vmm"].GetSampleSum() != 4e-6 || phases["total"].GetSampleCount() != 2 {
		t.Errorf("phases %v: want vmm and total, of the ok samples only; missing ones are absent", phases)
	}
	if h := phases["vmm"]; len(h.GetPositiveSpan()) == 0 || len(h.GetBucket()) != 18 {
		t.Errorf("%v: want native and 18 classic buckets", h)
	}
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		if families[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

// TestObserveValues: what a sample has is there, of the last one or summed up; what it has
// not has no series.
func TestObserveValues(t *testing.T) {
	m := newMetrics()
	c := testCell()
	sample := func(status string, values map[string]float64, disturbed bool, repeatOf int) {
		m.observe(c, results.Sample{Status: status, Values: values, Disturbed: disturbed, RepeatOf: repeatOf})
	}
	sample(results.SampleOK, map[string]float64{"requests_per_second": 100, "requests": 1000, "errors": 2, "latency_p50_ns": 1e6, "exits_per_request": 3,
		"cpu_per_request_ns": 2000, "client_busy_percent": 50, "set_requests_per_second": 7, "set_requests": 70,
		"interference_percent": 4, "interference_ns": 1e9, "irq_ns": 5e8}, true, 0)
	sample(results.SampleOK, map[string]float64{"requests_per_second": 200, "requests": 500, "errors": 0, "latency_p99_ns": 3e6, "latency_p999_ns": 4e6, "interference_percent": 1, "interference_ns": 1e9}, false, 1)
	sample(results.SampleFailed, map[string]float64{"requests_per_second": 1, "requests": 1, "interference_percent": 2, "interference_ns": 1e9}, false, 0)
	want := map[string]float64{
		"ukprobe_load_requests_per_second": 200, "ukprobe_load_requests_total": 1500, "ukprobe_load_requests_total set": 70,
		"ukprobe_load_errors_total": 2, "ukprobe_load_latency_seconds p99": 0.003, "ukprobe_load_latency_seconds p999": 0.004,
		"ukprobe_interference_ratio": 0.02, "ukprobe_interference_seconds_total foreign": 3, "ukprobe_interference_seconds_total irq": 0.5,
		"ukprobe_disturbed_samples_total": 1, "ukprobe_repeated_samples_total": 1,
	}
	if diff := cmp.Diff(want, valuesOf(t, m), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A sample without a load and without a look at others keeps the sums only.
	sample(results.SampleOK, map[string]float64{"pio_out": 1, "latency_p99_ns": 1}, false, 0)
	for name := range want {
		if strings.Contains(name, "_per_second") || strings.Contains(name, "latency") || strings.HasSuffix(name, "ratio") {
			delete(want, name)
		}
	}
	if diff := cmp.Diff(want, valuesOf(t, m), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Errorf("later (-want +got):\n%s", diff)
	}
}

// valuesOf are the values of what samples yield, by name and labels.
func valuesOf(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	got := map[string]float64{}
	for name, f := range gather(t, m) {
		if !strings.HasPrefix(name, "ukprobe_load_") && !strings.HasPrefix(name, "ukprobe_interference_") && !strings.HasSuffix(name, "ed_samples_total") {
			continue
		}
		for _, s := range f.GetMetric() {
			key := name
			for _, l := range []string{"operation", "stat", "part", "kind", "cause"} {
				if v := labelled(s, l); v != "" {
					key += " " + v
				}
			}
			got[key] = s.GetCounter().GetValue() + s.GetGauge().GetValue()
		}
	}
	return got
}

// TestDescribe: which run it is, and what its probes cost here.
func TestDescribe(t *testing.T) {
	m := newMetrics()
	ratio, extra := 1.25, 300.0
	m.run.describe(results.Run{ID: "r", Version: "v"}, results.Host{Kernel: "6.18", CPUModel: "EPYC", Overhead: &results.Overhead{Conditions: []results.OverheadCondition{
		{Name: "none", Cost: map[string]results.OverheadCost{"cpuid": {MedianNs: 1200}}},
		{Name: "full", Cost: map[string]results.OverheadCost{"cpuid": {MedianNs: 1500, Ratio: &ratio, ExtraNs: &extra}}}}}})
	m.run.progress(9, 4)
	f := gather(t, m)
	if i := f["ukprobe_run_info"].GetMetric(); len(i) != 1 || labelled(i[0], "run") != "r" || labelled(i[0], "kernel") != "6.18" {
		t.Errorf("info %v", i)
	}
	if r, e := f["ukprobe_overhead_ratio"].GetMetric(), f["ukprobe_overhead_extra_seconds"].GetMetric(); len(r) != 1 || r[0].GetGauge().GetValue() != 1.25 || labelled(r[0], "condition") != "full" || len(e) != 1 || e[0].GetGauge().GetValue() != 3e-7 {
		t.Errorf("overhead %v, %v: none itself has no ratio", r, e)
	}
	if s, d := f["ukprobe_run_steps"].GetMetric()[0].GetGauge().GetValue(), f["ukprobe_run_steps_done"].GetMetric()[0].GetGauge().GetValue(); s != 9 || d != 4 {
		t.Errorf("%v of %v steps", d, s)
	}
}

// TestMetricsOutliveTheProbe: what was counted last is served after the probe is
// closed, and to old servers as to new ones.
func TestMetricsOutliveTheProbe(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for BPF")
	}
	p, err := probe.Open(probe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics()
	m.attach(p)
	w, err := p.Watch(probe.Target{CgroupID: 1})
	if err != nil {
		t.Fatal(err)
	}
	done := m.track(w, testCell())
	if err := exec.Command("/bin/true").Run(); err != nil {
		t.Fatal(err)
	}
	live := gather(t, m)
	if err := done(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m.detach()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	after := gather(t, m)
	for _, name := range []string{"ukprobe_lost_events_total", "ukprobe_hook_info", "ukprobe_hook_fired_total"} {
		if live[name] == nil || len(live[name].GetMetric()) != len(after[name].GetMetric()) {
			t.Errorf("%s: %d series while it ran, %d afterwards", name, len(live[name].GetMetric()), len(after[name].GetMetric()))
		}
	}
	m.detach() // a second time asks nobody
	if diff := cmp.Diff(fired(after), fired(gather(t, m))); diff != "" || fired(after)[probe.HookExec] == 0 {
		t.Errorf("hooks that fired, before and after (-before +after):\n%s", diff)
	}

	server := httptest.NewServer(m.Handler())
	defer server.Close()
	m.observe(testCell(), record(aSample()))
	for accept, want := range map[string]string{
		"text/plain": `ukprobe_boot_phase_seconds_bucket{accel="kvm",app="hello",experiment="boot",phase="vmm",platform="qemu",probes="full",system="reference",variant="",le="0.000244140625"} 1`,
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited": "ukprobe_boot_phase_seconds",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("accept %s: %s, %v, without %q", accept, resp.Status, err, want)
		}
		if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, strings.Split(accept, ";")[0]) {
			t.Errorf("accept %s: got %s", accept, kind)
		}
	}
}
