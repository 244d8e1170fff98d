// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/moby/moby/client"

	guest "github.com/ukprobe/ukprobe/guests/docker"
)

// Ensure makes the engine have an image that ukprobe has built: it is loaded only
// if the engine has none of that reference with the very same layers. What was
// loaded stays, as a cache like the one on disk, for the next run.
func (e *Engine) Ensure(ctx context.Context, img guest.Image) (Image, error) {
	have, err := e.Find(ctx, img.Reference)
	if err == nil && sameLayers(have, img) {
		return have, nil
	}
	if err != nil && !errors.Is(err, ErrNoImage) {
		return Image{}, err
	}
	if err := e.load(ctx, img.Path); err != nil {
		return Image{}, err
	}
	have, err = e.Find(ctx, img.Reference)
	if err != nil {
		return Image{}, fmt.Errorf("after loading %s: %w", img.Path, err)
	}
	if !sameLayers(have, img) {
		return Image{}, fmt.Errorf("loaded %s, and the engine's %s has the layers %v, want %v", img.Path, img.Reference, have.Layers, img.Layers)
	}
	return have, nil
}

func sameLayers(have Image, img guest.Image) bool {
	want := make([]string, len(img.Layers))
	for i, l := range img.Layers {
		want[i] = l.String()
	}
	return slices.Equal(have.Layers, want)
}

// load sends an archive to the engine.
func (e *Engine) load(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("load an image: %w", err)
	}
	defer f.Close()
	said, err := e.api.ImageLoad(ctx, f, client.ImageLoadWithQuiet(true))
	if err != nil {
		return e.failed("load "+path, err)
	}
	defer said.Close()
	// The answer's end is the loading's; an error in between is found by looking
	// for the image.
	if _, err := io.Copy(io.Discard, said); err != nil {
		return e.failed("load "+path, err)
	}
	return nil
}
