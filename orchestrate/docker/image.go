// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"

	guest "github.com/ukprobe/ukprobe/guests/docker"
)

// Ensure makes the engine have an image that ukprobe has built: see ensure.
func (e *Engine) Ensure(ctx context.Context, img guest.Image) (Image, error) {
	return e.ensure(ctx, img.Reference, img.Layers, func(w io.Writer) error {
		f, err := os.Open(img.Path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
}

// EnsureLayout makes the engine have an image of an OCI image layout: see ensure.
func (e *Engine) EnsureLayout(ctx context.Context, l *guest.Layout) (Image, error) {
	return e.ensure(ctx, l.Reference, l.Layers, l.Archive)
}

// ensure loads an image if the engine has none of that reference with the very same
// layers. What was loaded stays, as a cache like the one on disk, for the next run.
func (e *Engine) ensure(ctx context.Context, ref string, layers []digest.Digest, archive func(io.Writer) error) (Image, error) {
	have, err := e.Find(ctx, ref)
	if err == nil && have.has(layers) {
		return have, nil
	}
	if err != nil && !errors.Is(err, ErrNoImage) {
		return Image{}, err
	}
	if err := e.load(ctx, ref, archive); err != nil {
		return Image{}, err
	}
	have, err = e.Find(ctx, ref)
	if err != nil {
		return Image{}, fmt.Errorf("after loading it: %w", err)
	}
	if !have.has(layers) {
		return Image{}, fmt.Errorf("after loading %s the engine has it with the layers %v, want %v", ref, have.Layers, layers)
	}
	return have, nil
}

func (i Image) has(layers []digest.Digest) bool {
	return slices.EqualFunc(i.Layers, layers, func(have string, want digest.Digest) bool { return have == want.String() })
}

// load sends an archive to the engine.
func (e *Engine) load(ctx context.Context, ref string, archive func(io.Writer) error) error {
	r, w := io.Pipe()
	defer r.Close() // else its writer would wait for ever after an error
	go func() { _ = w.CloseWithError(archive(w)) }()
	said, err := e.api.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
	if err != nil {
		return e.failed("load image "+ref, err)
	}
	defer said.Close()
	if err := loadError(said); err != nil {
		return e.failed("load image "+ref, err)
	}
	return nil
}

// Save writes an image that the engine has to a new file, as `docker save` does.
func (e *Engine) Save(ctx context.Context, id, path string) (err error) {
	said, err := e.api.ImageSave(ctx, []string{id})
	if err != nil {
		return e.failed("save image "+id, err)
	}
	defer said.Close()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, said); err != nil {
		return e.failed("save image "+id, err)
	}
	return nil
}

// loadError reads what an engine says while it loads an image, to its end, which is the
// loading's: JSON objects, of which one may say what went wrong (the Engine's API, POST
// /images/load; JSONMessage in the client's own stream).
func loadError(said io.Reader) error {
	for d := json.NewDecoder(said); ; {
		var line struct {
			Error       string `json:"error"`
			ErrorDetail struct {
				Message string `json:"message"`
			} `json:"errorDetail"`
		}
		err := d.Decode(&line)
		switch why := cmp.Or(line.ErrorDetail.Message, line.Error); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("its answer: %w", err)
		case why != "":
			return errors.New(why)
		}
	}
}
