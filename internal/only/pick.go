// SPDX-License-Identifier: Apache-2.0

package only

import (
	"fmt"
	"strings"

	"github.com/ukprobe/ukprobe/internal/suggest"
)

// Pick says of each cell whether any of the selectors picks it; without a selector all are
// picked. A selector that picks nothing, or names a value that no cell has, is an error
// that lists what there is.
func Pick(cells []Cell, selectors []Selector) ([]bool, error) {
	picked := make([]bool, len(cells))
	if len(selectors) == 0 {
		for i := range picked {
			picked[i] = true
		}
		return picked, nil
	}
	for _, s := range selectors {
		if err := s.checkValues(cells); err != nil {
			return nil, fmt.Errorf("--only %q: %w", s, err)
		}
		none := true
		for i := range cells {
			if s.matches(&cells[i]) {
				picked[i], none = true, false
			}
		}
		if none {
			return nil, fmt.Errorf("--only %q: no cell has all of it; the cells are: %s", s, list(cells))
		}
	}
	return picked, nil
}

// Select are the cells that the selectors pick, in their order; of says what each is
// chosen by. The errors are those of [Pick].
func Select[C any](cells []C, of func(*C) Cell, selectors []Selector) ([]C, error) {
	if len(selectors) == 0 {
		return cells, nil
	}
	about := make([]Cell, len(cells))
	for i := range cells {
		about[i] = of(&cells[i])
	}
	picked, err := Pick(about, selectors)
	if err != nil {
		return nil, err
	}
	var out []C
	for i := range cells {
		if picked[i] {
			out = append(out, cells[i])
		}
	}
	return out, nil
}

func (s Selector) checkValues(cells []Cell) error {
	for _, t := range s.terms {
		have := map[string]bool{}
		var exist []string // in the order of the cells
		for i := range cells {
			v := cells[i].value(t.key)
			if v != "" && !have[v] {
				exist = append(exist, v)
			}
			have[v] = true
		}
		for _, v := range t.values {
			switch {
			case have[v]:
			case v == "":
				return fmt.Errorf("no cell is without %s (there are: %s)", t.key, strings.Join(exist, ", "))
			case len(exist) == 0:
				return fmt.Errorf("no cell has %s %q: none has any", t.key, v)
			default:
				return fmt.Errorf("no cell has %s %q%s (there are: %s)", t.key, v, suggest.DidYouMean(v, exist), strings.Join(exist, ", "))
			}
		}
	}
	return nil
}

// list names cells, each once, and no more than a person reads.
func list(cells []Cell) string {
	const most = 20
	var names []string
	seen := map[string]bool{}
	for i := range cells {
		name := cells[i].name()
		if !seen[name] && len(names) < most {
			names = append(names, name)
		}
		seen[name] = true
	}
	if more := len(seen) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// name is the cell as in its ID.
func (c *Cell) name() string {
	name := c.System + "/" + c.App + "/" + c.Platform + "/" + c.Experiment
	if c.Variant != "" {
		name += "/" + c.Variant
	}
	return name
}
