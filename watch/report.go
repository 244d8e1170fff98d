// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/probe"
)

// Report is what was counted in a span of time, for a table or as JSON. Times are
// in nanoseconds. What could not be counted is absent, and Missing says why.
type Report struct {
	Version    string    `json:"version"`
	Until      time.Time `json:"until"`
	Seconds    float64   `json:"seconds"` // of the span
	NotWatched uint64    `json:"not_watched"`
	Forgotten  uint64    `json:"forgotten"`   // VMs that ended in the span and are not in VMs, as too many did
	PassedOver uint64    `json:"passed_over"` // VMs that the filter does not take, since the beginning
	// Unmet says which parts of the filter have nothing to take.
	Unmet   []string       `json:"unmet,omitempty"`
	VMs     []VMReport     `json:"vms"`
	Missing []MissingCount `json:"missing,omitempty"`
}

// MissingCount is what could not be counted for any VM.
type MissingCount struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// VMReport is one VM.
type VMReport struct {
	VM      string  `json:"vm"`
	Name    string  `json:"name,omitempty"`
	VMM     string  `json:"vmm"`
	PID     int     `json:"pid"`
	UUID    string  `json:"uuid,omitempty"`
	Cgroup  string  `json:"cgroup,omitempty"`
	Seconds float64 `json:"seconds"` // that it was watched in the span
	Ended   bool    `json:"ended,omitempty"`
	ISA     string  `json:"isa,omitempty"` // whose reasons Exits has; absent where KVM has no hardware to exit from
	// Values by name, as in run.json.
	Values map[string]uint64 `json:"values"`
	// NoEvent: none of its vCPUs has shown itself since it was watched, so that
	// nothing is known of it; no exits is not a finding then.
	NoEvent   bool      `json:"no_vcpu_event,omitempty"`
	Exits     []Row     `json:"exits,omitempty"`
	UserExits []Row     `json:"userspace_exits,omitempty"`
	Ports     []PortRow `json:"ports,omitempty"`          // the busiest
	Halted    *Dist     `json:"halted,omitempty"`         // HLT to wake-up
	Waited    *Dist     `json:"runqueue_delay,omitempty"` // of vCPU threads that could run
	// Network holds the times to answer of requests on the network device.
	Network []NetworkRow      `json:"network,omitempty"`
	Lost    map[string]uint64 `json:"lost,omitempty"`
	Error   string            `json:"error,omitempty"`
}

// Row is one reason.
type Row struct {
	Reason string  `json:"reason"`
	Count  uint64  `json:"count"`
	Rate   float64 `json:"per_second"`
	// Handling is from the exit to the next entry; for exits to user space it is
	// the round trip through the VMM.
	Handling *Dist `json:"handling,omitempty"`
	// InGuest is from the entry to the exit.
	InGuest *Dist `json:"in_guest,omitempty"`
	// What the sum of Handling consists of.
	Parts *PartsNS `json:"parts,omitempty"`
}

// PartsNS are the parts of the handling time of exits, in nanoseconds.
type PartsNS struct {
	KVM    int64 `json:"kvm_ns"`
	VMM    int64 `json:"vmm_ns"`
	Halted int64 `json:"halted_ns"`
	Waited int64 `json:"waited_ns"`
}

// Dist is a distribution of durations. The quantiles are upper bounds of buckets:
// the exact ones are at most one bucket below.
type Dist struct {
	Count uint64 `json:"count"`
	SumNS uint64 `json:"sum_ns"`
	P50NS int64  `json:"p50_ns"`
	P99NS int64  `json:"p99_ns"`
	MaxNS int64  `json:"max_ns"`
}

// PortRow is an I/O port and a direction, seen from the guest.
type PortRow struct {
	Port      string  `json:"port"`
	Direction string  `json:"direction"`
	Count     uint64  `json:"count"`
	Rate      float64 `json:"per_second"`
}

// NetworkRow is a kind of request and the side that answers.
type NetworkRow struct {
	Kind       string `json:"kind"`
	Side       string `json:"side"`
	Answer     *Dist  `json:"answer,omitempty"` // from the request to the answer
	Unanswered uint64 `json:"unanswered"`
	Repeated   uint64 `json:"repeated"`
	Refused    uint64 `json:"refused"`
}

