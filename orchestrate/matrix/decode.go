// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"regexp"

	"github.com/goccy/go-yaml/ast"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
)

// decode takes the matrix out of the tree.
func decode(sd *strictyaml.Decoder, root ast.Node) (*Matrix, error) {
	d := &decoder{Decoder: sd}
	m := d.file(root)
	if err := d.Errs.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

// decoder turns the YAML tree into a Matrix. It is stricter than decoding into
// a struct: nothing is converted, and every mistake has its place.
type decoder struct {
	*strictyaml.Decoder
	// override: it is not a file but a setting of the command line, for a cell that
	// has settings already. What a mapping leaves out stays.
	override bool
}

func (d *decoder) file(root ast.Node) *Matrix {
	m := &Matrix{src: d.Source, Name: d.Source.Name}
	defaults := DefaultSettings()
	var cells ast.Node
	probed := false // the file says how much is attached
	seen := d.Mapping(root, "the matrix", map[string]strictyaml.Field{
		"version": func(v ast.Node) {
			var n int
			d.Integer(v, "version", 1, 1, &n)
		},
		"name":     func(v ast.Node) { d.Name(v, "name", &m.Name) },
		"defaults": func(v ast.Node) { probed = d.defaults(v, &defaults) },
		"cells":    func(v ast.Node) { cells = v }, // once the defaults are known
	})
	for _, key := range []string{"version", "cells"} {
		if !seen[key] && d.Errs.Len() == 0 {
			d.Fail(root, "the matrix has no %s", key)
		}
	}
	if cells != nil {
		d.cells(cells, m, defaults, probed)
	}
	return m
}

func (d *decoder) defaults(n ast.Node, s *Settings) (probed bool) {
	fields := d.commonFields(s)
	fields["cpu"] = func(v ast.Node) { d.cpu(v, &s.CPU, true) }
	return d.Mapping(n, "defaults", fields)["probes"]
}

// commonFields are the settings that may stand in defaults and in a cell.
func (d *decoder) commonFields(s *Settings) map[string]strictyaml.Field {
	return map[string]strictyaml.Field{
		"samples":        func(v ast.Node) { d.Integer(v, "samples", 1, MaxSamples, &s.Samples) },
		"warmup":         func(v ast.Node) { d.Integer(v, "warmup", 0, MaxSamples, &s.Warmup) },
		"timeout":        func(v ast.Node) { d.Duration(v, "timeout", &s.Timeout) },
		"timeout_learnt": func(v ast.Node) { d.Bool(v, "timeout_learnt", &s.TimeoutLearnt) },
		"memory_mib":     func(v ast.Node) { d.Integer(v, "memory_mib", 1, MaxMemoryMiB, &s.MemoryMiB) },
		"vcpus":          func(v ast.Node) { d.Integer(v, "vcpus", 1, MaxVCPUs, &s.VCPUs) },
		"accel":          func(v ast.Node) { d.OneOf(v, "accel", []string{AccelAuto, AccelKVM, AccelTCG}, &s.Accel) },
		"probes":         func(v ast.Node) { d.OneOf(v, "probes", ProbesLevels, &s.Probes) },
		"vhost":          func(v ast.Node) { d.Bool(v, "vhost", &s.Vhost) },
		"address":        func(v ast.Node) { d.OneOf(v, "address", []string{AddressStatic, AddressDHCP}, &s.Address) },
		"tap":            func(v ast.Node) { d.OneOf(v, "tap", []string{TapNew, TapKeep}, &s.Tap) },

		"until":         func(v ast.Node) { d.until(v, &s.Until) },
		"cache":         func(v ast.Node) { d.OneOf(v, "cache", []string{CacheAsIs, CacheWarm, CacheCold}, &s.Cache) },
		"load":          func(v ast.Node) { d.load(v, &s.Load) },
		"memory_search": func(v ast.Node) { d.memorySearch(v, &s.MemorySearch) },
		"density":       func(v ast.Node) { d.density(v, &s.Density) },
		"scratch":       func(v ast.Node) { d.scratch(v, &s.Scratch) },
		"interference":  func(v ast.Node) { d.interference(v, &s.Interference) },
	}
}

func (d *decoder) cells(n ast.Node, m *Matrix, defaults Settings, probed bool) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.Fail(n, "cells is a list, not %s", strictyaml.Kind(n))
		return
	}
	if len(seq.Values) == 0 {
		d.Fail(n, "cells is empty: there is nothing to run")
		return
	}
	cells, steps := 0, 0
	for _, v := range seq.Values {
		e := entry{at: strictyaml.At(v), settings: defaults, probed: probed}
		d.cell(v, &e)
		cells += e.size()
		steps += e.size() * (e.settings.MostSamples() + e.settings.Warmup)
		if cells > MaxCells {
			d.Fail(v, "the matrix expands to more than %d cells here", MaxCells)
			return
		}
		if steps > MaxSteps {
			d.Fail(v, "the matrix has more than %d samples and warm-ups here", MaxSteps)
			return
		}
		m.entries = append(m.entries, e)
	}
}

