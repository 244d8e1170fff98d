// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"context"
	"errors"

	"github.com/ukprobe/ukprobe/orchestrate/docker"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// imageOnly prepares the cell's image: without what would run it, if nobody is going to.
func (c *cell) imageOnly(ctx context.Context) (system.Boot, error) {
	if s, ok := c.system.(system.Offline); ok && !c.Boots() {
		return s.PrepareImage(ctx, c.want())
	}
	return c.system.Prepare(ctx, c.want())
}

// saveContainer is how an image that only an engine has is got from it; nil if it is no
// container's.
func (c *cell) saveContainer() func(ctx context.Context, path string) error {
	id := c.image.Container
	if id == "" {
		return nil
	}
	return func(ctx context.Context, path string) error {
		e, err := docker.Connect(ctx)
		if err != nil {
			return err
		}
		return errors.Join(e.Save(ctx, id, path), e.Close())
	}
}
