// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/probe"
)

// condition is one way to run the guest.
type condition struct {
	name   string
	what   string
	attach probe.Rung // "" for no program at all
	watch  bool       // the guest is the one that is watched
}

const (
	none    = "none"       // what everything is compared with
	control = "none again" // equal to it: must come out as such
)

var conditions = []condition{
	{name: none, what: "no program attached"},
	{name: control, what: "the same once more: what two equal conditions differ by"},
	{name: "bystander", what: "all hooks by auto, another guest is watched", attach: probe.Auto},
	{name: "auto", what: "all hooks by auto, this guest is watched", attach: probe.Auto, watch: true},
	{name: "fentry", what: "hooks by fentry where they have it", attach: probe.Fentry, watch: true},
	{name: "kprobe", what: "hooks by kprobe where they have it", attach: probe.Kprobe, watch: true},
	{name: "tp_btf", what: "hooks by tp_btf where they have it", attach: probe.TPBTF, watch: true},
	{name: "raw_tp", what: "hooks by raw_tp where they have it", attach: probe.RawTP, watch: true},
	{name: "tracepoint", what: "hooks by tracepoint where they have it", attach: probe.Tracepoint, watch: true},
}

func findCondition(name string) (condition, error) {
	var names []string
	for _, c := range conditions {
		if c.name == name {
			return c, nil
		}
		names = append(names, c.name)
	}
	return condition{}, fmt.Errorf("condition %q: not known: use some of %s", name, strings.Join(names, ", "))
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
func (c condition) wanting(p *probe.Probe) string {
	if c.attach == probe.Auto {
		return ""
	}
	reason := "no hook has it"
	for _, h := range p.Hooks() {
		if h.Rung == c.attach {
			return ""
		}
		for _, r := range h.Refused {
			if r.Rung == c.attach && reason == "no hook has it" {
				reason = h.Hook + ": " + r.Reason
			}
		}
	}
	return reason
}

// available tries each condition once; what cannot be had here is returned with
// its reason.
func (b *bench) available() (have []condition, info []conditionInfo, err error) {
	for _, c := range conditions {
		if len(b.only) > 0 && c.name != none && !slices.Contains(b.only, c.name) {
			continue
		}
		i := conditionInfo{Name: c.name, What: c.what}
		p, err := c.open()
		if err != nil {
			return nil, nil, fmt.Errorf("condition %s: %w", c.name, err)
		}
		if p != nil {
			i.Rungs, i.Missing = rungsOf(p), c.wanting(p)
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

// conditionInfo is a condition as it stands in the output.
type conditionInfo struct {
	Name    string            `json:"name"`
	What    string            `json:"what"`
	Missing string            `json:"missing,omitempty"` // why it cannot be had here
	Rungs   map[string]string `json:"rungs,omitempty"`   // hook to rung, where attached
}

// rungsOf leaves out hooks that are attached only while somebody needs them.
func rungsOf(p *probe.Probe) map[string]string {
	out := map[string]string{}
	for _, h := range p.Hooks() {
		if h.Rung != "" && !h.OnDemand {
			out[h.Hook] = string(h.Rung)
		}
	}
	return out
}
