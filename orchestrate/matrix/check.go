// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
	"github.com/ukprobe/ukprobe/internal/suggest"
)

// Vocabulary is every name that exists.
type Vocabulary struct {
	Systems, Apps, Platforms, Experiments []string

	Events []string // from which a claim can count
	Claims []string // built in: a claim of the matrix has none of these names
}

// Check reports every name in the file that does not exist, with its place and
// the nearest name that does, and every claim whose name is taken.
func (m *Matrix) Check(v Vocabulary) error {
	known := [4][]string{v.Systems, v.Apps, v.Platforms, v.Experiments}
	var errs strictyaml.ErrorList
	for i := range m.entries {
		for dim, names := range m.entries[i].names {
			for _, n := range names {
				if slices.Contains(known[dim], n.text) {
					continue
				}
				errs.Add(m.src.ErrorAt(n.at, "unknown %s %q%s (known: %s)", dimensions[dim], n.text,
					suggest.DidYouMean(n.text, known[dim]), strings.Join(known[dim], ", ")))
			}
		}
		m.checkClaims(&m.entries[i], v, &errs)
	}
	return errs.Err()
}

// checkClaims looks the words of an entry's claims up.
func (m *Matrix) checkClaims(e *entry, v Vocabulary, errs *strictyaml.ErrorList) {
	idle := func(n name) bool { return n.text != TimingValidation && slices.Contains(v.Experiments, n.text) }
	if len(e.claims) > 0 && !slices.ContainsFunc(e.names[3], func(n name) bool { return !idle(n) }) {
		errs.Add(m.src.ErrorAt(e.claimsAt, "claims are looked for in the experiment %s only: add experiment: %s, or leave them out", TimingValidation, TimingValidation))
	}
	for _, c := range e.claims {
		if slices.Contains(v.Claims, c.name.text) {
			errs.Add(m.src.ErrorAt(c.name.at, "the claim %q is built in: give yours another name", c.name.text))
		}
		if s := c.since.text; s != "" && !slices.Contains(v.Events, s) {
			errs.Add(m.src.ErrorAt(c.since.at, "unknown event %q%s (known: %s; or %q, the default)", s,
				suggest.DidYouMean(s, v.Events), strings.Join(v.Events, ", "), guestClock))
		}
	}
}
