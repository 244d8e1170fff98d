// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"slices"
	"strings"
)

// Vocabulary is every name that exists.
type Vocabulary struct{ Systems, Apps, Platforms, Experiments []string }

// Check reports every name in the file that does not exist, with its place and
// the nearest name that does.
func (m *Matrix) Check(v Vocabulary) error {
	known := [4][]string{v.Systems, v.Apps, v.Platforms, v.Experiments}
	var errs errorList
	for i := range m.entries {
		for dim, names := range m.entries[i].names {
			for _, n := range names {
				if slices.Contains(known[dim], n.text) {
					continue
				}
				errs.add(m.src.errorAt(n.at, "unknown %s %q%s (known: %s)", dimensions[dim], n.text,
					suggestion(n.text, known[dim]), strings.Join(known[dim], ", ")))
			}
		}
	}
	return errs.err()
}
