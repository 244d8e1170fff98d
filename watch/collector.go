// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"maps"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ukprobe/ukprobe/probe"
)

// Collector exports what a Watcher knows. Every series of a VM carries the label
// vm; what else is known of it is in ukprobe_vm_info. The labels' values are
// names of exit reasons and the like, of which there is a bounded number, and
// none comes from a guest.
//
// Histograms are in seconds, with native buckets and classic ones beside them.
type Collector struct {
	w       *Watcher
	version string

	histograms []histogramFamily
	counters   []counterFamily

	up, since, info, lost, parts                         *prometheus.Desc
	vms, vmsMax, seen, notWatched, forgotten, readErrors *prometheus.Desc
	networkErrors, responses, untracked                  *prometheus.Desc
	exchanges                                            []exchangeFamily
	buildInfo, hookInfo, hookFired, hookMissed           *prometheus.Desc
}

// histogramFamily is a metric made of histograms by reason.
type histogramFamily struct {
	desc *prometheus.Desc
	of   func(*probe.Counts) map[string]probe.Histogram
	by   labelling
}

// exchangeFamily is a metric of requests on the network.
type exchangeFamily struct {
	desc *prometheus.Desc
	of   func(*probe.Network) map[probe.Exchange]uint64
}

// labelling says which labels a series has besides vm.
type labelling int

const (
	byNothing labelling = iota
	byValue             // the key of the map
	byISA               // whose reasons they are, and the key
)

func (l labelling) labels(vm string, isa probe.ISA, value string) []string {
	return [][]string{{vm}, {vm, value}, {vm, string(isa), value}}[l]
}

// counterFamily is a metric made of counts by a label's value.
type counterFamily struct {
	desc *prometheus.Desc
	of   func(*probe.Counts) map[string]uint64
	by   labelling
}

// NewCollector makes one. version is ukprobe's.
func NewCollector(w *Watcher, version string) *Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	c := &Collector{
		w: w, version: version,
		up:            desc("ukprobe_vm_up", "1 while the VM runs, 0 when it has ended and is still kept.", "vm"),
		since:         desc("ukprobe_vm_watched_since_timestamp_seconds", "When counting began for the VM.", "vm"),
		info:          desc("ukprobe_vm_info", "What is known of the VM; 1.", "vm", "name", "vmm", "pid", "uuid", "cgroup"),
		lost:          desc("ukprobe_lost_events_total", "Events of the VM that were seen and could not be kept, by cause.", "vm", "cause"),
		parts:         desc("ukprobe_kvm_exit_handling_part_seconds_total", "Parts of the time from exits to the next entries, by exit reason: vmm (in user space), halted (as the guest asked for), waited (for a CPU, in the kernel), kvm (the rest).", "vm", "isa", "reason", "part"),
		vms:           desc("ukprobe_vms", "VMs that run and are watched."),
		vmsMax:        desc("ukprobe_vms_limit", "How many VMs can be watched at one time."),
		seen:          desc("ukprobe_vms_watched_total", "VMs watched since the start."),
		forgotten:     desc("ukprobe_vms_forgotten_total", "VMs that had ended and were not kept as long as asked, as too many had."),
		notWatched:    desc("ukprobe_vms_not_watched_total", "VMs that found no room (ukprobe_vms_limit) when they came, each once. Whether the filters would have taken them is not known; those that got a place later are included."),
		readErrors:    desc("ukprobe_vm_read_errors_total", "Readings of a VM's counts that failed."),
		networkErrors: desc("ukprobe_vm_network_errors_total", "VMs whose network device could not be watched."),
		responses:     desc("ukprobe_network_response_seconds", "Time from a request on the guest's network device to its answer, seen on the host, by kind of request and the side that answers (guest, outside).", "vm", "kind", "side"),
		untracked:     desc("ukprobe_network_untracked_segments_total", "TCP segments with data of connections that began before the watch or were lost.", "vm"),
		buildInfo:     desc("ukprobe_build_info", "The version of ukprobe; 1.", "version", "goversion"),
		hookInfo:      desc("ukprobe_hook_info", "The rung on which a hook is attached; 1.", "hook", "rung"),
		hookFired:     desc("ukprobe_hook_fired_total", "How often a hook fired, for whatever process of the host.", "hook"),
		hookMissed:    desc("ukprobe_hook_missed_total", "How often the kernel could not run a hook's program.", "hook"),
	}
	c.families(desc)
	return c
}

