// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// cellLabels are on every series that belongs to a cell. A run has as many sets
// of values as it has cells.
var cellLabels = []string{"system", "app", "platform", "experiment", "accel", "probes", "variant"}

// Metrics is what a run exports while it runs and as long as it lingers.
type Metrics struct {
	registry *prometheus.Registry
	phases   *prometheus.HistogramVec
	samples  *prometheus.CounterVec
	sampled  sampleMetrics
	run      runMetrics

	probe *frozen
}

func newMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.phases = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ukprobe_boot_phase_seconds",
		Help: "Duration of a phase of a boot: vmm (exec to guest entry), firmware (of it: bios, option_rom), guest (to ready; of it: setup, decompress, kernel), total (exec to ready).",
		// Classic buckets for old servers: powers of two from 1/4 ms to 32 s.
		Buckets:                     prometheus.ExponentialBuckets(1.0/4096, 2, 18),
		NativeHistogramBucketFactor: 1.1,
	}, append(cellLabels[:len(cellLabels):len(cellLabels)], "phase"))
	m.samples = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ukprobe_samples_total", Help: "Samples taken, by their status.",
	}, append(cellLabels[:len(cellLabels):len(cellLabels)], "status"))
	m.registry.MustRegister(m.phases, m.samples, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.sampled, m.run = newSampleMetrics(m.registry), newRunMetrics(m.registry)
	return m
}

// Handler serves the metrics: native histograms to those who ask for protobuf,
// classic ones to all.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

func (c *cell) labels() []string {
	return []string{c.System, c.App, c.Platform, c.Experiment, c.accel, c.Probes, c.Variant()}
}

// Gatherer gives the metrics to those who do not scrape them.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// observe counts a stored sample.
func (m *Metrics) observe(c *cell, s results.Sample) {
	m.samples.WithLabelValues(append(c.labels(), s.Status)...).Inc()
	m.sampled.observe(c.labels(), s)
	if s.Status != results.SampleOK {
		return
	}
	for name, ns := range s.Phases.ByName() {
		if ns != nil {
			m.phases.WithLabelValues(append(c.labels(), strings.TrimSuffix(name, "_ns"))...).Observe(time.Duration(*ns).Seconds())
		}
	}
}

// attach adds the probe's own metrics.
func (m *Metrics) attach(p *probe.Probe) {
	m.probe = &frozen{Collector: probe.NewCollector(p, cellLabels...)}
	m.registry.MustRegister(m.probe)
}

// detach keeps the last values of the probe's metrics: the probe is about to be
// closed.
func (m *Metrics) detach() {
	if m.probe != nil {
		m.probe.freeze()
	}
}

// track counts a watch under its cell.
func (m *Metrics) track(w *probe.Watch, c *cell) func() error {
	return m.probe.Track(w, c.labels()...)
}

// frozen is a collector that can be told to repeat its last answer forever.
type frozen struct {
	*probe.Collector
	mu   sync.Mutex
	last []prometheus.Metric
}

// Collect implements prometheus.Collector.
func (f *frozen) Collect(ch chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		f.Collector.Collect(ch)
		return
	}
	for _, m := range f.last {
		ch <- m
	}
}

// freeze is done once: later the probe has no answers any more.
func (f *frozen) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last != nil {
		return
	}
	ch := make(chan prometheus.Metric)
	go func() {
		f.Collector.Collect(ch)
		close(ch)
	}()
	last := []prometheus.Metric{}
	for m := range ch {
		last = append(last, m)
	}
	f.last = last
}
