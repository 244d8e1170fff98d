// SPDX-License-Identifier: Apache-2.0

package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Pusher sends what a gatherer has from time to time, from a goroutine of its own, and not
// while something is measured. That it cannot is no error of anybody else's: it is told
// through Log, once when it begins and once when it is over.
type Pusher struct {
	Client interface {
		fmt.Stringer
		Send(ctx context.Context, families []*dto.MetricFamily, at time.Time) error
		Classic() bool
	}
	Gatherer prometheus.Gatherer
	Every    time.Duration // at least
	// Log may be called from any goroutine.
	Log func(format string, args ...any)

	once    sync.Once
	stop    context.CancelFunc
	done    chan struct{}
	failing error // of the last push
	told    bool  // that they fail
	ending  bool  // the final figures are being pushed
	failed  int   // pushes in a row
	total   int   // that were not delivered
	classic bool  // it was said

	mu   sync.Mutex    // of both below
	busy bool          // something is measured
	due  chan struct{} // closed by the end of what is measured; nil: nobody waits for it
}

// sendLimit is how long one push may take.
const sendLimit = 10 * time.Second

// Start begins to push, the first time at once: then what is wrong is known early.
func (p *Pusher) Start() {
	ctx, stop := context.WithCancel(context.Background())
	p.stop, p.done = stop, make(chan struct{})
	go func() {
		defer close(p.done)
		for {
			wait := time.After(p.Every)
			_ = p.push(ctx) // has been told
			select {
			case <-ctx.Done():
				return
			case <-wait:
			}
			select {
			case <-ctx.Done():
				return
			case <-p.quiet():
			}
		}
	}()
}

// Begin says that something is measured from now on: until End no push begins, unless it
// is the first. One that is under way goes on. A nil Pusher takes no notice, of End neither.
func (p *Pusher) Begin() { p.measure(true) }

// End says that it is over. A push that has waited for it begins, also if Begin follows at
// once.
func (p *Pusher) End() { p.measure(false) }

func (p *Pusher) measure(busy bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = busy
	if !busy && p.due != nil {
		close(p.due)
		p.due = nil
	}
}

// quiet is closed as soon as nothing is measured.
func (p *Pusher) quiet() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	due := make(chan struct{})
	if p.busy {
		p.due = due
	} else {
		close(due)
	}
	return due
}

// Finish pushes the final figures, for at most a time and trying again unless they are
// refused, and says so if they, or some before them, could not be delivered. It is done
// once; before Start, or for a nil Pusher, there is nothing to do.
func (p *Pusher) Finish(ctx context.Context, limit time.Duration) (err error) {
	if p == nil || p.stop == nil {
		return nil
	}
	p.once.Do(func() {
		p.stop()
		<-p.done
		err = p.finish(ctx, limit)
	})
	return err
}

func (p *Pusher) finish(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	before := p.total
	p.ending = true
	for wait := limit / 32; ; wait *= 2 {
		err := p.push(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrRefused) {
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
			}
		}
		why := p.failing
		if why == nil {
			why = ctx.Err()
		}
		p.Log("push to %s: the final figures were NOT delivered: %v", p.Client, why)
		return fmt.Errorf("push to %s: the final figures were not delivered: %w", p.Client, why)
	}
	if before > 0 {
		p.Log("push to %s: the final figures were delivered; %d pushes before them were not, so that their course has gaps", p.Client, before)
	}
	return nil
}

// push pushes once and tells of a change.
func (p *Pusher) push(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	err := p.send(limited)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return err // it was to stop: nothing is known to be wrong, and Finish tries again
	case err != nil:
		if !p.told && !p.ending { // what becomes of the final figures is told at once
			p.told = true
			p.Log("push to %s: %v: it is tried again every %v, and the run goes on", p.Client, err, p.Every)
		}
		if !errors.Is(err, context.DeadlineExceeded) || p.failing == nil {
			p.failing = err // a reason says more than that time ran out
		}
		p.failed++
		p.total++
		return err
	}
	if p.told {
		p.Log("push to %s: works again after %d pushes that were not delivered", p.Client, p.failed)
	}
	p.failing, p.failed, p.told = nil, 0, false
	if p.Client.Classic() && !p.classic {
		p.classic = true
		p.Log("push to %s: it has native histograms switched off (--enable-feature=native-histograms): it gets classic ones", p.Client)
	}
	return nil
}

// send sends what can be gathered, also if not all of it can.
func (p *Pusher) send(ctx context.Context) error {
	families, err := p.Gatherer.Gather()
	if len(families) == 0 && err != nil {
		return fmt.Errorf("gather: %w", err)
	}
	return p.Client.Send(ctx, families, time.Now())
}