// maxPorts is how many ports are shown of each VM.
const maxPorts = 8

// Reporter makes reports of the time between one call of Next and the next.
type Reporter struct {
	w       *Watcher
	version string
	at      time.Time
	before  map[uint64]Reading // by the VM's ID
	// forgotten is how many VMs had been forgotten by then.
	forgotten uint64
}

// NewReporter makes one; its first span begins now.
func NewReporter(w *Watcher, version string) *Reporter {
	rp := &Reporter{w: w, version: version, at: w.now(), before: map[uint64]Reading{}, forgotten: w.Totals().Forgotten}
	for r := range w.Each {
		rp.before[r.VM.ID] = r
	}
	return rp
}

// Next reports what happened since the last call.
func (rp *Reporter) Next() Report {
	begun, now, totals := rp.at, rp.w.now(), rp.w.Totals()
	out := Report{Version: rp.version, Until: now, Seconds: now.Sub(begun).Seconds(),
		NotWatched: totals.NotWatched, Forgotten: totals.Forgotten - rp.forgotten, PassedOver: totals.PassedOver, Unmet: rp.w.Unmet(), VMs: []VMReport{}}
	after := map[uint64]Reading{}
	for r := range rp.w.Each {
		before, known := rp.before[r.VM.ID]
		after[r.VM.ID] = r
		if known && before.Ended { // nothing new
			continue
		}
		span := r
		from := r.VM.Since
		if known {
			span.Counts = r.Counts.Since(before.Counts)
			from = before.Until
		}
		vm := vmReport(span, r.Until.Sub(from))
		vm.NoEvent = r.Err == nil && silent(r.Counts)
		out.VMs = append(out.VMs, vm)
	}
	if len(out.VMs) > 0 { // else nothing has fired because there was nothing
		out.Missing = missing(rp.w.src.Hooks())
	}
	rp.before, rp.at, rp.forgotten = after, now, totals.Forgotten
	return out
}

// silent reports whether package probe has seen no vCPU of the VM: then it leaves
// out even what is zero.
// What was seen on the network device is not of a vCPU.
func silent(n probe.Counts) bool {
	for name := range n.Values {
		if !strings.HasPrefix(name, "frames_") && !strings.HasPrefix(name, "bytes_") && !strings.HasPrefix(name, "tap_") {
			return false
		}
	}
	return len(n.Spans) == 0
}

func vmReport(r Reading, span time.Duration) VMReport {
	vm, n := r.VM, &r.Counts
	seconds := max(span.Seconds(), 0)
	out := VMReport{VM: vm.Label, Name: vm.Name, VMM: vm.VMM, PID: vm.PID, UUID: vm.UUID, Cgroup: vm.Cgroup,
		Seconds: seconds, Ended: r.Ended, ISA: string(n.ISA), Values: n.Values, Lost: n.Lost}
	if out.Values == nil {
		out.Values = map[string]uint64{}
	}
	if r.Err != nil {
		out.Error = Clean(r.Err.Error(), 200)
	}
	out.Exits = rows(n.ExitCounts, n.Exits, seconds)
	for i := range out.Exits {
		row := &out.Exits[i]
		row.InGuest = dist(n.GuestTime[row.Reason])
		if p, ok := n.Parts[row.Reason]; ok {
			row.Parts = &PartsNS{KVM: int64(p.KVM(n.Exits[row.Reason])), VMM: int64(p.VMM), Halted: int64(p.Halted), Waited: int64(p.Waited)}
		}
	}
	out.Halted, out.Waited = dist(n.Spans[probe.SpanHalted]), dist(n.Spans[probe.SpanWaited])
	out.UserExits = rows(n.UserExitCounts, n.UserExits, seconds)
	out.Network = networkRows(n.Network)
	for port, k := range n.Ports {
		row := PortRow{Port: fmt.Sprintf("0x%x", port.Number), Direction: "in", Count: k, Rate: rate(k, seconds)}
		if port.Out {
			row.Direction = "out"
		}
		out.Ports = append(out.Ports, row)
	}
	slices.SortFunc(out.Ports, func(a, b PortRow) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Port, b.Port), strings.Compare(a.Direction, b.Direction))
	})
	out.Ports = out.Ports[:min(len(out.Ports), maxPorts)]
	return out
}

