// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/claim"
	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// record turns a cell into what is stored of it before its first sample.
func (c *cell) record() results.Cell {
	out := results.Cell{System: c.System, App: c.App, Platform: c.Platform, Experiment: c.Experiment,
		Accel: c.accel, Probes: c.Probes, Status: c.status, Reason: c.reason, Argv: []string{}}
	out.Settings = &results.Settings{Samples: c.Samples, Warmup: c.Warmup, TimeoutNs: c.Timeout.Nanoseconds(), TimeoutLearnt: c.TimeoutLearnt,
		MemoryMiB: c.MemoryMiB, VCPUs: c.VCPUs, Address: c.Address, Vhost: c.Vhost, Args: c.Args, Ready: c.image.Ready, Image: c.Image}
	c.recordExperiment(out.Settings)
	for _, p := range c.Claims {
		out.Settings.Claims = append(out.Settings.Claims, results.ClaimPattern{Name: p.Name, Pattern: p.Pattern, Unit: p.Unit, Since: p.Since})
	}
	if svc := c.image.Service; svc != nil {
		out.Settings.Port = int(svc.Port)
	}
	if c.platform != nil {
		out.Firmware = c.platform.Firmware().Name
	}
	if c.image.Image.Path != "" {
		out.Image = &results.Image{Path: c.image.Image.Path, SHA256: c.image.Image.SHA256, Size: c.image.Image.Size, Version: c.image.Version, Package: c.image.Package, Key: c.image.Key()}
		if k := c.image.Kernel; k != "" {
			if f, err := system.FormatOf(k); err == nil { // else it says none
				out.Image.KernelVersion = f.KernelVersion
			}
		}
		if len(c.image.Parts) > 1 {
			for _, p := range c.image.Parts {
				out.Image.Files = append(out.Image.Files, results.ImageFile{Kind: p.Kind, Path: p.Path, SHA256: p.SHA256, Size: p.Size})
			}
		}
		if e := c.image.Entry; e != nil {
			out.Image.Name, out.Image.Built = e.Name, e.Built.Map()
		}
	}
	return out
}

// recordExperiment adds the settings that only the cell's experiment has.
func (c *cell) recordExperiment(out *results.Settings) {
	if c.Parallel > 1 {
		out.Parallel = c.Parallel
	}
	if c.Tap == matrix.TapKeep {
		out.Tap = c.Tap
	}
	if c.Cache != matrix.CacheAsIs {
		out.Cache = c.Cache
	}
	if c.Until.WithinPercent > 0 {
		out.Until = &results.Until{WithinPercent: c.Until.WithinPercent, AtMost: c.Until.AtMost}
	}
	if l, ok := c.load(); ok {
		out.Load = &results.Workload{DurationNs: l.Duration.Nanoseconds(), WarmupNs: l.Warmup.Nanoseconds(), Connections: l.Connections,
			Threads: l.Threads, Pipeline: l.Pipeline, Rate: l.Rate, Requests: l.Requests, ValueBytes: l.ValueBytes, BlockBytes: l.BlockBytes}
	}
	switch c.Experiment {
	case matrix.FileSystem:
		out.Scratch = &results.ScratchDisk{SizeMiB: c.Scratch.SizeMiB, Cache: c.Scratch.Cache, IOPS: c.Scratch.IOPS, BytesPerSecond: c.Scratch.BytesPerSecond}
	case matrix.MemoryMin:
		out.MemorySearch = &results.MemorySearch{FromMiB: c.MemorySearch.FromMiB, ToMiB: c.MemorySearch.ToMiB, StepMiB: c.MemorySearch.StepMiB, Confirm: c.MemorySearch.Confirm}
	case matrix.Density:
		out.Density = &results.Density{RAMMiB: c.Density.RAMMiB, AtMost: c.Density.AtMost}
	}
}

