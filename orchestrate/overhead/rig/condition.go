// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"github.com/ukprobe/ukprobe/probe"
)

// Condition is one way to run the guest.
type Condition struct {
	Name   string
	What   string     // it is, in words
	Attach probe.Rung // "" for no program of ukprobe's
	Watch  bool       // the guest is the one that is watched
	Full   bool       // with everything on demand
}

// Open attaches the condition's probes; nil if it has none. A hook that cannot have
// the rung falls back: Try tells which ones did.
func (c Condition) Open() (*probe.Probe, error) {
	if c.Attach == "" {
		return nil, nil
	}
	return probe.Open(probe.Options{Attach: c.Attach})
}

// Try attaches the condition's probes and takes them away again. It returns the rung
// of each hook, without those that are attached only while somebody needs them, and
// why the condition cannot be had here, or "".
func (c Condition) Try() (rungs map[string]string, missing string, err error) {
	p, err := c.Open()
	if err != nil || p == nil {
		return nil, "", err
	}
	hooks := p.Hooks()
	return rungsOf(hooks), c.wanting(hooks), p.Close()
}

// wanting gives the reason why no hook at all got the condition's rung, or "".
func (c Condition) wanting(hooks []probe.HookStatus) string {
	if c.Attach == probe.Auto || c.Attach == "" {
		return ""
	}
	reason := ""
	for _, h := range hooks {
		if h.Rung == c.Attach {
			return ""
		}
		for _, r := range h.Refused {
			if r.Rung == c.Attach && reason == "" {
				reason = h.Hook + ": " + r.Reason
			}
		}
	}
	if reason == "" {
		return "no hook has it"
	}
	return reason
}

func rungsOf(hooks []probe.HookStatus) map[string]string {
	out := map[string]string{}
	for _, h := range hooks {
		if h.Rung != "" && !h.OnDemand {
			out[h.Hook] = string(h.Rung)
		}
	}
	return out
}

// SingleRungs are the conditions that show each rung once; those by auto stand for
// them only where none can be had by itself.
func SingleRungs(have []Condition) []Condition {
	var single, auto []Condition
	for _, c := range have {
		switch {
		case c.Watch && c.Attach != probe.Auto:
			single = append(single, c)
		case c.Watch:
			auto = append(auto, c)
		}
	}
	if len(single) > 0 {
		return single
	}
	return auto
}
