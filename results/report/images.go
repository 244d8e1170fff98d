// SPDX-License-Identifier: Apache-2.0

package report

import (
	"path"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// unknowns are what a comparison of systems has to state of an image, by the catalogue's
// keys, where somebody has built it in a way of their own.
var unknowns = []string{"allocator", "scheduler", "optimisations"}

// images says of each image its version and how it was built, as far as either is known,
// once for all cells that have it. Without them figures of two systems do not compare.
func (o Options) images(cells []results.Cell) []string {
	var lines []string
	for i := range cells {
		c := &cells[i]
		image := c.Image
		if image != nil && image.Package == "" && c.Platform == "process" && len(c.Argv) > 0 { // of a run that did not say it
			image = new(*image)
			image.Package = path.Base(c.Argv[0])
		}
		text := o.built(image)
		if text == "" || len(c.Samples) == 0 {
			continue
		}
		name := o.Clean(c.System) + " " + o.Clean(c.App)
		if c.Image.Name != "" {
			name += " (" + o.Clean(c.Image.Name) + ")"
		}
		if line := "  " + Wrap(name+": "+text, o.width(), 4); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return append([]string{"Images:"}, lines...)
}

// built is what is known of an image, "" if nothing is.
func (o Options) built(m *results.Image) string {
	if m == nil {
		return ""
	}
	var parts []string
	if m.Version != "" {
		version := "version " + o.Clean(m.Version)
		if m.Package != "" {
			version = o.Clean(m.Package) + " " + o.Clean(m.Version)
		}
		parts = append(parts, version)
	}
	text := func(key, words string) {
		if v := o.Clean(m.Built[key]); v != "" {
			parts = append(parts, words+v)
		}
	}
	text("allocator", "allocator ")
	text("scheduler", "scheduler ")
	text("optimisations", "optimisations ")
	text("flags", "flags ")
	text("libc", "C library ")
	text("compiler", "compiler ")
	text("from", "from ")
	if m.Name == "" && len(m.Built) == 0 { // not of the catalogue, which would say
		return strings.Join(parts, "; ")
	}
	missing := slices.DeleteFunc(slices.Clone(unknowns), func(key string) bool {
		return m.Built[key] != "" || key == "optimisations" && m.Built["flags"] != ""
	})
	if m.Version == "" {
		missing = slices.Insert(missing, 0, "version")
	}
	if len(missing) > 0 {
		parts = append(parts, "not known: "+strings.Join(missing, ", "))
	}
	return strings.Join(parts, "; ")
}
