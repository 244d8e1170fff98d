// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"strings"
	"testing"
)

func TestClaimsRefused(t *testing.T) {
	good := "{name: a, pattern: '(?P<value>.)', unit: ms}"
	tests := []struct{ claims, want string }{
		{"5", "claims is a list, not a number"},
		{"[" + strings.Repeat(good+", ", MaxClaims) + good + "]", "claims has 33 entries, more than 32"},
		{"[5]", "a claim is a mapping"},
		{"[{}]", "the claim has no name"},
		{"[{name: a, unit: ms}]", "the claim has no pattern"},
		{"[{name: a, pattern: '(?P<value>.)'}]", "the claim has no unit"},
		{"[" + good + ", " + good + "]", `the claim "a" is already in the list`},
		{"[{name: A, pattern: '(?P<value>.)', unit: ms}]", "is not a name"},
		{"[{name: a, pattern: '(.)', unit: ms}]", "no group named value"},
		{"[{name: a, pattern: '(', unit: ms}]", "is not a regular expression"},
		{"[{name: a, pattern: '(?P<value>.)', unit: msec}]", `unit "msec" is none of ns, us, ms, s, tsc`},
		{"[{name: a, pattern: '(?P<value>.)', unit: ms, since: Boot}]", `since "Boot" is neither an event`},
		{"[{name: a, pattern: '(?P<value>.)', unit: ms, untill: b}]", `unknown key "untill" in a claim`},
	}
	for _, tt := range tests {
		_, err := Parse("m.yaml", []byte(cell("claims: "+tt.claims)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("claims: %s: %v, want %q", tt.claims, err, tt.want)
		}
	}
}
