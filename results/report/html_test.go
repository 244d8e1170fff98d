// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/ukprobe/ukprobe/results"
)

func pageOf(t *testing.T, f *results.File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := NewDocument(Source{"x", f}).HTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var testPages = map[string]func() *results.File{"everything": everything, "small": small, "nothing": func() *results.File { return &results.File{} }, "terminal": testFile}

// TestPageWellFormed: every element is closed where it has to be.
func TestPageWellFormed(t *testing.T) {
	void := []string{"meta", "input", "br", "hr", "img", "link"}
	for name, file := range testPages {
		z := html.NewTokenizer(bytes.NewReader(pageOf(t, file())))
		var open []string
		for {
			kind := z.Next()
			if kind == html.ErrorToken {
				if !errors.Is(z.Err(), io.EOF) {
					t.Errorf("%s: %v", name, z.Err())
				}
				break
			}
			tag, _ := z.TagName()
			switch element := string(tag); {
			case kind == html.StartTagToken && !slices.Contains(void, element):
				open = append(open, element)
			case kind == html.EndTagToken:
				if len(open) == 0 || open[len(open)-1] != element {
					t.Fatalf("%s: </%s> closes %q", name, element, open)
				}
				open = open[:len(open)-1]
			}
		}
		if len(open) > 0 {
			t.Errorf("%s: %q stay open", name, open)
		}
	}
}

// TestPage: ids are unique and referred to ones there, heads of tables have a scope, tables
// a caption or a name, drawings too, and nothing refers to what is outside of the page or
// would be stopped by its policy.
func TestPage(t *testing.T) {
	for name, file := range testPages {
		t.Run(name, func(t *testing.T) {
			root, err := html.Parse(bytes.NewReader(pageOf(t, file())))
			if err != nil {
				t.Fatal(err)
			}
			ids, refs, scripts := map[string]int{}, []string{}, 0
			for n := range root.Descendants() {
				if n.Type != html.ElementNode {
					continue
				}
				if n.DataAtom == atom.Script {
					scripts++
				}
				if n.DataAtom == atom.Th && attr(n, "scope") == "" {
					t.Errorf("a th without scope: %s", words(n))
				}
				if n.Data == "svg" && attr(n, "role") == "" && attr(n, "aria-hidden") != "true" && !inside(n, "svg") {
					t.Error("a drawing that neither has a role nor is hidden")
				}
				if slices.Contains([]string{"img", "iframe", "object", "embed", "link", "base", "form", "use", "image", "foreignObject"}, n.Data) {
					t.Errorf("an element %s", n.Data)
				}
				for _, a := range n.Attr {
					switch {
					case a.Key == "id":
						ids[a.Val]++
					case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
						t.Errorf("%s has the attribute %s", n.Data, a.Key)
					case a.Key == "aria-labelledby" || a.Key == "for":
						refs = append(refs, strings.Fields(a.Val)...)
					case a.Key == "href" && strings.HasPrefix(a.Val, "#"):
						refs = append(refs, a.Val[1:])
					case a.Key == "href" || a.Key == "src" || a.Key == "action" || a.Key == "srcset":
						t.Errorf("%s refers to %q", n.Data, a.Val)
					}
				}
			}
			if scripts != 1 {
				t.Errorf("%d scripts, want our own", scripts)
			}
			for id, n := range ids {
				if n > 1 || id == "" {
					t.Errorf("%d elements have the id %q", n, id)
				}
			}
			for _, r := range refs {
				if ids[r] == 0 {
					t.Errorf("nothing has the id %q", r)
				}
			}
		})
	}
}

// TestPageSections: each part of the page is there, with a figure of the data, or with a
// line that says why not.
func TestPageSections(t *testing.T) {
	full, empty := NewDocument(Source{"x", everything()}).page(), NewDocument(Source{"x", &results.File{}}).page()
	for i, s := range full.Sections {
		if len(s.Figures) == 0 || s.Absent != "" {
			t.Errorf("%s: %d figures: %q", s.ID, len(s.Figures), s.Absent)
		}
		for _, f := range s.Figures {
			if f.Table == nil || len(f.Table.Rows) == 0 {
				t.Errorf("%s: the drawing has no table beside it", f.ID)
			}
		}
		if e := empty.Sections[i]; len(e.Figures) != 0 || e.Absent == "" {
			t.Errorf("%s of an empty run: %d figures: %q", e.ID, len(e.Figures), e.Absent)
		}
	}
}

// TestPageShowsHostileText: what guests say is there, as text.
func TestPageShowsHostileText(t *testing.T) {
	root, err := html.Parse(bytes.NewReader(pageOf(t, everything())))
	if err != nil {
		t.Fatal(err)
	}
	text, want := words(root), Options{}.Clean(hostile)
	for _, where := range []string{"HermiTux has no nginx " + want, "KVM internal error: " + want, "qemu: " + want, "image " + want, "optimisations " + want, "fentry: " + want} {
		if !strings.Contains(text, where) {
			t.Errorf("the page does not say %q", where)
		}
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func inside(n *html.Node, element string) bool {
	for p := n.Parent; p != nil; p = p.Parent {
		if p.Data == element {
			return true
		}
	}
	return false
}

func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

// TestScale: every value is within the drawing, and ticks are few, in order and told apart.
func TestScale(t *testing.T) {
	for _, tt := range []struct {
		metric string
		zero   bool
		values []float64
	}{
		{"total_ns", true, []float64{1}}, {"total_ns", false, []float64{1e3, 1e10}}, {"total_ns", false, []float64{5e6, 5e6}}, {"total_ns", false, []float64{0, 0}},
		{"total_ns", false, nil}, {"file_bytes", false, []float64{900, 3e9}}, {"pss_bytes", true, []float64{3.3e7, 4e7}}, {"requests_per_second", false, []float64{1e5, 1.01e5}},
		{"total_ns", false, []float64{999_999, 1_000_001}}, {"x", true, []float64{-5, 7}}, {"total_ns", false, []float64{1e-300, 1e300}}, {"x", false, []float64{-3e9, -2e9}}, {"x", false, []float64{1e18, 1e18 + 128}}, {"x", true, []float64{-1e308, 1e308}}, {"total_ns", false, []float64{1, 1e308}}, {"total_ns", false, []float64{5e-324, 1}},
	} {
		s := newScale(tt.metric, tt.zero, tt.values...)
		for _, v := range tt.values {
			if at := s.at(v); at < 0 || at > 100 || at != at {
				t.Errorf("%+v: %v is at %v %%", tt, v, at)
			}
		}
		ticks := s.ticks()
		if len(ticks) < 1 || len(ticks) > 6 {
			t.Errorf("%+v: %d ticks: %v", tt, len(ticks), ticks)
		}
		for i := range ticks[1:] {
			if ticks[i].at >= ticks[i+1].at || ticks[i].label == ticks[i+1].label {
				t.Errorf("%+v: ticks %v and %v", tt, ticks[i], ticks[i+1])
			}
		}
	}
}

// TestRangeScale: of samples the axis is as wide as they are, and says so.
func TestRangeScale(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		from   float64 // at the left edge
		words  string
	}{
		{[]float64{2e9, 5e9}, 1.88e9, "; the axis does not begin at zero"},
		{[]float64{2.6e9, 5e9}, 2.504e9, "; the axis does not begin at zero"},
		{[]float64{4e9, 5e9}, 3.96e9, "; the axis does not begin at zero"},
		{[]float64{0, 5e9}, 0, ""},
		{[]float64{1e6, 5e9}, 711269, "; logarithmic axis"},
		{nil, 0, ""},
	} {
		s := rangeScale("total_ns", tt.values...)
		if math.Abs(s.lo-tt.from) > 1e-3*tt.from+1 || s.begins() != tt.words {
			t.Errorf("%v: from %v%s, want %v%s", tt.values, s.lo, s.begins(), tt.from, tt.words)
		}
	}
}
