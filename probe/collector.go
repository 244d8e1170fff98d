// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Collector exports what a probe counts as Prometheus metrics: totals since it
// was made, over all the watches that were tracked under the same labels. The
// bounded set of label values is the caller's business.
//
// Durations are in seconds, in native-histogram buckets with classic ones beside
// them.
type Collector struct {
	p       *Probe
	created time.Time

	exits, exitParts, guestTime, exitCounts, halted, waited, populate, roundTrips, userExits *prometheus.Desc
	frames, bytes, lost, hookInfo, hookHits, hookMissed, programRuns, programTime            *prometheus.Desc
	network                                                                                  networkDescs

	mu   sync.Mutex
	sets map[string]*set
}

// set is the totals under one set of labels.
type set struct {
	labels []string
	past   Counts
	live   []*Watch
}

// NewCollector makes a collector whose series carry the given labels.
func NewCollector(p *Probe, labels ...string) *Collector {
	desc := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append(slices.Clone(labels), more...), nil)
	}
	return &Collector{
		p: p, created: time.Now(), sets: map[string]*set{},
		network:    newNetworkDescs(desc),
		exits:      desc("ukprobe_kvm_exit_handling_seconds", "Time from an exit to the vCPU's next entry, by exit reason: KVM, the VMM and the time that the thread did not run. For hlt and mwait it is the guest's own idle time.", "isa", "reason"),
		exitParts:  desc("ukprobe_kvm_exit_handling_part_seconds_total", "Parts of the time from exits to the next entries, by exit reason: vmm (in user space), halted (as the guest asked for), waited (for a CPU, in the kernel), kvm (the rest).", "isa", "reason", "part"),
		guestTime:  desc("ukprobe_guest_run_seconds", "Time that the guest ran at a stretch, from an entry to the exit, by that exit's reason.", "isa", "reason"),
		halted:     desc("ukprobe_vcpu_halted_seconds", "Time that vCPUs were halted, from the HLT to the wake-up."),
		waited:     desc("ukprobe_vcpu_runqueue_delay_seconds", "Time that a vCPU's thread could run and waited for a CPU."),
		populate:   desc("ukprobe_guest_populate_seconds", "When KVM gave the guest memory: page faults by the time since the guest was first seen."),
		exitCounts: desc("ukprobe_kvm_exits_total", "Exits from guests, by exit reason.", "isa", "reason"),
		roundTrips: desc("ukprobe_vmm_round_trip_seconds", "Time that the VMM took: from an exit to user space to the next KVM_RUN, by KVM_EXIT reason.", "reason"),
		userExits:  desc("ukprobe_kvm_userspace_exits_total", "Exits to the VMM, by KVM_EXIT reason.", "reason"),
		frames:     desc("ukprobe_guest_network_frames_total", "Ethernet frames on the guest's network device, by direction seen from the guest.", "direction"),
		bytes:      desc("ukprobe_guest_network_bytes_total", "Bytes on the guest's network device, by direction seen from the guest.", "direction"),
		lost:       desc("ukprobe_lost_events_total", "Events that were seen and could not be kept, by cause.", "cause"),
		hookInfo:   prometheus.NewDesc("ukprobe_hook_info", "The rung on which a hook is attached; 1.", []string{"hook", "rung"}, nil),
		hookHits:   prometheus.NewDesc("ukprobe_hook_fired_total", "How often a hook fired, for whatever process of the host.", []string{"hook"}, nil),
		hookMissed: prometheus.NewDesc("ukprobe_hook_missed_total", "How often the kernel could not run a hook's program.", []string{"hook"}, nil),

		programRuns: prometheus.NewDesc("ukprobe_bpf_program_runs_total", "Runs of a BPF program of ukprobe's, as the kernel counts them while its BPF statistics are on.", []string{"hook", "program"}, nil),
		programTime: prometheus.NewDesc("ukprobe_bpf_program_run_seconds_total", "Time inside a BPF program of ukprobe's, as the kernel counts it while its BPF statistics are on.", []string{"hook", "program"}, nil),
	}
}

