// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
			var selectors []Selector
			for _, text := range tt.selectors {
				s, err := ParseSelector(text)
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

func TestSelectErrors(t *testing.T) {
	for text, want := range map[string]string{
		"app=ngnix":                     `no cell has app "ngnix"; did you mean "nginx"? (there are: hello, nginx)`,
		"system=linux|porcess":          `no cell has system "porcess"; did you mean "process"? (there are: reference, linux, process)`,
		"system=reference,app=nginx":    "no cell has all of it; the cells are: reference/hello/qemu/boot, ",
		"experiment=density":            `no cell has experiment "density" (there are: boot)`,
		"":                              "not of the form key=value",
		"linux":                         "not of the form key=value",
		"sytem=linux":                   `unknown key "sytem"; did you mean "system"?`,
		"accel=kvm":                     `unknown key "accel" (known: system, app, platform, experiment, image)`,
		"app=":                          "app has an empty value",
		"app=hello|":                    "app has an empty value",
		"app=hello,app=nginx":           "app comes twice: write app=a|b",
		"app=hello,":                    "not of the form",
		"=x":                            `unknown key ""`,
		"app=hello=nginx":               `no cell has app "hello=nginx"`,
		"app=\x1b[2J":                   `no cell has app "\x1b[2J"`,
		strings.Repeat("x", 100) + "=y": "unknown key",
	} {
		s, err := ParseSelector(text)
		if err == nil {
			_, err = Select(quick, []Selector{s})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\ndoes not contain %s", text, err, want)
		}
	}
}
