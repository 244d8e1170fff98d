// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
	"github.com/ukprobe/ukprobe/probe"
)

// loadQueue is the length of a tap's queue towards the guest under load, in frames: the
// kernel's default. While it boots it is short (network.DefaultTxQueueLen).
const loadQueue = 1000

// lengthenQueue prepares the guest's tap for load, shortenQueue for the next boot on it.
func (l *Live) lengthenQueue() error { return l.setQueue(loadQueue) }

func (l *Live) shortenQueue() error { return l.setQueue(network.DefaultTxQueueLen) }

func (l *Live) setQueue(frames int) error {
	if !l.isWired() || l.Boot.Platform.Wire() != platform.TapWire {
		return nil
	}
	return l.Boot.Lab.Do(func() error {
		link, err := netlink.LinkByIndex(l.nic.Ifindex)
		if err == nil {
			err = netlink.LinkSetTxQLen(link, frames)
		}
		if err != nil {
			return fmt.Errorf("set the length of the queue of %s: %w", l.nic.Name, err)
		}
		return nil
	})
}

// meter is what was counted of a guest up to a moment.
type meter struct {
	at      time.Time
	counts  probe.Counts
	cpu     time.Duration // that the guest's cgroup has used
	system  time.Duration // of that, in the kernel; what KVM runs as a guest is not
	dropped [2]uint64     // frames at the guest's device: to the guest, from it
}

func (l *Live) meter() (m meter, err error) {
	l.Watch.Drain()
	m.at = time.Now()
	if m.counts, err = l.Watch.Counts(); err != nil {
		return m, err
	}
	if m.cpu, m.system, err = cpuTime(l.Group.Path); err != nil {
		return m, err
	}
	if !l.isWired() {
		return m, nil
	}
	return m, l.Boot.Lab.Do(func() error {
		link, err := netlink.LinkByIndex(l.nic.Ifindex)
		if err != nil {
			return fmt.Errorf("statistics of %s: %w", l.nic.Name, err)
		}
		if s := link.Attrs().Statistics; s != nil {
			m.dropped = [2]uint64{s.TxDropped, s.RxDropped}
		}
		return nil
	})
}

// cpuTime is the time that the tasks of a cgroup and those below have run: cpu.stat is
// there without the cpu controller (Documentation/admin-guide/cgroup-v2.rst).
func cpuTime(path string) (all, system time.Duration, err error) {
	text, err := os.ReadFile(filepath.Join(path, "cpu.stat"))
	if err != nil {
		return 0, 0, fmt.Errorf("CPU time of the guest: %w", err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		to := map[string]*time.Duration{"usage_usec": &all, "system_usec": &system}[key]
		if to == nil {
			continue
		}
		us, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("CPU time of the guest: cpu.stat: %w", err)
		}
		*to, found = time.Duration(us)*time.Microsecond, found+1
	}
	if found != 2 {
		return 0, 0, errors.New("CPU time of the guest: cpu.stat has no usage_usec and system_usec")
	}
	return all, system, nil
}

// costs notes what a request cost the host, between two readings.
func (l *Live) costs(prefix string, before, after meter, requests uint64) {
	if d := after.dropped[0] - before.dropped[0]; d > 0 {
		l.Sample.Taint("%s dropped %d frames on their way to the guest", l.nic.Name, d)
	}
	if d := after.dropped[1] - before.dropped[1]; d > 0 {
		l.Sample.Taint("%s dropped %d frames of the guest", l.nic.Name, d)
	}
	if requests == 0 {
		return
	}
	each := func(name string, v float64) { l.Value(prefix+name, v/float64(requests)) }
	each("cpu_per_request_ns", float64((after.cpu - before.cpu).Nanoseconds()))
	each("cpu_system_per_request_ns", float64((after.system - before.system).Nanoseconds()))
	d := after.counts.Since(before.counts)
	if n, ok := d.Values["kvm_userspace_exits"]; ok {
		each("userspace_exits_per_request", float64(n))
	}
	for _, direction := range []string{"in", "out"} {
		if n, ok := d.Values["frames_"+direction]; ok {
			each("frames_"+direction+"_per_request", float64(n))
		}
	}
	l.exits(prefix, d, each)
	if guest, ok := l.Sample.Values[prefix+"guest_per_request_ns"]; ok {
		user := float64((after.cpu-before.cpu-(after.system-before.system)).Nanoseconds())/float64(requests) - guest
		if name := prefix + "vmm_user_per_request_ns"; user >= 0 {
			l.Value(name, user)
		} else { // system_usec is scaled by what ticks have seen
			l.Sample.Lacks(name, "the kernel's estimate of its own share of the CPU time is too coarse")
		}
	}
	for _, kind := range []string{"tcp_next", "dns"} { // a service has one of them
		answers := d.Network.Responses[probe.Exchange{Kind: kind, Side: "guest"}]
		if answers.Count == 0 {
			continue
		}
		l.Value(prefix+"wire_latency_mean_ns", float64(answers.SumNS)/float64(answers.Count))
		l.Value(prefix+"wire_latency_p50_ns", float64(answers.Quantile(0.5).Nanoseconds()))
		l.Value(prefix+"wire_latency_p99_ns", float64(answers.Quantile(0.99).Nanoseconds()))
	}
}