// record turns a sample into what is stored of it.
func record(s experiment.Sample) results.Sample {
	out := results.Sample{Started: s.Started, Status: s.Status, Reason: s.Reason, Taints: s.Taints,
		Values: values(s), Lost: s.Counts.Lost}
	for _, e := range s.Timeline.Events {
		out.Events = append(out.Events, results.Event{Name: e.Name, NS: e.NS, Rung: string(e.Rung), Hook: e.Hook})
	}
	for _, m := range slices.Concat(s.Timeline.Missing, s.Lacking) {
		out.Missing = append(out.Missing, results.Missing{Name: m.Name, Reason: m.Reason})
	}
	out.Phases = phases(s.Timeline.Phases())
	for _, l := range s.Lines {
		out.Console = append(out.Console, results.ConsoleLine{FirstNS: l.FirstNS, LastNS: l.LastNS, Text: l.Clean()})
	}
	for _, v := range s.Claims {
		out.Claims = append(out.Claims, recordClaim(v))
	}
	out.Outputs, out.Facts = s.Outputs, s.Facts
	for kind, list := range s.Addresses {
		if out.Addresses == nil {
			out.Addresses = map[string][]string{}
		}
		for _, a := range list {
			out.Addresses[kind] = append(out.Addresses[kind], fmt.Sprintf("0x%x", a))
		}
	}
	for name, points := range s.Curves {
		if out.Curves == nil {
			out.Curves = map[string][]results.Point{}
		}
		for _, p := range points {
			out.Curves[name] = append(out.Curves[name], results.Point{NS: p.NS, Value: p.Value})
		}
	}
	for _, g := range s.Guests {
		out.Guests = append(out.Guests, record(g))
	}
	if s.Status != experiment.OK {
		out.Stderr = s.Stderr
	}
	return out
}

func phases(p probe.Phases) results.Phases {
	return results.Phases{VMMNs: ns(p.VMM), FirmwareNs: ns(p.Firmware), GuestNs: ns(p.Guest), TotalNs: ns(p.Total),
		BIOSNs: ns(p.BIOS), OptionROMNs: ns(p.OptionROM),
		SetupNs: ns(p.Setup), DecompressNs: ns(p.Decompress), KernelNs: ns(p.Kernel)}
}

// recordClaim turns a verdict into what is stored of it.
func recordClaim(v experiment.Verdict) results.Claim {
	out := results.Claim{Name: v.Name, Kind: string(v.Kind), Text: v.Text, Status: v.Status, Reason: v.Reason,
		ClaimNS: v.ClaimNS, HostNS: v.HostNS, Against: v.Against, NotApart: v.NotApart, Mapping: v.Mapping, ControlNS: v.Control.Nanoseconds()}
	if v.Status != claim.Unknown {
		out.OffNS, out.ErrNS, out.Terms = &v.OffNS, &v.ErrNS, map[string]int64{}
		for _, t := range v.Terms {
			out.Terms[t.Name] = t.NS
		}
	}
	for _, s := range v.LeavesOut {
		out.LeavesOut = append(out.LeavesOut, results.Span{Name: s.Name, NS: s.NS})
	}
	if s := v.Series; s != nil {
		out.Stamps, out.Earlier, out.Rate, out.LagMedianNS, out.LagMaxNS = s.N, s.Earlier, &s.Rate, &s.LagMedianNS, &s.LagMaxNS
	}
	return out
}

func ns(d *time.Duration) *int64 {
	if d == nil {
		return nil
	}
	n := d.Nanoseconds()
	return &n
}

// values are the sample's counts by name.
func values(s experiment.Sample) map[string]float64 {
	out := map[string]float64{}
	for name, n := range s.Counts.Values {
		out[name] = float64(n)
	}
	for port, n := range s.Counts.Ports {
		direction := "in"
		if port.Out {
			direction = "out"
		}
		out[fmt.Sprintf("pio_%s_port_0x%x", direction, port.Number)] = float64(n)
	}
	for reason, n := range s.Counts.ExitCounts {
		out["kvm_exits_"+reason] = float64(n)
	}
	for reason, n := range s.Counts.UserExitCounts {
		out["kvm_userspace_exits_"+reason] = float64(n)
	}
	addTimes(out, s.Counts)
	addNetwork(out, s.Counts.Network)
	for name, v := range s.Values {
		out[name] = v
	}
	if s.Client.SYNs > 0 {
		out[experiment.ClientSYNs] = float64(s.Client.SYNs)
		if s.Client.LongestGap > 0 {
			out[experiment.ClientLongestGapNs] = float64(s.Client.LongestGap.Nanoseconds())
		}
	}
	return out
}

