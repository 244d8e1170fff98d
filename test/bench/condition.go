// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/probe"
)

// condition is one way to run the guest.
type condition struct {
	name   string
	what   string
	attach probe.Rung // "" for no program of ukprobe's
	watch  bool       // the guest is the one that is watched
	full   bool       // with the hooks that tell where time and memory go
	tool   *tool      // another tool instead, or nil
}

const (
	none    = "none"       // what everything is compared with
	control = "none again" // equal to it: must come out as such
)

var nothing = []condition{
	{name: none, what: "no program attached"},
	{name: control, what: "the same once more: what two equal conditions differ by"},
}

var bystander = condition{name: "bystander", what: "all hooks by auto, another guest is watched", attach: probe.Auto}

// watching are ukprobe's own conditions.
var watching = []condition{
	{name: "auto", what: "ukprobe, all hooks by auto", attach: probe.Auto, watch: true},
	{name: "full", what: "ukprobe, all hooks by auto, also those for halts, waiting, page faults and the VMM's share", attach: probe.Auto, watch: true, full: true},
	{name: "fentry", what: "ukprobe, hooks by fentry where they have it", attach: probe.Fentry, watch: true},
	{name: "kprobe", what: "ukprobe, hooks by kprobe where they have it", attach: probe.Kprobe, watch: true},
	{name: "tp_btf", what: "ukprobe, hooks by tp_btf where they have it", attach: probe.TPBTF, watch: true},
	{name: "raw_tp", what: "ukprobe, hooks by raw_tp where they have it", attach: probe.RawTP, watch: true},
	{name: "tracepoint", what: "ukprobe, hooks by tracepoint where they have it", attach: probe.Tracepoint, watch: true},
}

// ownConditions are those of the slowdown, allConditions those of the comparison with
// other tools.
func ownConditions() []condition {
	return slices.Concat(nothing, []condition{bystander}, watching)
}

func (b *bench) allConditions() []condition {
	out := slices.Concat(nothing, watching)
	for _, t := range tools(b.isa) {
		out = append(out, condition{name: t.name, what: t.what, tool: &t})
	}
	return out
}

// checkNames refuses a name that no condition has.
func checkNames(only []string) error {
	b := &bench{}
	var names []string
	for _, c := range append(b.allConditions(), bystander) {
		names = append(names, c.name)
	}
	for _, name := range only {
		if !slices.Contains(names, name) {
			return fmt.Errorf("condition %q: not known: use some of %s", name, strings.Join(names, ", "))
		}
	}
	return nil
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
func (b *bench) available(ctx context.Context, all []condition) (have []condition, info []conditionInfo, err error) {
	for _, c := range all {
		if len(b.conditions) > 0 && c.name != none && !slices.Contains(b.conditions, c.name) {
			continue
		}
		i := conditionInfo{Name: c.name, What: c.what}
		if c.tool != nil {
			i.Missing, err = b.tryTool(ctx, *c.tool)
		} else {
			i.Rungs, i.Missing, err = c.tryRungs()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("condition %s: %w", c.name, err)
		}
		if i.Missing == "" {
			have = append(have, c)
		}
		info = append(info, i)
	}
	return have, info, nil
}

func (c condition) tryRungs() (rungs map[string]string, missing string, err error) {
	p, err := c.open()
	if err != nil || p == nil {
		return nil, "", err
	}
	return rungsOf(p), c.wanting(p), p.Close()
}

// tryTool starts a tool and ends it. What goes wrong is the reason why it cannot be
// had here, not an error of the bench.
func (b *bench) tryTool(ctx context.Context, t tool) (missing string, err error) {
	dir, err := os.MkdirTemp(b.workDir, "tool-")
	if err != nil {
		return "", fmt.Errorf("make a folder for %s: %w", t.name, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, startErr := t.begin(ctx, dir)
	if ctx.Err() != nil {
		return "", fmt.Errorf("interrupted: %w", ctx.Err())
	}
	if startErr != nil {
		return startErr.Error(), nil
	}
	if _, stopErr := s.stop(ctx); stopErr != nil {
		s.cancel()
		return stopErr.Error(), nil
	}
	return "", nil
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