// families lists what is exported of a VM's counts.
func (c *Collector) families(desc func(name, help string, labels ...string) *prometheus.Desc) {
	c.histograms = []histogramFamily{
		{desc("ukprobe_kvm_exit_handling_seconds", "Time from an exit to the vCPU's next entry, by exit reason: KVM, the VMM and the time that the thread did not run. For hlt and mwait it is the guest's own idle time.", "vm", "isa", "reason"),
			func(n *probe.Counts) map[string]probe.Histogram { return n.Exits }, byISA},
		{desc("ukprobe_guest_run_seconds", "Time that the guest ran at a stretch, from an entry to the exit, by that exit's reason.", "vm", "isa", "reason"),
			func(n *probe.Counts) map[string]probe.Histogram { return n.GuestTime }, byISA},
		{desc("ukprobe_vcpu_halted_seconds", "Time that vCPUs were halted, from the HLT to the wake-up.", "vm"), span(probe.SpanHalted), byNothing},
		{desc("ukprobe_vcpu_runqueue_delay_seconds", "Time that a vCPU's thread could run and waited for a CPU.", "vm"), span(probe.SpanWaited), byNothing},
		{desc("ukprobe_guest_populate_seconds", "When KVM gave the guest memory: page faults by the time since the guest was first seen.", "vm"), span(probe.SpanPopulate), byNothing},
		{desc("ukprobe_vmm_round_trip_seconds", "Time that the VMM took: from an exit to user space to the next KVM_RUN, by KVM_EXIT reason.", "vm", "reason"),
			func(n *probe.Counts) map[string]probe.Histogram { return n.UserExits }, byValue},
	}
	c.counters = []counterFamily{
		{desc("ukprobe_kvm_exits_total", "Exits from the guest, by exit reason.", "vm", "isa", "reason"),
			func(n *probe.Counts) map[string]uint64 { return n.ExitCounts }, byISA},
		{desc("ukprobe_kvm_userspace_exits_total", "Exits to the VMM, by KVM_EXIT reason.", "vm", "reason"),
			func(n *probe.Counts) map[string]uint64 { return n.UserExitCounts }, byValue},
		{desc("ukprobe_guest_port_accesses_total", "Accesses of the guest to I/O ports, by direction seen from the guest.", "vm", "direction"),
			byDirection("pio_"), byValue},
		{desc("ukprobe_guest_network_frames_total", "Ethernet frames on the guest's network device, by direction seen from the guest.", "vm", "direction"),
			byDirection("frames_"), byValue},
		{desc("ukprobe_guest_network_bytes_total", "Bytes on the guest's network device, by direction seen from the guest.", "vm", "direction"),
			byDirection("bytes_"), byValue},
		{desc("ukprobe_guest_page_faults_total", "Page faults on the guest's memory that KVM handled.", "vm"), single("page_faults"), byNothing},
		{desc("ukprobe_network_unparsed_frames_total", "Frames that were not looked into for requests, by reason.", "vm", "reason"),
			func(n *probe.Counts) map[string]uint64 { return n.Network.Unparsed }, byValue},
		{desc("ukprobe_network_refused_connections_total", "SYNs answered by RST, by the side that refused.", "vm", "side"), refused, byValue},
	}
	c.exchanges = []exchangeFamily{
		{desc("ukprobe_network_unanswered_requests_total", "Requests on the guest's network device that got no answer, by kind and the side that did not answer.", "vm", "kind", "side"),
			func(n *probe.Network) map[probe.Exchange]uint64 { return n.Unanswered }},
		{desc("ukprobe_network_repeated_requests_total", "Requests that were sent again, retransmitted SYNs among them, by kind and the side that was asked.", "vm", "kind", "side"),
			func(n *probe.Network) map[probe.Exchange]uint64 { return n.Repeated }},
	}
}

// refused sums by the side.
func refused(n *probe.Counts) map[string]uint64 {
	out := map[string]uint64{}
	for e, k := range n.Network.Refused {
		out[e.Side] += k
	}
	return out
}

// single takes one value.
func single(name string) func(*probe.Counts) map[string]uint64 {
	return func(n *probe.Counts) map[string]uint64 {
		v, ok := n.Values[name]
		if !ok {
			return nil
		}
		return map[string]uint64{"": v}
	}
}

// span picks one of the spans.
func span(name string) func(*probe.Counts) map[string]probe.Histogram {
	return func(n *probe.Counts) map[string]probe.Histogram {
		h, ok := n.Spans[name]
		if !ok {
			return nil
		}
		return map[string]probe.Histogram{"": h}
	}
}

