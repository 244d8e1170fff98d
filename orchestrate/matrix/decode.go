// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// decoder turns the YAML tree into a Matrix. It is stricter than decoding into
// a struct: nothing is converted, and every mistake has its place.
type decoder struct {
	src  *source
	errs errorList
}

func (d *decoder) fail(n ast.Node, format string, args ...any) {
	d.errs.add(d.src.errorAt(at(n), format, args...))
}

// field decodes one key's value.
type field func(value ast.Node)

// mapping calls the field of every key that n has, and reports keys that are
// unknown or come twice. It returns the keys that were there.
func (d *decoder) mapping(n ast.Node, what string, fields map[string]field) map[string]bool {
	seen := map[string]bool{}
	values, ok := mappingValues(n)
	if !ok {
		d.fail(n, "%s is a mapping (key: value), not %s", what, kind(n))
		return seen
	}
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			d.fail(v.Key, "a key of %s is a plain word", what)
			continue
		}
		decode, known := fields[key.Value]
		switch {
		case !known:
			d.fail(key, "unknown key %q in %s%s", key.Value, what, suggestion(key.Value, slices.Sorted(maps.Keys(fields))))
		case seen[key.Value]:
			d.fail(key, "the key %q comes twice in %s", key.Value, what)
		default:
			seen[key.Value] = true
			decode(v.Value)
		}
	}
	return seen
}

func mappingValues(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// kind names a node's type in a person's words.
func kind(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.SequenceType:
		return "a list"
	case ast.NullType:
		return "nothing"
	case ast.BoolType:
		return "a truth value (put quotes around it if it is a text)"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number (put quotes around it if it is a text)"
	case ast.StringType, ast.LiteralType:
		return "a text"
	}
	return strings.ToLower(n.Type().String())
}

func (d *decoder) file(root ast.Node) *Matrix {
	m := &Matrix{src: d.src, Name: d.src.name}
	defaults := DefaultSettings()
	var cells ast.Node
	seen := d.mapping(root, "the matrix", map[string]field{
		"version": func(v ast.Node) {
			var n int
			d.integer(v, "version", 1, 1, &n)
		},
		"name":     func(v ast.Node) { d.name(v, "name", &m.Name) },
		"defaults": func(v ast.Node) { d.defaults(v, &defaults) },
		"cells":    func(v ast.Node) { cells = v }, // once the defaults are known
	})
	for _, key := range []string{"version", "cells"} {
		if !seen[key] && d.errs.errs == nil {
			d.fail(root, "the matrix has no %s", key)
		}
	}
	if cells != nil {
		d.cells(cells, m, defaults)
	}
	return m
}

func (d *decoder) defaults(n ast.Node, s *Settings) {
	d.mapping(n, "defaults", d.commonFields(s))
}

// commonFields are the settings that may stand in defaults and in a cell.
func (d *decoder) commonFields(s *Settings) map[string]field {
	return map[string]field{
		"samples":    func(v ast.Node) { d.integer(v, "samples", 1, MaxSamples, &s.Samples) },
		"warmup":     func(v ast.Node) { d.integer(v, "warmup", 0, MaxSamples, &s.Warmup) },
		"timeout":    func(v ast.Node) { d.duration(v, "timeout", &s.Timeout) },
		"memory_mib": func(v ast.Node) { d.integer(v, "memory_mib", 1, MaxMemoryMiB, &s.MemoryMiB) },
		"vcpus":      func(v ast.Node) { d.integer(v, "vcpus", 1, MaxVCPUs, &s.VCPUs) },
		"accel":      func(v ast.Node) { d.oneOf(v, "accel", []string{AccelAuto, AccelKVM, AccelTCG}, &s.Accel) },
		"probes":     func(v ast.Node) { d.oneOf(v, "probes", ProbesLevels, &s.Probes) },
	}
}

func (d *decoder) cells(n ast.Node, m *Matrix, defaults Settings) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(n, "cells is a list, not %s", kind(n))
		return
	}
	if len(seq.Values) == 0 {
		d.fail(n, "cells is empty: there is nothing to run")
		return
	}
	cells, steps := 0, 0
	for _, v := range seq.Values {
		e := entry{at: at(v), settings: defaults}
		d.cell(v, &e)
		cells += e.size()
		steps += e.size() * (e.settings.Samples + e.settings.Warmup)
		if cells > MaxCells {
			d.fail(v, "the matrix expands to more than %d cells here", MaxCells)
			return
		}
		if steps > MaxSteps {
			d.fail(v, "the matrix has more than %d samples and warm-ups here", MaxSteps)
			return
		}
		m.entries = append(m.entries, e)
	}
}

