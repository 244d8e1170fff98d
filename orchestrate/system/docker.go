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
// ukprobe's own making, or any image that the engine has.
type Docker struct{ builder *guest.Builder }

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
	b := d.Describe(w)
	if b.Container != Unbuilt {
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

// Describe implements System.
func (*Docker) Describe(w Want) Boot {
	b := Boot{Platform: w.Platform, Container: Unbuilt}
	b.linuxApp(w.App)
	b.override(w.Settings)
	return b
}

// CommandLine implements System: the words of the matrix, in place of the image's
// own command. A container finds its network set up.
func (*Docker) CommandLine(b Boot, _ *Addresses) (string, error) { return b.Args, nil }
