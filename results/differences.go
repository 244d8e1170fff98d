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
	a, b := map[string]string{}, map[string]string{}
	flatten("", was, a)
	flatten("", now, b)
	names := maps.Clone(a)
	maps.Copy(names, b)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if a[name] != b[name] {
			out = append(out, fmt.Sprintf("%s: %s then, %s now", name, orNothing(a[name]), orNothing(b[name])))
		}
	}
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