// Track counts a watch under the labels' values until the returned function is
// called, which must be before the watch is closed; its totals stay.
func (c *Collector) Track(w *Watch, values ...string) (done func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := strings.Join(values, "\xff")
	s := c.sets[key]
	if s == nil {
		s = &set{labels: values}
		c.sets[key] = s
	}
	s.live = append(s.live, w)
	return sync.OnceValue(func() error {
		counts, err := w.Counts()
		c.mu.Lock()
		defer c.mu.Unlock()
		s.past.Add(counts)
		s.live = slices.DeleteFunc(s.live, func(o *Watch) bool { return o == w })
		return err
	})
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.exits, c.exitParts, c.guestTime, c.halted, c.waited, c.populate, c.exitCounts, c.roundTrips, c.userExits, c.frames, c.bytes, c.lost, c.hookInfo, c.hookHits, c.hookMissed, c.programRuns, c.programTime} {
		ch <- d
	}
	c.network.describe(ch)
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	for _, s := range c.sets {
		total := Counts{ISA: s.past.ISA}
		total.Add(s.past)
		for _, w := range s.live {
			if counts, err := w.Counts(); err == nil {
				total.Add(counts)
			}
		}
		c.collectSet(ch, s.labels, total)
	}
	c.mu.Unlock()
	for _, h := range c.p.Hooks() {
		if h.Rung != "" {
			ch <- prometheus.MustNewConstMetric(c.hookInfo, prometheus.GaugeValue, 1, h.Hook, string(h.Rung))
		}
		if h.Rung == "" && h.Hits == 0 {
			continue // not attached: a zero would look like a finding
		}
		ch <- prometheus.MustNewConstMetric(c.hookHits, prometheus.CounterValue, float64(h.Hits), h.Hook)
		ch <- prometheus.MustNewConstMetric(c.hookMissed, prometheus.CounterValue, float64(h.Missed), h.Hook)
	}
	c.collectPrograms(ch)
}

// collectPrograms writes what the kernel says of the programs: a program that it has
// counted no run of is absent, since the statistics may be off.
func (c *Collector) collectPrograms(ch chan<- prometheus.Metric) {
	stats, err := c.p.ProgramStats()
	if err != nil {
		return // the probe is being closed; what it counts for guests is not in doubt
	}
	for _, s := range stats {
		if s.Runs > 0 {
			ch <- prometheus.MustNewConstMetric(c.programRuns, prometheus.CounterValue, float64(s.Runs), s.Hook, s.Program)
			ch <- prometheus.MustNewConstMetric(c.programTime, prometheus.CounterValue, s.Time.Seconds(), s.Hook, s.Program)
		}
	}
}

func (c *Collector) collectSet(ch chan<- prometheus.Metric, labels []string, n Counts) {
	with := func(more ...string) []string { return append(slices.Clone(labels), more...) }
	for reason, h := range n.Exits {
		ch <- h.Both(c.exits, c.created, with(string(n.ISA), reason)...)
	}
	for reason, h := range n.GuestTime {
		ch <- h.Both(c.guestTime, c.created, with(string(n.ISA), reason)...)
	}
	for reason, parts := range n.Parts {
		for part, d := range parts.byName(n.Exits[reason]) {
			ch <- prometheus.MustNewConstMetric(c.exitParts, prometheus.CounterValue, d.Seconds(), with(string(n.ISA), reason, part)...)
		}
	}
	for name, desc := range map[string]*prometheus.Desc{SpanHalted: c.halted, SpanWaited: c.waited, SpanPopulate: c.populate} {
		if h, ok := n.Spans[name]; ok {
			ch <- h.Both(desc, c.created, with()...)
		}
	}
	for reason, h := range n.UserExits {
		ch <- h.Both(c.roundTrips, c.created, with(reason)...)
	}
	for reason, k := range n.ExitCounts {
		ch <- prometheus.MustNewConstMetric(c.exitCounts, prometheus.CounterValue, float64(k), with(string(n.ISA), reason)...)
	}
	for reason, k := range n.UserExitCounts {
		ch <- prometheus.MustNewConstMetric(c.userExits, prometheus.CounterValue, float64(k), with(reason)...)
	}
	for _, direction := range []string{"in", "out"} {
		if k, ok := n.Values["frames_"+direction]; ok {
			ch <- prometheus.MustNewConstMetric(c.frames, prometheus.CounterValue, float64(k), with(direction)...)
			ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.CounterValue, float64(n.Values["bytes_"+direction]), with(direction)...)
		}
	}
	c.network.collect(ch, c.created, n.Network, with)
	for _, cause := range append(slices.Collect(maps.Keys(losses)), lostFlows, LostBeyondBound, lostRuns, lostRecords) {
		ch <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(n.Lost[cause]), with(cause)...)
	}
}