// networkRows joins what is known of each kind of request.
func networkRows(n probe.Network) []NetworkRow {
	all := map[probe.Exchange]NetworkRow{}
	row := func(e probe.Exchange, set func(*NetworkRow)) {
		r, ok := all[e]
		if !ok {
			r = NetworkRow{Kind: e.Kind, Side: e.Side}
		}
		set(&r)
		all[e] = r
	}
	for e, h := range n.Responses {
		row(e, func(r *NetworkRow) { r.Answer = dist(h) })
	}
	for e, k := range n.Unanswered {
		row(e, func(r *NetworkRow) { r.Unanswered = k })
	}
	for e, k := range n.Repeated {
		row(e, func(r *NetworkRow) { r.Repeated = k })
	}
	for e, k := range n.Refused {
		row(e, func(r *NetworkRow) { r.Refused = k })
	}
	out := slices.Collect(maps.Values(all))
	slices.SortFunc(out, func(a, b NetworkRow) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Side, b.Side))
	})
	return out
}

// rows joins counts and durations; the longest total first.
func rows(counts map[string]uint64, durations map[string]probe.Histogram, seconds float64) []Row {
	var out []Row
	for reason := range joinKeys(counts, durations) {
		row := Row{Reason: reason, Count: counts[reason]}
		if h, ok := durations[reason]; ok {
			row.Handling = dist(h)
			row.Count = max(row.Count, h.Count)
		}
		row.Rate = rate(row.Count, seconds)
		out = append(out, row)
	}
	slices.SortFunc(out, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.sum(), a.sum()), cmp.Compare(b.Count, a.Count), strings.Compare(a.Reason, b.Reason))
	})
	return out
}

func joinKeys(counts map[string]uint64, durations map[string]probe.Histogram) map[string]bool {
	keys := map[string]bool{}
	for k := range maps.Keys(counts) {
		keys[k] = true
	}
	for k := range maps.Keys(durations) {
		keys[k] = true
	}
	return keys
}

func (r Row) sum() uint64 {
	if r.Handling == nil {
		return 0
	}
	return r.Handling.SumNS
}

func dist(h probe.Histogram) *Dist {
	if h.Count == 0 {
		return nil
	}
	return &Dist{Count: h.Count, SumNS: h.SumNS, P50NS: int64(h.Quantile(0.5)), P99NS: int64(h.Quantile(0.99)), MaxNS: int64(h.Max())}
}

func rate(n uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// told is what each hook of KVM is good for in a report.
var told = []struct{ hook, what string }{
	{probe.HookKVMExit, "exits by reason"},
	{probe.HookEntry, "handling times of exits"},
	{probe.HookUserExit, "exits to the VMM"},
	{probe.HookRun, "round trips through the VMM"},
	{probe.HookWakeup, "halted time"},
	{probe.HookSched, "run-queue delay"},
	{probe.HookFault, "page faults"},
	{probe.HookPIO, "port accesses"},
	{probe.HookHalt, "halts"},
}

// missing tells what cannot be told, and why.
func missing(hooks []probe.HookStatus) []MissingCount {
	byName := map[string]probe.HookStatus{}
	for _, h := range hooks {
		byName[h.Hook] = h
	}
	var out []MissingCount
	for _, t := range told {
		h, ok := byName[t.hook]
		if s := byName[probe.HookSyscall]; t.hook == probe.HookRun && h.Rung == "" && s.Rung != "" {
			h = s // which tells the same, at a higher price
		}
		switch {
		case !ok:
		case h.Rung == "":
			out = append(out, MissingCount{What: t.what, Why: fmt.Sprintf("hook %s: %s", h.Hook, h.Why())})
		case h.Hits == 0:
			out = append(out, MissingCount{What: t.what, Why: fmt.Sprintf("hook %s is attached by %s and has not fired for any VM of the host", h.Hook, h.Rung)})
		}
	}
	return out
}
