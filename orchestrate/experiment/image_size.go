// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/imagesize"
)

// ImageSize is the experiment of how large an image is, and of what. It starts no guest:
// one sample says all.
type ImageSize struct {
	Image   imagesize.Image
	WorkDir string // of the run, for what is unpacked
}

// Sample implements Sampler.
func (i *ImageSize) Sample(ctx context.Context, name string) (s Sample, err error) {
	s = Sample{Started: time.Now(), Status: OK}
	if err := i.Image.Unchanged(); err != nil {
		s.Status, s.Reason = Failed, err.Error()
		return s, nil
	}
	dir := filepath.Join(i.WorkDir, name)
	if err := os.Mkdir(dir, 0o700); err != nil { // in the run's folder, which is in the journal
		return s, fmt.Errorf("make the sample's folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	size, err := imagesize.Measure(ctx, i.Image, dir)
	switch {
	case ctx.Err() != nil:
		s.Status, s.Reason = Interrupted, "interrupted"
		return s, nil
	case err != nil:
		s.Status, s.Reason = Failed, err.Error()
		return s, nil
	}
	s.Values, s.Facts = size.Values, size.Facts
	for _, l := range size.Lacking {
		s.Lacks(l.Name, l.Reason)
	}
	return s, nil
}