// addTimes adds where the vCPUs' time went, as sums over all exits: known only where
// entries and exits are seen.
func addTimes(out map[string]float64, c probe.Counts) {
	if len(c.Exits) == 0 {
		return
	}
	for reason, h := range c.Exits {
		parts := c.Parts[reason]
		out["time_kvm_ns"] += float64(parts.KVM(h).Nanoseconds())
		out["time_vmm_ns"] += float64(parts.VMM.Nanoseconds())
		if _, ok := c.Spans[probe.SpanHalted]; ok {
			out["time_halted_ns"] += float64(parts.Halted.Nanoseconds())
		}
		if _, ok := c.Spans[probe.SpanWaited]; ok {
			out["time_waited_ns"] += float64(parts.Waited.Nanoseconds())
		}
	}
	for _, h := range c.GuestTime {
		out["time_guest_ns"] += float64(h.SumNS)
	}
}

// addNetwork adds how many requests on the guest's network device were answered, or
// were not.
func addNetwork(out map[string]float64, n probe.Network) {
	for e, h := range n.Responses {
		out["answers_"+e.Kind+"_by_"+e.Side] = float64(h.Count)
	}
	for what, counts := range map[string]map[probe.Exchange]uint64{"unanswered_": n.Unanswered, "repeated_": n.Repeated, "refused_": n.Refused} {
		for e, k := range counts {
			out[what+e.Kind+"_by_"+e.Side] = float64(k)
		}
	}
}

// histograms are the final native histograms of a cell: scraping may have missed
// the end of a short run.
func histograms(c probe.Counts) []results.Histogram {
	var out []results.Histogram
	add := func(name string, labels map[string]string, h probe.Histogram) {
		buckets := make(map[int32]uint64, len(h.Buckets))
		for i, n := range h.Buckets {
			buckets[int32(i)] = n
		}
		out = append(out, results.Histogram{Name: name, Labels: labels, Schema: int32(h.Schema),
			ZeroCount: h.Zero, Count: h.Count, Sum: float64(h.SumNS) / 1e9, Buckets: buckets})
	}
	byReason := func(name string, hs map[string]probe.Histogram, labels func(reason string) map[string]string) {
		for _, reason := range slices.Sorted(maps.Keys(hs)) {
			add(name, labels(reason), hs[reason])
		}
	}
	exit := func(reason string) map[string]string {
		return map[string]string{"isa": string(c.ISA), "reason": reason}
	}
	byReason("ukprobe_kvm_exit_handling_seconds", c.Exits, exit)
	byReason("ukprobe_guest_run_seconds", c.GuestTime, exit)
	byReason("ukprobe_vmm_round_trip_seconds", c.UserExits, func(reason string) map[string]string { return map[string]string{"reason": reason} })
	for _, span := range []struct{ name, span string }{
		{"ukprobe_vcpu_halted_seconds", probe.SpanHalted}, {"ukprobe_vcpu_runqueue_delay_seconds", probe.SpanWaited},
		{"ukprobe_guest_populate_seconds", probe.SpanPopulate},
	} {
		if h, ok := c.Spans[span.span]; ok && h.Count > 0 {
			add(span.name, nil, h)
		}
	}
	for _, e := range slices.SortedFunc(maps.Keys(c.Network.Responses), byKindAndSide) {
		add("ukprobe_network_response_seconds", map[string]string{"kind": e.Kind, "side": e.Side}, c.Network.Responses[e])
	}
	return out
}

func byKindAndSide(a, b probe.Exchange) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Side, b.Side))
}
