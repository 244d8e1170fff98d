// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
)

// Override gives all cells one setting, in place of what the matrix file says.
type Override struct {
	text string // key=value
	key  string // load.duration
	src  *strictyaml.Source
	root ast.Node
}

// overrideFormat is that of the value: YAML, as in the file.
var overrideFormat = strictyaml.Format{Name: "setting", Whole: "write key=value", Instead: "write it out", MaxItems: 1000}

// settingKey is a key of the matrix file, with those above it.
var settingKey = regexp.MustCompile(`^[a-z_]+(\.[a-z_]+)*$`)

// ParseOverride parses key=value: a key of the matrix file, nested with dots, and its
// value as it would stand there. Paths are relative to dir. Whether there is such a key
// and what it takes is found out by [Apply].
func ParseOverride(text, dir string) (Override, error) {
	key, value, found := strings.Cut(text, "=")
	key = strings.TrimSpace(key)
	o := Override{text: text, key: key}
	switch {
	case !found:
		return o, fmt.Errorf("%q is not of the form key=value: write for example load.duration=5s", text)
	case !settingKey.MatchString(key):
		return o, fmt.Errorf("%q: %q is not a key of the matrix file, nested with dots, such as samples or load.duration", text, key)
	case strings.TrimSpace(value) == "":
		return o, fmt.Errorf("%q: %s has no value", text, key)
	case strings.ContainsAny(value, "\r\n"):
		return o, fmt.Errorf("%q: the value has more than one line", text)
	}
	var yaml strings.Builder
	for depth, word := range strings.Split(key, ".") {
		fmt.Fprintf(&yaml, "%s%s:\n", strings.Repeat(" ", depth), word)
	}
	yaml.WriteString(strings.Repeat(" ", strings.Count(key, ".")+1) + strings.TrimSpace(value) + "\n")
	d, root, err := strictyaml.Parse(overrideFormat, filepath.Join(dir, "--set"), []byte(yaml.String()))
	if err != nil {
		return o, o.because(err)
	}
	o.src, o.root = d.Source, root
	return o, nil
}

// String is the override as it was written.
func (o Override) String() string { return o.text }

// Key is the key that it sets.
func (o Override) Key() string { return o.key }

// because makes an error about the override of one about a line of its YAML, which
// nobody has written.
func (o Override) because(err error) error {
	var messages []string
	errs := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		errs = several.Unwrap()
	}
	for _, e := range errs {
		message := e.Error()
		if at := new(strictyaml.Error); errors.As(e, &at) {
			message = at.Msg
		}
		messages = append(messages, message)
	}
	return fmt.Errorf("%q: %s", o.text, strings.Join(messages, "; "))
}

// Apply gives all cells the settings, the last one of a key winning. Each is read as
// strictly as the file is, and cells that are the same now are refused. What contradicts
// itself afterwards ([Settings.Conflict]) is not looked for: other settings may follow.
func Apply(overrides []Override, cells []Cell) error {
	if len(overrides) == 0 {
		return nil
	}
	for i := range cells {
		for _, o := range overrides {
			if err := o.apply(&cells[i]); err != nil {
				return err
			}
		}
	}
	if err := settleRules(overrides, cells); err != nil {
		return err
	}
	return different(cells)
}

// settleRules completes the stopping rules once all settings are there, in whichever order
// they were given: a rule without a bound has the usual one, and a bound without a rule
// bounds nothing. If that is so of every cell, the bound was given for nothing.
func settleRules(overrides []Override, cells []Cell) error {
	rules, bounds := 0, 0
	for i := range cells {
		u := &cells[i].Until
		switch {
		case u.WithinPercent > 0:
			rules++
			if u.AtMost == 0 {
				u.AtMost = defaultAtMost
			}
		case u.AtMost > 0:
			bounds++
			*u = Until{}
		}
	}
	if bounds == 0 || rules > 0 {
		return nil
	}
	for _, o := range slices.Backward(overrides) {
		if o.key == "until.at_most" || o.key == "until" {
			return fmt.Errorf("%q: no cell has a stopping rule that it could bound: give one too, such as until.within_percent=5, or samples=N for a fixed number", o.text)
		}
	}
	return nil
}

// apply gives one cell the setting.
func (o Override) apply(c *Cell) error {
	d := &decoder{Decoder: &strictyaml.Decoder{Source: o.src}, override: true}
	e := entry{settings: c.Settings}
	fields := d.cellFields(&e)
	fields["cpu"] = func(v ast.Node) { d.cpu(v, &e.settings.CPU, true) } // it is for the whole run
	fields["claims"] = func(v ast.Node) { d.Fail(v, "claims stand in the matrix file only") }
	for _, dim := range dimensions {
		fields[dim] = func(v ast.Node) { d.Fail(v, "%s is no setting: --only chooses cells", dim) }
	}
	d.Mapping(o.root, "the settings of a cell", fields)
	if len(e.images) > 1 {
		d.Fail(o.root, "image is one name here: a list makes cells, in the matrix file")
	}
	if len(e.parallel) > 1 {
		d.Fail(o.root, "parallel is one number here: a list makes cells, in the matrix file")
	}
	if err := d.Errs.Err(); err != nil {
		return o.because(err)
	}
	if len(e.images) == 1 {
		e.settings.Image = e.images[0].text
	}
	if len(e.parallel) == 1 {
		e.settings.Parallel = e.parallel[0]
	}
	c.Settings = e.settings
	return nil
}

// different refuses cells that overrides have made the same.
func different(cells []Cell) error {
	first := map[string][]int{} // by ID
	for i := range cells {
		id := cells[i].ID()
		for _, j := range first[id] {
			if cells[j].Probes == cells[i].Probes && sameAccel(cells[j].Accel, cells[i].Accel) {
				return fmt.Errorf("with these settings %s and %s ask for the same cell %s: choose one with --only", cells[j].Pos, cells[i].Pos, id)
			}
		}
		first[id] = append(first[id], i)
	}
	return nil
}
