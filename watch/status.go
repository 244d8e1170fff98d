// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/ukprobe/ukprobe/internal/statuspage"
	"github.com/ukprobe/ukprobe/probe"
)

// Status is what /status.json says: the VMs that are watched, or were and are kept, with
// counts since each was first seen. A count that no hook could give is absent.
type Status struct {
	Version    string     `json:"version"`
	Host       string     `json:"host,omitempty"`
	At         time.Time  `json:"at"`
	Running    int        `json:"vms"`
	Limit      int        `json:"vms_limit"`
	Seen       uint64     `json:"vms_watched"`
	NotWatched uint64     `json:"vms_not_watched"`
	PassedOver uint64     `json:"passed_over"`
	Unmet      []string   `json:"unmet,omitempty"` // parts of the filter that have nothing to take
	VMs        []VMStatus `json:"list"`
}

// VMStatus is one VM.
type VMStatus struct {
	VM     string    `json:"vm"`
	Name   string    `json:"name,omitempty"`
	VMM    string    `json:"vmm"`
	PID    int       `json:"pid"`
	Cgroup string    `json:"cgroup,omitempty"`
	Since  time.Time `json:"since"`
	Ended  bool      `json:"ended,omitempty"`

	Exits     *uint64 `json:"exits,omitempty"`
	UserExits *uint64 `json:"userspace_exits,omitempty"`
	Halts     *uint64 `json:"halts,omitempty"`
	Lost      uint64  `json:"lost"`
	Error     string  `json:"error,omitempty"` // why the counts are incomplete
}

// status reads all VMs.
func status(w *Watcher, version string) Status {
	t := w.Totals()
	name, _ := os.Hostname() // "" is not shown
	out := Status{Version: version, Host: name, At: w.now(), Running: t.Running, Limit: t.MaxVMs, Seen: t.Seen,
		NotWatched: t.NotWatched, PassedOver: t.PassedOver, Unmet: w.Unmet(), VMs: []VMStatus{}}
	for r := range w.Each {
		out.VMs = append(out.VMs, vmStatus(r))
	}
	slices.SortFunc(out.VMs, func(a, b VMStatus) int { return cmp.Compare(a.VM, b.VM) })
	return out
}

func vmStatus(r Reading) VMStatus {
	v := VMStatus{VM: r.VM.Label, Name: r.VM.Name, VMM: r.VM.VMM, PID: r.VM.PID, Cgroup: r.VM.Cgroup, Since: r.VM.Since, Ended: r.Ended,
		Exits: valueOf(r.Counts, "kvm_exits"), UserExits: valueOf(r.Counts, "kvm_userspace_exits"), Halts: valueOf(r.Counts, "halts")}
	for _, n := range r.Counts.Lost {
		v.Lost += n
	}
	if r.Err != nil {
		v.Error = r.Err.Error()
	}
	return v
}

func valueOf(c probe.Counts, name string) *uint64 {
	if n, ok := c.Values[name]; ok {
		return &n
	}
	return nil
}

// page is the same for a person.
func (s Status) page() statuspage.Page {
	p := statuspage.Page{Title: "ukprobe watch", Version: s.Version, Subtitle: "What the VMs of this host do, seen from the host kernel.",
		Facts: []statuspage.Fact{{Name: "Host", Value: cmp.Or(s.Host, "?")}, {Name: "VMs", Value: fmt.Sprintf("%d of at most %d", s.Running, s.Limit)},
			{Name: "Seen since the start", Value: fmt.Sprint(s.Seen)}, {Name: "Found no room", Value: fmt.Sprint(s.NotWatched)},
			{Name: "Passed over by the filter", Value: fmt.Sprint(s.PassedOver)}},
		Links: []statuspage.Link{{Address: "/metrics", Text: "Metrics"}, {Address: "/status.json", Text: "JSON"}, {Address: "/healthz", Text: "Health"}}}
	for _, why := range s.Unmet {
		p.Facts = append(p.Facts, statuspage.Fact{Name: "Nothing taken", Value: why})
	}
	t := statuspage.Table{Caption: "VMs, with counts since each was first seen", Figures: []int{1, 2, 3, 4, 7}, Empty: "No VM yet.",
		Columns: []string{"vm", "exits", "to the VMM", "halts", "lost", "state", "vmm", "pid", "since", "cgroup"}}
	for _, v := range s.VMs {
		state := "running"
		if v.Ended {
			state = "ended"
		}
		if v.Error != "" {
			state += ": " + v.Error
		}
		t.Rows = append(t.Rows, statuspage.Row{Cells: []string{v.VM, countText(v.Exits), countText(v.UserExits), countText(v.Halts), fmt.Sprint(v.Lost),
			state, v.VMM, fmt.Sprint(v.PID), v.Since.Local().Format("01-02 15:04:05"), v.Cgroup}})
	}
	p.Tables = []statuspage.Table{t}
	return p
}

// countText writes a count; one that is not known is a dash.
func countText(n *uint64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}
