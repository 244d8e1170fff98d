// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	guest "github.com/ukprobe/ukprobe/guests/docker"
	"github.com/ukprobe/ukprobe/guests/linux"
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
func (d *Docker) Apps() []string { return d.env.apps(d.Name(), guest.Apps()...) }

// Platforms implements System.
func (*Docker) Platforms() []string { return []string{"docker"} }

// Limit implements System.
func (*Docker) Limit(Want) string { return "" }

// Prepare implements System. It asks the engine, and loads the image if it lacks
// it, so that no sample has to.
func (d *Docker) Prepare(ctx context.Context, w Want) (Boot, error) {
	if err := d.misnamed(w); err != nil {
		return Boot{}, err
	}
	return withEngine(ctx, func(e *engine.Engine) (Boot, error) { return d.prepare(ctx, e, w) })
}

// withEngine does something with the engine, if containers can be measured on it.
func withEngine(ctx context.Context, do func(*engine.Engine) (Boot, error)) (b Boot, err error) {
	e, err := engine.Connect(ctx)
	if err != nil {
		return Boot{}, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := e.Usable(); err != nil {
		return Boot{}, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return do(e)
}

// PrepareImage implements Offline: an engine is asked only for what it alone has.
func (d *Docker) PrepareImage(ctx context.Context, w Want) (Boot, error) {
	if err := d.misnamed(w); err != nil {
		return Boot{}, err
	}
	b := d.Describe(w)
	switch {
	case b.Entry != nil:
		layout, err := d.env.layoutOf(ctx, &b)
		if err == nil {
			b.Container = layout.Reference
		}
		return b, err
	case b.Container != Unbuilt:
		e, err := engine.Connect(ctx)
		if err != nil {
			return Boot{}, err
		}
		err = b.ofEngine(ctx, e)
		return b, errors.Join(err, e.Close())
	}
	img, err := d.builder.Image(ctx, w.App)
	if err != nil {
		return Boot{}, err
	}
	b.Container, b.Image = img.Reference, ofArchive(img)
	return b, nil
}

// ofArchive is what stands for an image of ukprobe's own making.
func ofArchive(img guest.Image) Image {
	return Image{Path: img.Path, SHA256: img.Manifest.Encoded(), Size: img.Content}
}

func (d *Docker) prepare(ctx context.Context, e *engine.Engine, w Want) (Boot, error) {
	b := d.Describe(w)
	var err error
	switch {
	case b.Entry != nil:
		err = d.env.containerOf(ctx, e, &b)
	case b.Container != Unbuilt:
		err = b.ofEngine(ctx, e)
	default:
		err = d.ofBuilder(ctx, e, w.App, &b)
	}
	return b, err
}

// ofBuilder takes the image that ukprobe makes of an app.
func (d *Docker) ofBuilder(ctx context.Context, e *engine.Engine, app string, b *Boot) error {
	img, err := d.builder.Image(ctx, app)
	if err != nil {
		return err
	}
	have, err := e.Ensure(ctx, img)
	if err != nil {
		return err
	}
	b.Container, b.Layers = have.ID, have.Folders
	b.Image = ofArchive(img)
	return nil
}

// misnamed: an image of the catalogue that is for something else is not taken for an
// engine's.
func (d *Docker) misnamed(w Want) error {
	if !d.env.Images.Has(w.Settings.Image) {
		return nil // not in the catalogue: the engine is asked
	}
	_, err := d.env.entry(d.Name(), w)
	return err
}

// containerOf makes the image of a catalogue's entry local, and has the engine load
// it.
func (e Env) containerOf(ctx context.Context, eng *engine.Engine, b *Boot) error {
	layout, err := e.layoutOf(ctx, b)
	if err != nil {
		return err
	}
	img, err := eng.EnsureLayout(ctx, layout)
	if err != nil {
		return err
	}
	b.Container, b.Layers = img.ID, img.Folders
	return nil
}

// layoutOf makes the image of a catalogue's entry local.
func (e Env) layoutOf(ctx context.Context, b *Boot) (*guest.Layout, error) {
	l, err := e.Images.Local(ctx, *b.Entry, b.Platform)
	if err != nil {
		return nil, err
	}
	layout, err := guest.OpenLayout(l.Container.Path, l.Container.Digest)
	if err != nil {
		return nil, fmt.Errorf("image %s (%s): %w", b.Entry.Name, b.Entry.Pos, err)
	}
	b.Image = Image{Path: l.Container.Path, SHA256: layout.Digest.Encoded(), Size: layout.Size}
	return layout, nil
}

// ofEngine takes an image that the engine has: it is called by its ID from here on,
// so that all samples are of the same. Its size is not known: an engine's own figure is
// of unpacked layers, or of these and the packed ones, by its image store.
func (b *Boot) ofEngine(ctx context.Context, e *engine.Engine) error {
	img, err := e.Find(ctx, b.Container)
	if errors.Is(err, engine.ErrNoImage) {
		return fmt.Errorf("%w: %w", ErrNoImage, err)
	}
	if err != nil {
		return err
	}
	b.Image = Image{Path: b.Container}
	if sum, found := strings.CutPrefix(img.ID, "sha256:"); found && isSHA256(sum) {
		b.Image.SHA256 = sum
	}
	b.Container, b.Layers = img.ID, img.Folders
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
	if b.scratch(w); b.Scratch != nil {
		b.Cmdline = strings.Join(fioJob(w, linux.ScratchFile).Argv(), " ")
	}
	return b
}

// CommandLine implements System: the words of the entry and of the matrix, in place
// of the image's own command. A container finds its network set up.
func (*Docker) CommandLine(b Boot, net *Addresses) (string, error) {
	return b.commandLine(b.words(net, nil)), nil
}
