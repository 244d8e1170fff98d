// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"fmt"
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

// TestClaimsChecked: names that are taken, events that are none, and claims where
// nobody looks for them.
func TestClaimsChecked(t *testing.T) {
	v := Vocabulary{Systems: []string{"a"}, Apps: []string{"b"}, Platforms: []string{"c"}, Experiments: []string{"boot", TimingValidation},
		Events: []string{"vmm_exec", "guest_entry"}, Claims: []string{"linux_printk"}}
	for _, tt := range []struct{ name, since, experiment, want string }{
		{"mine", "vmm_exec", "timing-validation", ""},
		{"mine", "guest clock", "timing-validation", ""},
		{"mine", "vmm_exec", "[boot, timing-validation]", ""},
		{"mine", "bananas", "timing-validation", `m.yaml:7:32: unknown event "bananas" (known: vmm_exec, guest_entry; or "guest clock", the default)`},
		{"mine", "vm_exec", "timing-validation", `unknown event "vm_exec"; did you mean "vmm_exec"?`},
		{"linux_printk", "vmm_exec", "timing-validation", `m.yaml:7:19: the claim "linux_printk" is built in: give yours another name`},
		{"mine", "vmm_exec", "boot", "claims are looked for in the experiment timing-validation only"},
	} {
		m, err := Parse("m.yaml", []byte(cell(fmt.Sprintf("experiment: %s\n  claims: [{name: %s, since: %s, pattern: '(?P<value>.)', unit: ms}]", tt.experiment, tt.name, tt.since))))
		if err != nil {
			t.Fatal(err)
		}
		switch err := m.Check(v); {
		case tt.want == "" && err != nil:
			t.Errorf("%+v: %v", tt, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
