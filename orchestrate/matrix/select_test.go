// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/only"
)

var quick = []Cell{
	{System: "reference", App: "hello", Platform: "qemu", Experiment: "boot"},
	{System: "reference", App: "hello", Platform: "qemu1nic", Experiment: "boot"},
	{System: "linux", App: "hello", Platform: "qemu1nic", Experiment: "boot"},
	{System: "linux", App: "nginx", Platform: "qemu1nic", Experiment: "boot"},
	{System: "process", App: "nginx", Platform: "process", Experiment: "boot"},
}

func TestSelect(t *testing.T) {
	tests := []struct {
		selectors []string
		want      []int
	}{
		{nil, []int{0, 1, 2, 3, 4}},
		{[]string{"system=linux"}, []int{2, 3}},
		{[]string{"system=linux|process,app=nginx"}, []int{3, 4}},
		{[]string{"platform=process", "system=reference,platform=qemu"}, []int{0, 4}},
		{[]string{"app=hello", "system=linux"}, []int{0, 1, 2, 3}},
		{[]string{" system = linux | process , experiment=boot"}, []int{2, 3, 4}},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.selectors, " or "), func(t *testing.T) {
			var selectors []only.Selector
			for _, text := range tt.selectors {
				s, err := only.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				if s.String() != text {
					t.Errorf("String() = %q", s)
				}
				selectors = append(selectors, s)
			}
			got, err := Select(quick, selectors)
			if err != nil {
				t.Fatal(err)
			}
			want := []Cell{}
			for _, i := range tt.want {
				want = append(want, quick[i])
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestSelectRefuses: what nothing here has. Of the grammar itself package only's tests are.
func TestSelectRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"app=ngnix":                  `--only "app=ngnix": no cell has app "ngnix"; did you mean "nginx"? (there are: hello, nginx)`,
		"system=reference,app=nginx": "no cell has all of it; the cells are: reference/hello/qemu/boot, ",
		"accel=kvm":                  `no cell has accel "kvm": none has any`, // none of these says what it asks for
	} {
		s, err := only.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = Select(quick, []only.Selector{s}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\ndoes not contain %s", text, err, want)
		}
	}
}
