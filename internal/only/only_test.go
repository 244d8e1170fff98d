// SPDX-License-Identifier: Apache-2.0

package only

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var cells = []Cell{
	{"reference", "hello", "qemu", "boot", "", "", "kvm", "boot"},
	{"linux", "hello", "qemu1nic", "boot", "", "parallel=8/cache=cold", "kvm", "boot"},
	{"osv", "nginx", "qemu1nic", "throughput", "a", "image=a", "tcg", "full"},
	{"process", "nginx", "process", "image-size", "", "", "none", "none"},
}

func TestSelect(t *testing.T) {
	for _, tt := range []struct {
		selectors []string
		want      []int
	}{
		{nil, []int{0, 1, 2, 3}},
		{[]string{"system=linux"}, []int{1}},
		{[]string{"system=linux|process,app=nginx"}, []int{3}},
		{[]string{"platform=process", "system=reference,platform=qemu"}, []int{0, 3}},
		{[]string{" system = linux | process , experiment=boot"}, []int{1}},
		{[]string{"image=a"}, []int{2}},
		{[]string{"image="}, []int{0, 1, 3}},
		{[]string{"image=|a,app=nginx"}, []int{2, 3}},
		{[]string{"variant=parallel=8/cache=cold"}, []int{1}},
		{[]string{"variant="}, []int{0, 3}},
		{[]string{"accel=kvm|none,probes=boot|none"}, []int{0, 1, 3}},
	} {
		t.Run(strings.Join(tt.selectors, " or "), func(t *testing.T) {
			selectors, err := ParseAll(tt.selectors)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range selectors {
				if s.String() != tt.selectors[i] {
					t.Errorf("String() = %q", s)
				}
			}
			got, err := Select(cells, func(c *Cell) Cell { return *c }, selectors)
			if err != nil {
				t.Fatal(err)
			}
			var want []Cell
			for _, i := range tt.want {
				want = append(want, cells[i])
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"app=ngnix":                     `--only "app=ngnix": no cell has app "ngnix"; did you mean "nginx"? (there are: hello, nginx)`,
		"system=linux|porcess":          `no cell has system "porcess"; did you mean "process"? (there are: reference, linux, osv, process)`,
		"system=reference,app=nginx":    "no cell has all of it; the cells are: reference/hello/qemu/boot, linux/hello/qemu1nic/boot/parallel=8/cache=cold, ",
		"experiment=density":            `no cell has experiment "density" (there are: boot, throughput, image-size)`,
		"":                              `--only "": "" is not of the form key=value: write for example`,
		"linux":                         "not of the form key=value",
		"sytem=linux":                   `unknown key "sytem"; did you mean "system"?`,
		"color=red":                     "(known: system, app, platform, experiment, image, variant, accel, probes)",
		"app=":                          "app has an empty value",
		"accel=":                        "accel has an empty value",
		"app=hello|":                    "app has an empty value",
		"app=hello,app=nginx":           "app comes twice: write app=a|b",
		"app=hello,":                    "not of the form",
		"=x":                            `unknown key ""`,
		"app=hello=nginx":               `no cell has app "hello=nginx"`,
		"app=\x1b[2J":                   `no cell has app "\x1b[2J"`,
		strings.Repeat("x", 100) + "=y": "unknown key",
	} {
		s, err := Parse(text)
		if err == nil {
			_, err = Pick(cells, []Selector{s})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\ndoes not contain %s", text, err, want)
		}
	}
	for _, tt := range []struct {
		cells      []Cell
		text, want string
	}{
		{cells[2:3], "image=", "no cell is without image (there are: a)"},
		{cells[:1], "image=a", `no cell has image "a": none has any`},
	} {
		s, err := Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = Pick(tt.cells, []Selector{s}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %s", tt.text, err, tt.want)
		}
	}
}

// TestManyCells: an error stays one that a person reads, and names nothing twice.
func TestManyCells(t *testing.T) {
	var many []Cell
	for i := range 30 {
		c := Cell{System: fmt.Sprint("s", i), App: "a", Platform: "p", Experiment: "boot"}
		many = append(many, c, c)
	}
	many = append(many, Cell{System: "x", App: "b", Platform: "p", Experiment: "boot"})
	s, err := Parse("system=s1,app=b")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Pick(many, []Selector{s})
	if err == nil || !strings.HasSuffix(err.Error(), "s19/a/p/boot, and 11 more") || strings.Count(err.Error(), "s1/a") != 1 {
		t.Error(err)
	}
}

// FuzzParse: a selector is refused, or shown as it was written and can be asked of any
// cell.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "system=linux", "system=linux|process,app=nginx", "app=", "image=", "variant=a=b/c=d", "app=a,app=b", "color=red", "=", ",", "app=a|"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if s.String() != text || len(s.terms) == 0 {
			t.Fatalf("%q is shown as %q, with %d terms", text, s, len(s.terms))
		}
		picked, err := Pick(cells, []Selector{s})
		if err == nil && len(picked) != len(cells) {
			t.Fatal(picked)
		}
	})
}
