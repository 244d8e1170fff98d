// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	guest "github.com/ukprobe/ukprobe/guests/docker"
	engine "github.com/ukprobe/ukprobe/orchestrate/docker"
)

// Docker is a container: the same binaries as Linux and Process in an image of
// ukprobe's own making, or an image of the catalogue, or any that the engine has.
type Docker struct {
	env     Env
	builder *guest.Builder
}

// Name implements System.
func (*Docker) Name() string { return "docker" }

// Apps implements System.
func (*Docker) Apps() []string { return guest.Apps() }

// Platforms implements System.
func (*Docker) Platforms() []string { return []string{"docker"} }

// Limit implements System.
func (*Docker) Limit(_, _ string) string { return "" }

// Prepare implements System. It asks the engine, and loads the image if it lacks
// it, so that no sample has to.
func (d *Docker) Prepare(ctx context.Context, w Want) (Boot, error) {
	e, err := engine.Connect(ctx)
	if err != nil {
		return Boot{}, err
	}
	b, err := d.prepare(ctx, e, w)
	return b, errors.Join(err, e.Close())
}

func (d *Docker) prepare(ctx context.Context, e *engine.Engine, w Want) (Boot, error) {
	if err := e.Usable(); err != nil {
		return Boot{}, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err := d.misnamed(w); err != nil {
		return Boot{}, err
	}
	b := d.Describe(w)
	switch {
	case b.Entry != nil:
		return b, d.ofCatalogue(ctx, e, &b)
	case b.Container != Unbuilt:
		return b, b.ofEngine(ctx, e)
	}
	img, err := d.builder.Image(ctx, w.App)
	if err != nil {
		return Boot{}, err
	}
	have, err := e.Ensure(ctx, img)
	if err != nil {
		return Boot{}, err
	}
	b.Container = have.ID
	b.Image, err = imageOf(img.Path)
	return b, err
}

// misnamed: an image of the catalogue that is for something else is not taken for an
// engine's.
func (d *Docker) misnamed(w Want) error {
	if w.Settings.Image == "" || d.env.Images == nil {
		return nil
	}
	_, err := d.env.Images.Named(w.Settings.Image)
	if err == nil {
		_, err = d.env.entry(d.Name(), w)
		return err
	}
	return nil // not in the catalogue: the engine is asked
}

// ofCatalogue makes the image of a catalogue's entry local, and has the engine load
// it.
func (d *Docker) ofCatalogue(ctx context.Context, e *engine.Engine, b *Boot) error {
	l, err := d.env.Images.Local(ctx, *b.Entry, b.Platform)
	if err != nil {
		return err
	}
	layout, err := guest.OpenLayout(l.Container.Path, l.Container.Digest)
	if err != nil {
		return fmt.Errorf("image %s (%s): %w", b.Entry.Name, b.Entry.Pos, err)
	}
	img, err := e.EnsureLayout(ctx, layout)
	if err != nil {
		return err
	}
	b.Container = img.ID
	b.Image = Image{Path: l.Container.Path, SHA256: strings.TrimPrefix(l.Container.Digest, "sha256:"), Size: l.Container.Size}
	return nil
}

// ofEngine takes an image that the engine has: it is called by its ID from here on,
// so that all samples are of the same.
func (b *Boot) ofEngine(ctx context.Context, e *engine.Engine) error {
	img, err := e.Find(ctx, b.Container)
	if errors.Is(err, engine.ErrNoImage) {
		return fmt.Errorf("%w: %w", ErrNoImage, err)
	}
	if err != nil {
		return err
	}
	b.Image = Image{Path: b.Container, Size: img.Size}
	if sum, found := strings.CutPrefix(img.ID, "sha256:"); found && isSHA256(sum) {
		b.Image.SHA256 = sum
	}
	b.Container = img.ID
	return nil
}

func isSHA256(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == 32
}

// Describe implements System. A name that the catalogue does not have is an engine's.
func (d *Docker) Describe(w Want) Boot {
	b := Boot{Platform: w.Platform, Container: Unbuilt}
	b.linuxApp(w.App)
	if m, err := d.env.entry(d.Name(), w); err == nil && m != nil {
		b.describe(m)
	} else if w.Settings.Image != "" {
		b.Container = w.Settings.Image
	}
	b.override(w.Settings)
	return b
}

// CommandLine implements System: the words of the entry and of the matrix, in place
// of the image's own command. A container finds its network set up.
func (*Docker) CommandLine(b Boot, net *Addresses) (string, error) {
	return b.commandLine(b.words(net, nil)), nil
}
