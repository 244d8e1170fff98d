// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/ukprobe/ukprobe/probe"
)

// settle finds the baseline: it waits until no tracing program is loaded, and after
// b.wait takes what is still there to stay (a security agent).
func (b *bench) settle(ctx context.Context) error {
	b.foreign = probe.Programs{}
	alone, err := b.onlyBaseline(ctx)
	if err != nil || alone {
		return err
	}
	b.foreign, err = probe.TracingPrograms()
	return err
}

// onlyBaseline waits, at most b.wait, until nothing is loaded but the baseline; in a
// crowd it only looks.
func (b *bench) onlyBaseline(ctx context.Context) (bool, error) {
	wait := b.wait
	if b.crowded {
		wait = 0
	}
	alone, err := b.foreign.Await(ctx, wait)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("interrupted: %w", ctx.Err())
	}
	return alone, err
}
