// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	engine "github.com/ukprobe/ukprobe/orchestrate/docker"
)

// Generic is a system of which only the catalogue knows. Its apps and platforms are
// those of its entries; an entry's templates are its command line.
type Generic struct {
	name string
	env  Env
}

// withGeneric adds the systems of the catalogue that are not there yet.
func (e Env) withGeneric(known []System) []System {
	if e.Images == nil {
		return known
	}
	for _, name := range e.Images.Systems() {
		if !slices.ContainsFunc(known, func(s System) bool { return s.Name() == name }) {
			known = append(known, &Generic{name: name, env: e})
		}
	}
	return known
}

// Name implements System.
func (g *Generic) Name() string { return g.name }

// Apps implements System.
func (g *Generic) Apps() []string { return g.env.Images.Apps(g.name) }

// Platforms implements System.
func (g *Generic) Platforms() []string { return g.env.Images.Platforms(g.name) }

// Limit implements System.
func (g *Generic) Limit(w Want) string {
	if _, ok := g.env.Images.Find(g.name, w.App, w.Platform); !ok {
		return fmt.Sprintf("the catalogue %s has no such image of %s: add an entry", g.env.Images.File, g.name)
	}
	return ""
}

// Describe implements System.
func (g *Generic) Describe(w Want) Boot {
	b := Boot{Platform: w.Platform}
	if m, err := g.entry(w); err == nil {
		b.describe(m)
	}
	b.override(w.Settings)
	return b
}

// entry finds the entry whose command line and readiness a cell has. A cell's own
// kernel takes only the files' place.
func (g *Generic) entry(w Want) (*catalogue.Image, error) {
	w.Settings.Kernel, w.Settings.Disk = "", ""
	return g.env.entry(g.name, w)
}

// Prepare implements System.
func (g *Generic) Prepare(ctx context.Context, w Want) (Boot, error) {
	m, err := g.entry(w)
	if err != nil {
		return Boot{}, err
	}
	if m == nil {
		return Boot{}, g.env.errNoImage(g.name, w)
	}
	if w.Platform == catalogue.Docker {
		return g.container(ctx, w)
	}
	b := g.Describe(w)
	if w.Settings.Kernel == "" {
		if err := g.env.locate(ctx, &b); err != nil {
			return Boot{}, err
		}
		b.override(w.Settings) // the cell's own files again
	}
	if b.Cmdline == "" && len(b.PackedArgs) > 0 { // as Unikraft's kraft would
		b.Cmdline = "{network} -- " + strings.Join(b.PackedArgs, " ")
	}
	if err := b.examine(ctx); err != nil {
		return Boot{}, err
	}
	return b, nil
}

// container has the engine load the entry's image.
func (g *Generic) container(ctx context.Context, w Want) (Boot, error) {
	return withEngine(ctx, func(e *engine.Engine) (Boot, error) {
		b := g.Describe(w)
		if err := g.env.containerOf(ctx, e, &b); err != nil {
			return Boot{}, err
		}
		return b, nil
	})
}

// CommandLine implements System, by the entry's templates.
func (g *Generic) CommandLine(b Boot, net *Addresses) (string, error) {
	return b.commandLine(b.words(net, nil)), nil
}