// lostCauses are exported also while they are zero, so that a first loss is an
// increase.
var lostCauses = []string{"ringbuf", "console_bytes", "pio_ports", "vcpus", "flows", "hook_runs", "bad_records", "records_beyond_bound"}

// byDirection takes a pair of values apart by its direction.
func byDirection(prefix string) func(*probe.Counts) map[string]uint64 {
	return func(n *probe.Counts) map[string]uint64 {
		out := map[string]uint64{}
		for _, direction := range []string{"in", "out"} {
			if v, ok := n.Values[prefix+direction]; ok {
				out[direction] = v
			}
		}
		return out
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.since, c.info, c.lost, c.parts, c.vms, c.vmsMax, c.seen, c.notWatched, c.forgotten, c.readErrors, c.networkErrors, c.responses, c.untracked,
		c.buildInfo, c.hookInfo, c.hookFired, c.hookMissed} {
		ch <- d
	}
	for _, f := range c.histograms {
		ch <- f.desc
	}
	for _, f := range c.counters {
		ch <- f.desc
	}
	for _, f := range c.exchanges {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for r := range c.w.Each {
		c.collectVM(ch, r)
	}
	t := c.w.Totals()
	gauge(c.vms, float64(t.Running))
	gauge(c.vmsMax, float64(t.MaxVMs))
	counter(c.seen, float64(t.Seen))
	counter(c.notWatched, float64(t.NotWatched))
	counter(c.forgotten, float64(t.Forgotten))
	counter(c.readErrors, float64(t.ReadErrors))
	counter(c.networkErrors, float64(t.NetworkErrors))
	gauge(c.buildInfo, 1, c.version, runtime.Version())
	for _, h := range c.w.src.Hooks() {
		if h.Rung != "" {
			gauge(c.hookInfo, 1, h.Hook, string(h.Rung))
		}
		if h.Rung == "" && h.Hits == 0 {
			continue // not attached: a zero would look like a finding
		}
		counter(c.hookFired, float64(h.Hits), h.Hook)
		counter(c.hookMissed, float64(h.Missed), h.Hook)
	}
}

func (c *Collector) collectVM(ch chan<- prometheus.Metric, r Reading) {
	vm := r.VM
	up := 1.0
	if r.Ended {
		up = 0
	}
	ch <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, up, vm.Label)
	ch <- prometheus.MustNewConstMetric(c.since, prometheus.GaugeValue, float64(vm.Since.UnixMilli())/1e3, vm.Label)
	ch <- prometheus.MustNewConstMetric(c.info, prometheus.GaugeValue, 1, vm.Label, vm.Name, vm.VMM, strconv.Itoa(vm.PID), vm.UUID, vm.Cgroup)
	n := &r.Counts
	for _, f := range c.histograms {
		for value, h := range f.of(n) {
			ch <- h.Both(f.desc, vm.Since, f.by.labels(vm.Label, n.ISA, value)...)
		}
	}
	for _, f := range c.counters {
		for value, k := range f.of(n) {
			ch <- prometheus.MustNewConstMetric(f.desc, prometheus.CounterValue, float64(k), f.by.labels(vm.Label, n.ISA, value)...)
		}
	}
	for e, h := range n.Network.Responses {
		ch <- h.Both(c.responses, vm.Since, vm.Label, e.Kind, e.Side)
	}
	for _, f := range c.exchanges {
		for e, k := range f.of(&n.Network) {
			ch <- prometheus.MustNewConstMetric(f.desc, prometheus.CounterValue, float64(k), vm.Label, e.Kind, e.Side)
		}
	}
	if n.Network.Untracked > 0 {
		ch <- prometheus.MustNewConstMetric(c.untracked, prometheus.CounterValue, float64(n.Network.Untracked), vm.Label)
	}
	for reason, p := range n.Parts {
		for part, d := range map[string]time.Duration{"vmm": p.VMM, "halted": p.Halted, "waited": p.Waited, "kvm": p.KVM(n.Exits[reason])} {
			ch <- prometheus.MustNewConstMetric(c.parts, prometheus.CounterValue, d.Seconds(), vm.Label, string(n.ISA), reason, part)
		}
	}
	lost := map[string]uint64{}
	for _, cause := range lostCauses {
		lost[cause] = 0
	}
	maps.Copy(lost, n.Lost)
	for cause, k := range lost {
		ch <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(k), vm.Label, cause)
	}
}
