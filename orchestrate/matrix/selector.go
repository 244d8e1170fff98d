// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/suggest"
)

// Selector picks cells: for every dimension it names, the cell has one of the
// values.
type Selector struct {
	text   string
	values [5][]string // in the order of selectable; nil: any
}

// selectable are the keys of a selector.
var selectable = [5]string{"system", "app", "platform", "experiment", "image"}

// String returns the selector as it was written.
func (s Selector) String() string { return s.text }

// ParseSelector parses key=value|value,key=value with the keys system, app,
// platform, experiment and image.
func ParseSelector(text string) (Selector, error) {
	s := Selector{text: text}
	for _, part := range strings.Split(text, ",") {
		key, list, found := strings.Cut(part, "=")
		key = strings.TrimSpace(key)
		dim := slices.Index(selectable[:], key)
		switch {
		case !found:
			return Selector{}, fmt.Errorf("selector %q: %q is not of the form key=value: write for example system=linux|process,app=nginx", text, part)
		case dim < 0:
			return Selector{}, fmt.Errorf("selector %q: unknown key %q%s (known: %s)", text, key,
				suggest.DidYouMean(key, selectable[:]), strings.Join(selectable[:], ", "))
		case s.values[dim] != nil:
			return Selector{}, fmt.Errorf("selector %q: %s comes twice: write %s=a|b for either", text, key, key)
		}
		for _, v := range strings.Split(list, "|") {
			v = strings.TrimSpace(v)
			if v == "" {
				return Selector{}, fmt.Errorf("selector %q: %s has an empty value", text, key)
			}
			s.values[dim] = append(s.values[dim], v)
		}
	}
	return s, nil
}

func (c *Cell) dimension(i int) string {
	return [5]string{c.System, c.App, c.Platform, c.Experiment, c.Image}[i]
}

func (s Selector) matches(c *Cell) bool {
	for dim, values := range s.values {
		if values != nil && !slices.Contains(values, c.dimension(dim)) {
			return false
		}
	}
	return true
}

// Select returns the cells that any of the selectors picks, in their order;
// all of them when there is no selector. A selector that picks nothing, or
// names a value that no cell has, is an error that lists what there is.
func Select(cells []Cell, selectors []Selector) ([]Cell, error) {
	if len(selectors) == 0 {
		return cells, nil
	}
	picked := make([]bool, len(cells))
	for _, s := range selectors {
		if err := s.checkValues(cells); err != nil {
			return nil, err
		}
		none := true
		for i := range cells {
			if s.matches(&cells[i]) {
				picked[i], none = true, false
			}
		}
		if none {
			return nil, fmt.Errorf("selector %q: no cell has all of it; the cells are: %s", s, listCells(cells))
		}
	}
	var out []Cell
	for i := range cells {
		if picked[i] {
			out = append(out, cells[i])
		}
	}
	return out, nil
}

func (s Selector) checkValues(cells []Cell) error {
	for dim, values := range s.values {
		var exist []string
		for i := range cells {
			if v := cells[i].dimension(dim); v != "" && !slices.Contains(exist, v) {
				exist = append(exist, v)
			}
		}
		for _, v := range values {
			if !slices.Contains(exist, v) {
				if len(exist) == 0 {
					return fmt.Errorf("selector %q: no cell has %s %q: none names an %s", s, selectable[dim], v, selectable[dim])
				}
				return fmt.Errorf("selector %q: no cell has %s %q%s (there are: %s)", s, selectable[dim], v,
					suggest.DidYouMean(v, exist), strings.Join(exist, ", "))
			}
		}
	}
	return nil
}

func listCells(cells []Cell) string {
	const most = 20
	var ids []string
	for i := range cells[:min(most, len(cells))] {
		ids = append(ids, cells[i].ID())
	}
	if more := len(cells) - most; more > 0 {
		ids = append(ids, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(ids, ", ")
}
