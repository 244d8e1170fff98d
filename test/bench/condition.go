// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/probe"
)

// condition is one way to run the guest: with ukprobe's probes, or with another tool.
type condition struct {
	rig.Condition
	tool *tool // or nil
}

const (
	none    = "none"       // what everything is compared with
	control = "none again" // equal to it: must come out as such
)

var nothing = []rig.Condition{
	{Name: none, What: "no program attached"},
	{Name: control, What: "the same once more: what two equal conditions differ by"},
}

var bystander = rig.Condition{Name: "bystander", What: "all hooks by auto, another guest is watched", Attach: probe.Auto}

// watching are ukprobe's own conditions.
var watching = []rig.Condition{
	{Name: "auto", What: "ukprobe, all hooks by auto", Attach: probe.Auto, Watch: true},
	{Name: "full", What: "ukprobe, all hooks by auto, also those for halts, waiting, page faults and the VMM's share", Attach: probe.Auto, Watch: true, Full: true},
	{Name: "fentry", What: "ukprobe, hooks by fentry where they have it", Attach: probe.Fentry, Watch: true},
	{Name: "kprobe", What: "ukprobe, hooks by kprobe where they have it", Attach: probe.Kprobe, Watch: true},
	{Name: "tp_btf", What: "ukprobe, hooks by tp_btf where they have it", Attach: probe.TPBTF, Watch: true},
	{Name: "raw_tp", What: "ukprobe, hooks by raw_tp where they have it", Attach: probe.RawTP, Watch: true},
	{Name: "tracepoint", What: "ukprobe, hooks by tracepoint where they have it", Attach: probe.Tracepoint, Watch: true},
}

// ownConditions are those of the slowdown, allConditions those of the comparison with
// other tools.
func ownConditions() []condition {
	return withoutTool(slices.Concat(nothing, []rig.Condition{bystander}, watching))
}

func (b *bench) allConditions() []condition {
	out := withoutTool(slices.Concat(nothing, watching))
	for _, t := range tools(b.isa) {
		out = append(out, condition{rig.Condition{Name: t.name, What: t.what}, &t})
	}
	return out
}

func withoutTool(all []rig.Condition) []condition {
	var out []condition
	for _, c := range all {
		out = append(out, condition{Condition: c})
	}
	return out
}

// checkNames refuses a name that no condition has.
func checkNames(only []string) error {
	b := &bench{}
	var names []string
	for _, c := range append(b.allConditions(), condition{Condition: bystander}) {
		names = append(names, c.Name)
	}
	for _, name := range only {
		if !slices.Contains(names, name) {
			return fmt.Errorf("condition %q: not known: use some of %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// available tries each condition once; what cannot be had here is returned with
// its reason.
func (b *bench) available(ctx context.Context, all []condition) (have []condition, info []conditionInfo, err error) {
	for _, c := range all {
		if len(b.conditions) > 0 && c.Name != none && !slices.Contains(b.conditions, c.Name) {
			continue
		}
		i := conditionInfo{Name: c.Name, What: c.What}
		if c.tool != nil {
			i.Missing, err = b.tryTool(ctx, *c.tool)
		} else {
			i.Rungs, i.Missing, err = c.Try()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("condition %s: %w", c.Name, err)
		}
		if i.Missing == "" {
			have = append(have, c)
		}
		info = append(info, i)
	}
	return have, info, nil
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