// KVM is what is left for KVM itself of the exits that the parts are of. A part
// that begins before an exit and ends after it can be the larger one for a moment:
// then nothing is left.
func (p Parts) KVM(exits Histogram) time.Duration {
	return max(0, time.Duration(exits.SumNS)-p.VMM-p.Halted-p.Waited)
}

func (p Parts) byName(exits Histogram) map[string]time.Duration {
	return map[string]time.Duration{"vmm": p.VMM, "halted": p.Halted, "waited": p.Waited, "kvm": p.KVM(exits)}
}

// Add adds another guest's counts.
func (c *Counts) Add(o Counts) {
	c.ISA = o.ISA
	c.Values = addCounts(c.Values, o.Values)
	c.Lost = addCounts(c.Lost, o.Lost)
	c.Ports = addCounts(c.Ports, o.Ports)
	c.ExitCounts = addCounts(c.ExitCounts, o.ExitCounts)
	c.UserExitCounts = addCounts(c.UserExitCounts, o.UserExitCounts)
	c.Exits = addHistograms(c.Exits, o.Exits)
	c.GuestTime = addHistograms(c.GuestTime, o.GuestTime)
	c.Spans = addHistograms(c.Spans, o.Spans)
	if c.Parts == nil {
		c.Parts = map[string]Parts{}
	}
	for reason, p := range o.Parts {
		sum := c.Parts[reason]
		c.Parts[reason] = Parts{VMM: sum.VMM + p.VMM, Halted: sum.Halted + p.Halted, Waited: sum.Waited + p.Waited}
	}
	c.UserExits = addHistograms(c.UserExits, o.UserExits)
	c.Network.Add(o.Network)
}

func addCounts[K comparable](a, b map[K]uint64) map[K]uint64 {
	if a == nil {
		a = map[K]uint64{}
	}
	for k, n := range b {
		a[k] += n
	}
	return a
}

func addHistograms[K comparable](a, b map[K]Histogram) map[K]Histogram {
	if a == nil {
		a = map[K]Histogram{}
	}
	for k, h := range b {
		sum := Histogram{}
		sum.Add(a[k])
		sum.Add(h)
		a[k] = sum
	}
	return a
}

// bothMetric is a native histogram that carries classic buckets too. It is
// written as often as it is scraped, so nothing in it changes after it was made.
type bothMetric struct {
	desc *prometheus.Desc
	made *dto.Metric
}

// Both makes a Prometheus metric of it, with native buckets and those of
// [Histogram.Classic]; labels that do not fit are an error metric.
func (h Histogram) Both(desc *prometheus.Desc, created time.Time, labels ...string) prometheus.Metric {
	native, err := h.Metric(desc, created, labels...)
	made := new(dto.Metric)
	if err == nil {
		err = native.Write(made)
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, fmt.Errorf("native histogram: %w", err))
	}
	classic := h.Classic()
	for _, bound := range slices.Sorted(maps.Keys(classic)) {
		n := classic[bound]
		made.Histogram.Bucket = append(made.Histogram.Bucket, &dto.Bucket{UpperBound: &bound, CumulativeCount: &n})
	}
	return bothMetric{desc: desc, made: made}
}

// Desc implements prometheus.Metric.
func (m bothMetric) Desc() *prometheus.Desc { return m.desc }

// Write implements prometheus.Metric.
func (m bothMetric) Write(out *dto.Metric) error {
	out.Label, out.Histogram = m.made.Label, m.made.Histogram
	return nil
}
