// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"cmp"
	"fmt"
	"strings"
)

// Preview says what setting the host would do, a line for each setting, and changes
// nothing. The interrupts would be moved from some CPUs.
func Preview(s Settings, irqsFrom []int) ([]string, error) { return preview("/", s, irqsFrom) }

func preview(root string, s Settings, irqsFrom []int) ([]string, error) {
	h := &Host{root: root, dry: true}
	if err := h.apply(s); err != nil {
		return nil, err
	}
	if s.IRQsAway {
		if err := h.MoveIRQs(irqsFrom); err != nil {
			return nil, err
		}
	}
	words := s.words()
	type change struct {
		is, would int
		example   *knob
	}
	var order []string
	by := map[string]*change{}
	for _, k := range h.set {
		c := by[k.setting]
		if c == nil {
			c = &change{}
			by[k.setting], order = c, append(order, k.setting)
		}
		if k.holds(k.was) {
			c.is++
			continue
		}
		if c.would++; c.example == nil {
			c.example = k
		}
	}
	var out []string
	for _, name := range order {
		c := by[name]
		name += " " + words[name]
		switch c.would {
		case 0:
			out = append(out, name+": is so already")
		case 1:
			out = append(out, fmt.Sprintf("%s: /%s is %s, would be set to %s", name, c.example.path, cmp.Or(c.example.was, "empty"), c.example.want))
		default:
			out = append(out, fmt.Sprintf("%s: /%s is %s, would be set to %s, and %d more files", name, c.example.path, cmp.Or(c.example.was, "empty"), c.example.want, c.would-1))
		}
	}
	for _, f := range h.grouped() {
		name, why, _ := strings.Cut(f, " not set: ")
		out = append(out, fmt.Sprintf("%s %s: cannot be set: %s", name, words[name], why))
	}
	return out, nil
}

// words are the settings as they were asked for, by name.
func (s Settings) words() map[string]string {
	out := map[string]string{"governor": s.Governor, "turbo": s.Turbo, "smt": s.SMT, "thp": s.THP, "ksm": s.KSM, "aslr": s.ASLR, "irqs": "away"}
	if s.CStates != nil {
		out["cstates"] = s.CStates.String()
	}
	return out
}
