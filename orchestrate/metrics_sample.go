// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ukprobe/ukprobe/results"
)

// sampleMetrics are what samples yield beside their timelines: of each cell the figures
// of the last sample, or sums over all of them. What a sample does not have has no
// series: nothing is zero that was not measured, and no figure stands beside those of a
// later sample.
type sampleMetrics struct {
	perSecond, latency, cost, exits, busy *prometheus.GaugeVec
	requests, errors                      *prometheus.CounterVec
	stolen, disturbed, repeats            *prometheus.CounterVec
	share                                 *prometheus.GaugeVec
}

// Operations of a load: redis' generator measures two.
var loadOperations = map[string]string{"": "", "set_": "set"}

// latencies are the statistics of a generator's latencies, by their value's name.
var latencies = []string{"mean", "p50", "p90", "p95", "p99", "p999", "max"}

// costParts are the parts of what a request costs, by their value's name.
var costParts = []string{"cpu", "cpu_system", "guest", "kvm", "vmm", "halted", "waited", "vmm_user", "host_network"}

// disturbers are those whose time on a sample's CPUs is told, by their value's name.
var disturbers = map[string]string{"foreign": "interference_ns", "irq": "irq_ns", "softirq": "softirq_ns", "steal": "steal_ns", "throttled": "throttled_ns"}

func newSampleMetrics(r prometheus.Registerer) sampleMetrics {
	labels := func(more ...string) []string { return slices.Concat(cellLabels, more) }
	gauge := func(name, help string, more ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels(more...))
		r.MustRegister(v)
		return v
	}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels(more...))
		r.MustRegister(v)
		return v
	}
	return sampleMetrics{
		perSecond: gauge("ukprobe_load_requests_per_second", "Good answers per second of the last sample, as the load generator tells.", "operation"),
		latency:   gauge("ukprobe_load_latency_seconds", "Latency of the last sample's requests, as the load generator tells: mean, p50, p90, p95, p99, p999 (99.9 %), max.", "operation", "stat"),
		cost:      gauge("ukprobe_load_request_cost_seconds", "What a request of the last sample cost the host: cpu, cpu_system (all of the guest's processes), guest, kvm, vmm, halted, waited (the vCPUs' time), vmm_user, host_network.", "operation", "part"),
		exits:     gauge("ukprobe_load_exits_per_request", "Exits for a request of the last sample: all, or those that went on to the VMM (userspace).", "operation", "kind"),
		busy:      gauge("ukprobe_load_client_busy_ratio", "CPU time of the last sample's load generator as a share of what its CPUs have.", "operation"),
		requests:  counter("ukprobe_load_requests_total", "Good answers to load generators.", "operation"),
		errors:    counter("ukprobe_load_errors_total", "Requests of load generators that were not answered well.", "operation"),
		stolen:    counter("ukprobe_interference_seconds_total", "Time on the samples' CPUs that did not go to the guest: foreign (tasks), irq, softirq, steal (the hypervisor below), throttled (a CPU quota).", "cause"),
		share:     gauge("ukprobe_interference_ratio", "Share of its time that foreign tasks, interrupts and steal took of the last sample's most disturbed CPU."),
		disturbed: counter("ukprobe_disturbed_samples_total", "Samples that were disturbed by more than the cell allows."),
		repeats:   counter("ukprobe_repeated_samples_total", "Samples that were taken in the place of a disturbed one."),
	}
}

// observe takes a stored sample in, failed ones too: what disturbed them may be why.
func (m sampleMetrics) observe(cell []string, s results.Sample) {
	with := func(more ...string) []string { return slices.Concat(cell, more) }
	if s.Status == results.SampleOK {
		for prefix, operation := range loadOperations {
			m.load(func(more ...string) []string { return with(append([]string{operation}, more...)...) }, prefix, s.Values)
		}
	}
	percent, measured := s.Values["interference_percent"]
	if !measured {
		m.share.DeleteLabelValues(cell...)
		return
	}
	m.share.WithLabelValues(cell...).Set(percent / 100)
	for cause, name := range disturbers {
		if ns, ok := s.Values[name]; ok {
			m.stolen.WithLabelValues(with(cause)...).Add(seconds(ns))
		}
	}
	m.disturbed.WithLabelValues(cell...).Add(one(s.Disturbed))
	m.repeats.WithLabelValues(cell...).Add(one(s.RepeatOf > 0))
}

// load takes in what a generator measured of one operation, if it did.
func (m sampleMetrics) load(with func(...string) []string, prefix string, v map[string]float64) {
	_, loaded := v[prefix+"requests_per_second"]
	set := func(g *prometheus.GaugeVec, name string, scale float64, labels ...string) {
		if x, ok := v[prefix+name]; ok && loaded {
			g.WithLabelValues(with(labels...)...).Set(x * scale)
		} else {
			g.DeleteLabelValues(with(labels...)...)
		}
	}
	add := func(c *prometheus.CounterVec, name string) {
		if x, ok := v[prefix+name]; ok && loaded {
			c.WithLabelValues(with()...).Add(x)
		}
	}
	set(m.perSecond, "requests_per_second", 1)
	add(m.requests, "requests")
	add(m.errors, "errors")
	for _, stat := range latencies {
		set(m.latency, "latency_"+stat+"_ns", 1e-9, stat)
	}
	for _, part := range costParts {
		set(m.cost, part+"_per_request_ns", 1e-9, part)
	}
	set(m.exits, "exits_per_request", 1, "all")
	set(m.exits, "userspace_exits_per_request", 1, "userspace")
	set(m.busy, "client_busy_percent", 0.01)
}

func seconds(ns float64) float64 { return ns / 1e9 }

func one(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

// runMetrics say which run it is, how far it has come, and what its probes cost.
type runMetrics struct {
	info, steps, done, ratio, extra *prometheus.GaugeVec
}

func newRunMetrics(r prometheus.Registerer) runMetrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		r.MustRegister(v)
		return v
	}
	return runMetrics{
		info:  gauge("ukprobe_run_info", "The run and the host that it is on; 1.", "run", "version", "kernel", "cpu"),
		steps: gauge("ukprobe_run_steps", "Samples that the run takes in all, warm-ups too; with stopping rules an estimate."),
		done:  gauge("ukprobe_run_steps_done", "Of these, how many are done."),
		ratio: gauge("ukprobe_overhead_ratio", "How much longer an event takes with the probes than without, as `ukprobe overhead` found on this host: 1 is no longer.", "condition", "workload"),
		extra: gauge("ukprobe_overhead_extra_seconds", "The same as a difference.", "condition", "workload"),
	}
}

// describe sets what does not change.
func (m runMetrics) describe(run results.Run, host results.Host) {
	m.info.WithLabelValues(run.ID, run.Version, host.Kernel, strings.TrimSpace(host.CPUModel)).Set(1)
	if host.Overhead == nil {
		return
	}
	for _, c := range host.Overhead.Conditions {
		for workload, cost := range c.Cost {
			if cost.Ratio != nil {
				m.ratio.WithLabelValues(c.Name, workload).Set(*cost.Ratio)
			}
			if cost.ExtraNs != nil {
				m.extra.WithLabelValues(c.Name, workload).Set(seconds(*cost.ExtraNs))
			}
		}
	}
}

// progress tells of the step that begins, or of the end if there is none.
func (m runMetrics) progress(steps, done int) {
	m.steps.WithLabelValues().Set(float64(steps))
	m.done.WithLabelValues().Set(float64(done))
}
