// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"fmt"
	"slices"

	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// condition is one way to run the guest.
type condition struct {
	name   string
	what   string
	attach probe.Rung // "" for no program at all
	watch  bool       // the guest is the one that is watched
	full   bool       // with everything on demand
}

// rungs are those that can be asked for, cheapest first.
var rungs = []probe.Rung{probe.Fentry, probe.TPBTF, probe.RawTP, probe.Kprobe, probe.Tracepoint}

// conditions are those of a measurement, with these rungs one by one; none given
// means all.
func conditions(only []probe.Rung) []condition {
	out := []condition{
		{name: results.OverheadNone, what: "nothing attached"},
		{name: results.OverheadControl, what: "the same once more: what two equal conditions differ by"},
		{name: results.OverheadBystander, what: "--probes boot for another guest that is about to boot, hooks by auto", attach: probe.Auto},
		{name: results.OverheadBoot, what: "--probes boot, hooks by auto", attach: probe.Auto, watch: true},
		{name: results.OverheadFull, what: "--probes full, hooks by auto", attach: probe.Auto, watch: true, full: true},
	}
	for _, r := range rungs {
		if len(only) == 0 || slices.Contains(only, r) || slices.Contains(only, probe.Auto) {
			out = append(out, condition{name: string(r), what: fmt.Sprintf("--probes boot, hooks by %s where they have it", r), attach: r, watch: true})
		}
	}
	return out
}

// open attaches the condition's probes; nil if it has none. A hook that cannot have
// the rung falls back: rungsOf tells which ones did.
func (c condition) open() (*probe.Probe, error) {
	if c.attach == "" {
		return nil, nil
	}
	return probe.Open(probe.Options{Attach: c.attach})
}

// wanting gives the reason why no hook at all got the condition's rung, or "".
func (c condition) wanting(hooks []probe.HookStatus) string {
	if c.attach == probe.Auto || c.attach == "" {
		return ""
	}
	reason := ""
	for _, h := range hooks {
		if h.Rung == c.attach {
			return ""
		}
		for _, r := range h.Refused {
			if r.Rung == c.attach && reason == "" {
				reason = h.Hook + ": " + r.Reason
			}
		}
	}
	if reason == "" {
		return "no hook has it"
	}
	return reason
}

// rungsOf leaves out hooks that are attached only while somebody needs them.
func rungsOf(hooks []probe.HookStatus) map[string]string {
	out := map[string]string{}
	for _, h := range hooks {
		if h.Rung != "" && !h.OnDemand {
			out[h.Hook] = string(h.Rung)
		}
	}
	return out
}

// available tries each condition once; what cannot be had here is returned with its
// reason only.
func available(all []condition) (have []condition, info []results.OverheadCondition, err error) {
	for _, c := range all {
		i := results.OverheadCondition{Name: c.name}
		p, err := c.open()
		if err != nil {
			return nil, nil, fmt.Errorf("condition %s: %w", c.name, err)
		}
		if p != nil {
			hooks := p.Hooks()
			if i.Missing = c.wanting(hooks); i.Missing == "" {
				i.Rungs = rungsOf(hooks)
			}
			if err := p.Close(); err != nil {
				return nil, nil, err
			}
		}
		if i.Missing == "" {
			have = append(have, c)
		}
		info = append(info, i)
	}
	return have, info, nil
}
