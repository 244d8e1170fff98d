// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPlanFor: guests that start at once have CPUs of their own where there are enough,
// else they take turns, and the plan says so.
func TestPlanFor(t *testing.T) {
	eight := []string{"0", "1", "2", "3", "4", "5", "6", "7"}
	tests := []struct {
		name          string
		cores         []string
		guests, vcpus int
		wanted        Wanted
		want          []string // each guest's vCPUs and VMM
		taint         string
	}{
		{"enough", eight, 3, 1, Wanted{}, []string{"1 on 4", "2 on 5", "3 on 6"}, ""},
		{"enough for programs", eight, 3, 0, Wanted{}, []string{" on 1", " on 2", " on 3"}, ""},
		{"two vCPUs", eight, 2, 2, Wanted{}, []string{"1,2 on 5", "3,4 on 6"}, ""},
		{"too few", eight, 5, 1, Wanted{}, []string{"1 on 1", "2 on 2", "3 on 3", "4 on 4", "5 on 5"}, "cpu plan: 5 guests at once share cpus 1-7: for all of their threads it would take 10"},
		{"far too few", []string{"0", "1"}, 3, 1, Wanted{}, []string{"1 on 1", "1 on 1", "1 on 1"}, "cpu plan: 3 guests at once share cpus 1: for all of their threads it would take 6"},
		{"programs on two", []string{"0", "1"}, 2, 0, Wanted{}, []string{" on 1", " on 1"}, "cpu plan: 2 guests at once share cpus 1: for all of their threads it would take 2"},
		{"vCPUs as wanted", eight, 3, 1, Wanted{VCPU: []int{2, 3}}, []string{"2 on 1", "3 on 1", "2 on 1"}, "cpu plan: 3 guests at once share cpus 1-3"},
		{"all as wanted", eight, 2, 1, Wanted{VCPU: []int{2, 3}, VMM: []int{4, 5}}, []string{"2 on 4-5", "3 on 4-5"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := machine("", 1, tt.cores...)
			var usable []int
			for i := range tt.cores {
				usable = append(usable, i)
			}
			topo, err := readTopology(fs, usable)
			if err != nil {
				t.Fatal(err)
			}
			all, each := topo.planFor(tt.guests, tt.vcpus, tt.wanted)
			var got []string
			for _, p := range each {
				var vcpus []string
				for _, c := range p.VCPU {
					vcpus = append(vcpus, fmt.Sprint(c))
				}
				got = append(got, strings.Join(vcpus, ",")+" on "+FormatList(p.VMM))
				if !cmp.Equal(p.Client, all.Client) || len(p.Taints) > 0 {
					t.Errorf("a guest's plan is %+v", p)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			shared := slices.IndexFunc(all.Taints, func(s string) bool { return strings.Contains(s, "guests at once share") })
			if shared < 0 != (tt.taint == "") || shared >= 0 && !strings.HasPrefix(all.Taints[shared], tt.taint) {
				t.Errorf("taints %q, want %q", all.Taints, tt.taint)
			}
		})
	}
}
