// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Differences names what differs between two values of one type that are part of
// run.json, each as "name.of.it: this then, that now", in the order of the names.
func Differences(was, now any) []string {
	var out []string
	for _, c := range Changes(was, now) {
		out = append(out, fmt.Sprintf("%s: %s then, %s now", c.Name, c.Was, c.Now))
	}
	return out
}

// Change is one thing that differs; what is not there is "nothing".
type Change struct{ Name, Was, Now string }

// String names both.
func (c Change) String() string { return fmt.Sprintf("%s %s and %s", c.Name, c.Was, c.Now) }

// Changes are what differs between two values of one type that are part of run.json, in
// the order of the names.
func Changes(was, now any) []Change {
	a, b := Flat(was), Flat(now)
	names := maps.Clone(a)
	maps.Copy(names, b)
	var out []Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if a[name] != b[name] {
			out = append(out, Change{name, orNothing(a[name]), orNothing(b[name])})
		}
	}
	return out
}

// HostChanges are what differs between two hosts so that figures of them do not compare. What
// programs there are (the VMM's version), what the run has set, the probes' cost and the rungs
// of hooks, of which a cell may use none, are not among them.
func HostChanges(was, now Host) []Change {
	head := func(h Host) Host {
		h.Overhead, h.Settings, h.Versions, h.Rungs = nil, nil, nil, nil
		h.Accelerators = slices.Sorted(slices.Values(h.Accelerators))
		return h
	}
	return Changes(head(was), head(now))
}

// Flat is a part of run.json as JSON by the names that lead to it: "kvm_parameters.kvm.nx"
// is `"N"`. What is empty is not there.
func Flat(v any) map[string]string {
	out := map[string]string{}
	flatten("", v, out)
	return out
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// flatten writes what is not an object under the names that lead to it, as JSON.
func flatten(name string, v any, out map[string]string) {
	text, err := json.Marshal(v)
	if err != nil {
		out[name] = err.Error()
		return
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil || fields == nil {
		if !slices.Contains([]string{"null", `""`, "[]"}, string(text)) { // as if it were not there
			out[name] = string(text)
		}
		return
	}
	for key, value := range fields {
		under := key
		if name != "" {
			under = name + "." + key
		}
		flatten(under, value, out)
	}
}
