// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCPUPlan: the host's settings are the run's, and a cell says where its own
// threads are.
func TestCPUPlan(t *testing.T) {
	m, err := Parse("m.yaml", []byte(`version: 1
defaults:
  cpu: {vcpu: 2, vmm: [3], client: [4, 5], governor: performance, turbo: off, smt: on, cstates: 10us, thp: never, ksm: off, aslr: partial, irqs: away}
  interference: {at_most_percent: 2, repeat: 3}
cells:
- {system: a, app: x, platform: p}
- {system: a, app: y, platform: p, cpu: {vcpu: [6, 7]}, interference: off}
- {system: a, app: z, platform: p, interference: {repeat: 1}}
`))
	if err != nil {
		t.Fatal(err)
	}
	cells, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	latency := 10 * time.Microsecond
	want := CPUPlan{VCPU: []int{2}, VMM: []int{3}, Client: []int{4, 5}, Host: HostSettings{Governor: "performance", Turbo: "off", SMT: "on",
		CStates: &latency, THP: "never", KSM: "off", ASLR: "partial", IRQs: "away"}}
	if diff := cmp.Diff(want, cells[0].CPU); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want.VCPU = []int{6, 7}
	if diff := cmp.Diff(want, cells[1].CPU); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, want := range []Interference{{AtMostPercent: 2, Repeat: 3}, {Off: true}, {AtMostPercent: 2, Repeat: 1}} {
		if diff := cmp.Diff(want, cells[i].Interference); diff != "" {
			t.Errorf("cell %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestBadCPUPlan(t *testing.T) {
	for line, want := range map[string]string{
		"cpu: {vcpu: []}":                        "vcpu is an empty list",
		"cpu: {vcpu: [1, 1]}":                    "cpu 1 is already in the list",
		"cpu: {vmm: [-1]}":                       "vmm -1 is not between 0 and 1023",
		"cpu: {vmm: 1024}":                       "vmm 1024 is not between 0 and 1023",
		"cpu: {clients: 1}":                      `did you mean "client"?`,
		"cpu: {turbo: maybe}":                    `turbo "maybe" is none of on, off`,
		"cpu: {turbo: true}":                     "turbo is a text, not a truth value",
		"cpu: {cstates: 5}":                      "cstates is a text, not a number",
		"cpu: {cstates: long}":                   `cstates "long" is not a longest time`,
		"cpu: {cstates: 2s}":                     "at most 1s",
		"cpu: {thp: off}":                        `thp "off" is none of always, madvise, never`,
		"cpu: {aslr: none}":                      `aslr "none" is none of`,
		"cpu: {irqs: here}":                      `irqs "here" is none of away`,
		"cpu: {governor: ../x}":                  "is not a name",
		"interference: on":                       `interference "on" is neither off nor`,
		"interference: {at_most_percent: 101}":   "at_most_percent 101 is not between 0 and 100",
		"interference: {repeat: 1, repeats: 2}":  `did you mean "repeat"?`,
		"interference: {at_most_percent: 'few'}": "at_most_percent is a whole number",
	} {
		_, err := Parse("m.yaml", []byte("version: 1\ndefaults:\n  "+line+"\ncells:\n- {system: a, app: x, platform: p}\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	_, err := Parse("m.yaml", []byte("version: 1\ncells:\n- {system: a, app: x, platform: p, cpu: {thp: never}}\n"))
	if err == nil || !strings.Contains(err.Error(), "thp is a setting of the host, for the whole run: put it into defaults") {
		t.Error(err)
	}
}
