// SPDX-License-Identifier: Apache-2.0

// Package only is the grammar of --only: which cells of a matrix, or of a run, are meant.
// docs/cells.md explains it. It knows what cells are told from one another by, and neither
// what a matrix is nor what a run is.
package only

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/suggest"
)

// Doc is the page that explains the grammar, for helps.
const Doc = "docs/cells.md"

// Cell is what a cell is chosen by.
type Cell struct {
	System, App, Platform, Experiment string
	Image                             string // "": none is named
	Variant                           string // results.Variant's words; "": none
	Accel                             string
	Probes                            string
}

// Key is what a selector may name.
type Key string

// The keys of a selector.
const (
	System     Key = "system"
	App        Key = "app"
	Platform   Key = "platform"
	Experiment Key = "experiment"
	Image      Key = "image"
	Variant    Key = "variant"
	Accel      Key = "accel"
	Probes     Key = "probes"
)

// Keys are all of them.
var Keys = []Key{System, App, Platform, Experiment, Image, Variant, Accel, Probes}

// optional are the keys that most cells have no value of: an empty one means these.
var optional = []Key{Image, Variant}

// words are the keys as strings.
func words() []string {
	out := make([]string, len(Keys))
	for i, k := range Keys {
		out[i] = string(k)
	}
	return out
}

func (c *Cell) value(k Key) string {
	switch k {
	case System:
		return c.System
	case App:
		return c.App
	case Platform:
		return c.Platform
	case Experiment:
		return c.Experiment
	case Image:
		return c.Image
	case Variant:
		return c.Variant
	case Accel:
		return c.Accel
	case Probes:
		return c.Probes
	}
	return ""
}

// Selector picks cells: for every key that it names, the cell has one of the values.
type Selector struct {
	text  string
	terms []term
}

type term struct {
	key    Key
	values []string
}

// String is the selector as it was written.
func (s Selector) String() string { return s.text }

// Parse reads key=value|value,key=value.
func Parse(text string) (Selector, error) {
	s := Selector{text: text}
	for part := range strings.SplitSeq(text, ",") {
		word, list, found := strings.Cut(part, "=")
		key := Key(strings.TrimSpace(word))
		switch {
		case !found:
			return Selector{}, fmt.Errorf("--only %q: %q is not of the form key=value: write for example system=linux|process,app=nginx", text, part)
		case !slices.Contains(Keys, key):
			return Selector{}, fmt.Errorf("--only %q: unknown key %q%s (known: %s)", text, key,
				suggest.DidYouMean(string(key), words()), strings.Join(words(), ", "))
		case slices.ContainsFunc(s.terms, func(t term) bool { return t.key == key }):
			return Selector{}, fmt.Errorf("--only %q: %s comes twice: write %s=a|b for either", text, key, key)
		}
		t := term{key: key}
		for v := range strings.SplitSeq(list, "|") {
			v = strings.TrimSpace(v)
			if v == "" && !slices.Contains(optional, key) {
				return Selector{}, fmt.Errorf("--only %q: %s has an empty value", text, key)
			}
			t.values = append(t.values, v)
		}
		s.terms = append(s.terms, t)
	}
	return s, nil
}

// ParseAll reads several: what --only was given.
func ParseAll(texts []string) (out []Selector, err error) {
	for _, text := range texts {
		s, err := Parse(text)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (s Selector) matches(c *Cell) bool {
	return !slices.ContainsFunc(s.terms, func(t term) bool { return !slices.Contains(t.values, c.value(t.key)) })
}