func (d *decoder) cell(n ast.Node, e *entry) {
	s := &e.settings
	fields := d.commonFields(s)
	fields["args"] = func(v ast.Node) { d.text(v, "args", MaxArgs, &s.Args) }
	fields["kernel"] = func(v ast.Node) { d.path(v, "kernel", &s.Kernel) }
	fields["disk"] = func(v ast.Node) { d.path(v, "disk", &s.Disk) }
	fields["initrd"] = func(v ast.Node) { d.path(v, "initrd", &s.Initrd) }
	fields["ready"] = func(v ast.Node) { d.regexp(v, "ready", &s.Ready) }
	fields["port"] = func(v ast.Node) { d.integer(v, "port", 1, 65535, &s.Port) }
	fields["claims"] = func(v ast.Node) { e.claimsAt = at(v); d.claims(v, e) }
	for i, dim := range dimensions {
		fields[dim] = func(v ast.Node) { e.names[i] = d.names(v, dim) }
	}
	before := len(d.errs.errs) + d.errs.more
	seen := d.mapping(n, "a cell", fields)
	if !seen["experiment"] {
		e.names[3] = []name{{DefaultExperiment, e.at}}
	}
	for _, dim := range dimensions[:3] {
		if !seen[dim] && len(d.errs.errs)+d.errs.more == before {
			d.fail(n, "the cell has no %s", dim)
		}
	}
}

// names decodes a name or a list of names.
func (d *decoder) names(n ast.Node, what string) []name {
	items := []ast.Node{n}
	if seq, ok := n.(*ast.SequenceNode); ok {
		items = seq.Values
		if len(items) == 0 {
			d.fail(n, "%s is an empty list: the cell would never run", what)
		}
	}
	var out []name
	first := map[string]pos{}
	for _, item := range items {
		var text string
		if !d.name(item, what, &text) {
			continue
		}
		if p, twice := first[text]; twice {
			d.fail(item, "%s %q is already in the list, at %s", what, text, d.src.position(p))
			continue
		}
		first[text] = at(item)
		out = append(out, name{text, at(item)})
	}
	return out
}

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

func (d *decoder) name(n ast.Node, what string, out *string) bool {
	var s string
	if !d.string(n, what, &s) {
		return false
	}
	if !namePattern.MatchString(s) {
		d.fail(n, "%s %q is not a name: lower-case letters, digits, and . _ - after the first, at most 64", what, s)
		return false
	}
	*out = s
	return true
}

func (d *decoder) string(n ast.Node, what string, out *string) bool {
	switch n := n.(type) {
	case *ast.StringNode:
		*out = n.Value
		return true
	case *ast.LiteralNode:
		*out = n.Value.Value
		return true
	}
	d.fail(n, "%s is a text, not %s", what, kind(n))
	return false
}

// text decodes a text of one line that is passed on to a program.
func (d *decoder) text(n ast.Node, what string, longest int, out *string) bool {
	var s string
	if !d.string(n, what, &s) {
		return false
	}
	if len(s) > longest {
		d.fail(n, "%s has %d bytes, more than %d", what, len(s), longest)
		return false
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		d.fail(n, "%s has a control character (%q): it is one line of plain text", what, []rune(s[i:])[0])
		return false
	}
	*out = s
	return true
}

func (d *decoder) path(n ast.Node, what string, out *string) {
	const longest = 4095 // PATH_MAX without its zero byte
	var s string
	if !d.text(n, what, longest, &s) {
		return
	}
	if s == "" {
		d.fail(n, "%s is empty: leave it out, or name a file", what)
		return
	}
	*out = besideFile(d.src.name, s)
}

func (d *decoder) regexp(n ast.Node, what string, out *string) {
	var s string
	if !d.text(n, what, MaxReady, &s) {
		return
	}
	if s == "" {
		d.fail(n, "%s is empty and would match every line: leave it out", what)
		return
	}
	if _, err := regexp.Compile(s); err != nil {
		d.fail(n, "%s is not a regular expression: %v", what, err)
		return
	}
	*out = s
}

func (d *decoder) oneOf(n ast.Node, what string, words []string, out *string) {
	var s string
	if !d.string(n, what, &s) {
		return
	}
	if !slices.Contains(words, s) {
		d.fail(n, "%s %q is none of %s%s", what, s, strings.Join(words, ", "), suggestion(s, words))
		return
	}
	*out = s
}

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// integer decodes a decimal number. YAML's other forms (010 is eight, 1_000)
// are refused: whoever writes them rarely means what YAML reads.
func (d *decoder) integer(n ast.Node, what string, least, most int, out *int) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		d.fail(n, "%s is a whole number, not %s", what, strings.ReplaceAll(kind(n), " (put quotes around it if it is a text)", ""))
		return
	}
	text := i.GetToken().Value
	if !decimal.MatchString(text) {
		d.fail(n, "%s %q is not a plain decimal number", what, text)
		return
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < least || v > most {
		if least == most {
			d.fail(n, "%s %s is not known: this ukprobe reads %s %d", what, text, what, least)
			return
		}
		d.fail(n, "%s %s is not between %d and %d", what, text, least, most)
		return
	}
	*out = v
}

func (d *decoder) duration(n ast.Node, what string, out *time.Duration) {
	if _, isNumber := n.(*ast.IntegerNode); isNumber {
		d.fail(n, "%s has no unit: write %ss for seconds", what, n.GetToken().Value)
		return
	}
	var s string
	if !d.string(n, what, &s) {
		return
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		d.fail(n, "%s %q is not a span of time such as 30s, 1m30s or 500ms", what, s)
		return
	}
	if v < time.Millisecond || v > MaxTimeout {
		d.fail(n, "%s %s is not between 1ms and 24h", what, s)
		return
	}
	*out = v
}
