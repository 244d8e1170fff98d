// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"regexp"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
)

// claimUnits are the units of a claim's value.
var claimUnits = []string{"ns", "us", "ms", "s", "tsc"}

// guestClock is what a claim counts from if no event is named.
const guestClock = "guest clock"

// claims decodes the list of a cell's own patterns.
func (d *decoder) claims(n ast.Node, e *entry) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.Fail(n, "claims is a list, not %s", strictyaml.Kind(n))
		return
	}
	if len(seq.Values) > MaxClaims {
		d.Fail(n, "claims has %d entries, more than %d", len(seq.Values), MaxClaims)
		return
	}
	for _, v := range seq.Values {
		var c Claim
		var names claimNames
		before := d.Errs.Len()
		seen := d.Mapping(v, "a claim", map[string]strictyaml.Field{
			"name": func(v ast.Node) {
				d.claimName(v, e.settings.Claims, &c.Name)
				names.name = name{c.Name, strictyaml.At(v)}
			},
			"pattern": func(v ast.Node) { d.claimPattern(v, &c.Pattern) },
			"unit":    func(v ast.Node) { d.OneOf(v, "unit", claimUnits, &c.Unit) },
			"since": func(v ast.Node) {
				d.since(v, &c.Since)
				names.since = name{c.Since, strictyaml.At(v)}
			},
		})
		for _, key := range []string{"name", "pattern", "unit"} {
			if !seen[key] && d.Errs.Len() == before {
				d.Fail(v, "the claim has no %s", key)
			}
		}
		e.settings.Claims, e.claims = append(e.settings.Claims, c), append(e.claims, names)
	}
}

func (d *decoder) claimName(n ast.Node, others []Claim, out *string) {
	if d.Name(n, "name", out) && slices.ContainsFunc(others, func(c Claim) bool { return c.Name == *out }) {
		d.Fail(n, "the claim %q is already in the list", *out)
	}
}

func (d *decoder) claimPattern(n ast.Node, out *string) {
	d.Regexp(n, "pattern", MaxReady, out)
	if re, err := regexp.Compile(*out); err == nil && *out != "" && re.SubexpIndex("value") < 0 {
		d.Fail(n, "pattern has no group named value: write (?P<value>[0-9.]+) around the number")
	}
}

// since decodes the event that a claim counts from.
func (d *decoder) since(n ast.Node, out *string) {
	var s string
	if !d.String(n, "since", &s) || s == guestClock {
		return
	}
	if !eventName.MatchString(s) {
		d.Fail(n, "since %q is neither an event (docs/timeline.md), such as vmm_exec, nor %q", s, guestClock)
		return
	}
	*out = s
}

var eventName = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)