// exits notes where the vCPUs' time went.
func (l *Live) exits(prefix string, d probe.Counts, each func(string, float64)) {
	lacks := func(reason string, names ...string) {
		for _, name := range names {
			l.Sample.Lacks(prefix+name, reason)
		}
	}
	n, ok := d.Values["kvm_exits"]
	if !ok {
		lacks(l.noExits(), "exits_per_request", "guest_per_request_ns", "kvm_per_request_ns", "vmm_per_request_ns", "halted_per_request_ns",
			"waited_per_request_ns", "vmm_user_per_request_ns")
		return
	}
	each("exits_per_request", float64(n))
	var kvm, vmm, halted, waited, guest time.Duration
	for reason, h := range d.Exits {
		p := d.Parts[reason]
		kvm, vmm, halted, waited = kvm+p.KVM(h), vmm+p.VMM, halted+p.Halted, waited+p.Waited
	}
	for _, h := range d.GuestTime {
		guest += time.Duration(h.SumNS)
	}
	each("guest_per_request_ns", float64(guest.Nanoseconds()))
	each("vmm_per_request_ns", float64(vmm.Nanoseconds()))
	_, knowsHalted := d.Spans[probe.SpanHalted]
	_, knowsWaited := d.Spans[probe.SpanWaited]
	if !knowsHalted || !knowsWaited {
		lacks("only with probes: full it is told apart from the time halted", "kvm_per_request_ns", "halted_per_request_ns", "waited_per_request_ns")
		return
	}
	each("kvm_per_request_ns", float64(kvm.Nanoseconds()))
	each("halted_per_request_ns", float64(halted.Nanoseconds()))
	each("waited_per_request_ns", float64(waited.Nanoseconds()))
}

// hostNetwork notes how much of the mean latency that a client saw was not between the
// request and its answer at the guest's device.
func (l *Live) hostNetwork(prefix string, f workload.Figures) {
	mean, told := f.Latency["uncorrected_mean"] // from the sending, not from the moment due
	if !told {
		mean, told = f.Latency["mean"]
	}
	wire, seen := l.Sample.Values[prefix+"wire_latency_mean_ns"]
	if !told || !seen || l.Boot.Settings.Load.Pipeline > 1 {
		return // of a pipeline's requests only the first is seen on the wire
	}
	if d := float64(mean.Nanoseconds()) - wire; d >= 0 {
		l.Value(prefix+"host_network_per_request_ns", d)
	} else {
		l.Sample.Lacks(prefix+"host_network_per_request_ns", "on the wire the mean is longer than the client's: they are not of the same requests")
	}
}

// noExits is why there are none.
func (l *Live) noExits() string {
	switch b := l.Boot; {
	case b.Accel != platform.KVM:
		return "not under KVM: there are no exits"
	case b.Settings.Probes == matrix.ProbesNone:
		return "--probes none: only the host kernel could see it"
	case b.Emulated:
		return "this KVM only emulates: its exits are no tracepoints"
	}
	return "no exit was seen: is the hook attached?"
}