// imagePattern is a name in the catalogue, or the reference of a container's image
// (github.com/distribution/reference), of which the engine is the judge.
var imagePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$`)

func (d *decoder) image(n ast.Node) (s string, ok bool) {
	if !d.String(n, "image", &s) {
		return "", false
	}
	if !imagePattern.MatchString(s) {
		d.Fail(n, "image %q is neither a name nor a container image's reference: letters, digits, and . _ / : @ - after the first, at most 255", s)
		return "", false
	}
	return s, true
}

func (d *decoder) cell(n ast.Node, e *entry) {
	fields := d.cellFields(e)
	for i, dim := range dimensions {
		fields[dim] = func(v ast.Node) { e.names[i] = d.names(v, dim) }
	}
	before := d.Errs.Len()
	seen := d.Mapping(n, "a cell", fields)
	e.probed = e.probed || seen["probes"]
	if !seen["experiment"] {
		e.names[3] = []name{{DefaultExperiment, e.at}}
	}
	for _, dim := range dimensions[:3] {
		if !seen[dim] && d.Errs.Len() == before {
			d.Fail(n, "the cell has no %s", dim)
		}
	}
	if why := e.settings.Conflict(); why != "" && d.Errs.Len() == 0 {
		d.Fail(n, "%s", why)
	}
}

// cellFields are the settings that may stand in a cell.
func (d *decoder) cellFields(e *entry) map[string]strictyaml.Field {
	s := &e.settings
	fields := d.commonFields(s)
	fields["args"] = func(v ast.Node) { d.Text(v, "args", MaxArgs, &s.Args) }
	fields["kernel"] = func(v ast.Node) { d.Path(v, "kernel", &s.Kernel) }
	fields["disk"] = func(v ast.Node) { d.Path(v, "disk", &s.Disk) }
	fields["image"] = func(v ast.Node) { e.images = d.namesBy(v, "image", d.image) }
	fields["cpu"] = func(v ast.Node) { d.cpu(v, &s.CPU, false) }
	fields["initrd"] = func(v ast.Node) { d.Path(v, "initrd", &s.Initrd) }
	fields["ready"] = func(v ast.Node) { d.Regexp(v, "ready", MaxReady, &s.Ready) }
	fields["port"] = func(v ast.Node) { d.Integer(v, "port", 1, 65535, &s.Port) }
	fields["parallel"] = func(v ast.Node) { d.parallel(v, &e.parallel) }
	fields["claims"] = func(v ast.Node) { e.claimsAt = strictyaml.At(v); d.claims(v, e) }
	return fields
}

// neverRuns is what comes of a dimension without values.
const neverRuns = "the cell would never run"

// names decodes a name or a list of names.
func (d *decoder) names(n ast.Node, what string) []name {
	return d.namesBy(n, what, func(item ast.Node) (text string, ok bool) {
		ok = d.Name(item, what, &text)
		return text, ok
	})
}

// namesBy decodes what one decodes, or a list of such.
func (d *decoder) namesBy(n ast.Node, what string, one func(ast.Node) (string, bool)) []name {
	var out []name
	first := map[string]strictyaml.Pos{}
	for _, item := range d.Items(n, what, neverRuns) {
		text, ok := one(item)
		if !ok {
			continue
		}
		if p, twice := first[text]; twice {
			d.Fail(item, "%s %q is already in the list, at %s", what, text, d.Source.Position(p))
			continue
		}
		first[text] = strictyaml.At(item)
		out = append(out, name{text, strictyaml.At(item)})
	}
	return out
}
