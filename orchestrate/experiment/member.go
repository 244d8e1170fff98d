// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"sync"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// member is one of several guests that run at the same time.
type member struct {
	waits       chan struct{} // closed when it has come to its gate
	ready, done chan struct{} // closed when it is ready, and when it is gone
	live        *Live         // after ready
	bootNs      int64         // likewise; 0 if it is not known
	sample      Sample
	err         error // both after done
}

// begin starts a guest with a boot's settings, which runs until it is released, or its
// own end. A gate, if not nil, holds it back right before its exec.
func begin(ctx context.Context, b Boot, name string, g *gate, release <-chan struct{}) *member {
	m := &member{waits: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{})}
	if g != nil {
		b.gate = func(ctx context.Context) error {
			close(m.waits)
			return g.wait(ctx)
		}
	}
	during := During{Limit: matrix.MaxTimeout}
	if b.During != nil {
		during = *b.During
	}
	during.Do = func(ctx context.Context, l *Live) error {
		m.live = l
		if total := l.total(); total != nil {
			m.bootNs = total.Nanoseconds()
		}
		close(m.ready)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}
	b.During = &during
	go func() {
		defer close(m.done)
		m.sample, m.err = b.Sample(ctx, name)
	}()
	return m
}

// gone tells whether it has ended.
func (m *member) gone() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// errHeld says that a guest was not started because another one could not be.
var errHeld = errors.New("not started, since another guest could not be")

// gate holds guests back until all are there, so that they start at once.
type gate struct {
	opened chan struct{}
	once   sync.Once
	err    error // why nobody passes; valid after opened
}

func newGate() *gate { return &gate{opened: make(chan struct{})} }

// open lets them pass, or with an error sends them home.
func (g *gate) open(err error) {
	g.once.Do(func() {
		g.err = err
		close(g.opened)
	})
}

// wait returns when the gate opens or ctx ends.
func (g *gate) wait(ctx context.Context) error {
	select {
	case <-g.opened:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
