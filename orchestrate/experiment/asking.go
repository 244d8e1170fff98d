// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/client"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// What a sample says of its client.
const (
	ClientSYNs         = "client_syns"
	ClientLongestGapNs = "client_longest_gap_ns"
	// ClientResolutionNs is how finely ready is known, of what is ready at its first
	// answer, and ClientRequestNs how long the client took from the SYN-ACK to its request,
	// which is part of the total: see [Sample.resolve].
	ClientResolutionNs = "client_resolution_ns"
	ClientRequestNs    = "client_request_ns"
	clientFact         = "client" // on which thread it asked
)

// coarsePercent is the share of the total from which on what the client adds to it, or
// may have added, is a reason to distrust it.
const coarsePercent = 5

// sharedInterval is the time between two SYNs, at the least, of a client that has no CPU
// but the guest's: what it takes, the guest lacks.
const sharedInterval = time.Millisecond

// asking is the client of one boot. Of an app that serves nothing there is none.
type asking struct {
	process *client.Process
	seen    witness
	ctx     context.Context //nolint:containedctx // of the boot: its end ends the client
	stop    context.CancelFunc
	done    chan struct{} // closed when it has ended, if it has begun
	result  client.Result // after done
	err     error         // likewise
	over    bool          // end has been called
}

// ask makes the client ready, if the app serves. Unless there is a witness its times are
// not used, it only makes the guest answer: what counts is seen on the tap. elsewhere:
// somebody else starts the guest, whose time begins with being asked to.
func (b *Boot) ask(ctx context.Context, ip netip.Addr, seen witness, elsewhere bool) (*asking, error) {
	a := &asking{seen: seen}
	svc := b.Image.Service
	if svc == nil || b.Platform.Wire() == platform.NoWire {
		return a, nil
	}
	var err error
	a.process, err = client.Start(ctx, b.Lab.Do, client.Errand{
		Addr: netip.AddrPortFrom(ip, svc.Port), Payload: svc.Request, Interval: b.interval(),
		Timeout: b.Settings.Timeout + b.During.limit(), // its context ends before
		CPUs:    b.CPUs.Client, Urgent: b.clientApart(), Starts: !elsewhere,
	})
	a.ctx, a.stop = context.WithCancel(ctx)
	return a, err
}

// now begins to ask, and returns once the first SYN is out: the guest is started then.
func (a *asking) now() error {
	if a.process == nil {
		return nil
	}
	if err := a.process.Ask(a.ctx); err != nil {
		return err
	}
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		a.result, a.err = a.process.Wait(a.ctx)
		if a.seen != nil {
			a.seen.Answered(a.result)
		}
	}()
	return nil
}

// started tells it that the guest has been started.
func (a *asking) started() {
	if a.process != nil {
		a.process.Started()
	}
}

// end ends it, if it has not ended, and keeps how it went: that it failed is no fault of
// the guest's. It may be called again.
func (a *asking) end(s *Sample) {
	if a.process == nil || a.over {
		return
	}
	a.over = true
	a.stop()
	if a.done == nil { // it was never to ask
		_, _ = a.process.Wait(a.ctx)
		return
	}
	<-a.done
	s.Client = a.result
	s.fact(clientFact, a.how())
	if a.err != nil && !errors.Is(a.err, client.ErrTimeout) && !errors.Is(a.err, context.Canceled) {
		s.Taint("client: %v", a.err)
	}
}

// how says what the client ran as.
func (a *asking) how() string {
	switch {
	case a.process.Urgent:
		return "SCHED_FIFO 1"
	case a.process.NotPinned != "":
		return "normal priority, not on its CPUs: " + a.process.NotPinned
	case a.process.NotUrgent != "":
		return "normal priority: " + a.process.NotUrgent
	}
	return "normal priority: its CPUs are the guest's too"
}

// clientApart: none of the guest's threads is where the client is.
func (b *Boot) clientApart() bool {
	return len(b.CPUs.Client) > 0 && !slices.ContainsFunc(slices.Concat(b.CPUs.VCPU, b.CPUs.VMM), func(c int) bool {
		return slices.Contains(b.CPUs.Client, c)
	})
}

// interval is the shortest time between two SYNs: of guests that start at once each
// client has its part of the client's CPUs.
func (b *Boot) interval() time.Duration {
	each := client.DefaultInterval
	if !b.clientApart() {
		each = sharedInterval
	}
	cpus := max(1, len(b.CPUs.Client))
	return each * time.Duration((max(1, b.Settings.Parallel)+cpus-1)/cpus)
}

func (s *Sample) fact(name, text string) {
	if s.Facts == nil {
		s.Facts = map[string]string{}
	}
	s.Facts[name] = text
}

// resolve notes how finely ready is known, of a guest that is ready at its first answer:
// from the last attempt that got no connection, or from the start if there was none, to
// the one that did. In that time it may have been ready and was not asked. What is more
// than a twentieth of the boot is a taint, and so is as long a time until the request.
func (s *Sample) resolve() {
	start, began := begun(s.Timeline)
	ready, ok := s.Timeline.At(probe.EventFirstResponse)
	if !began || !ok || s.Timeline.ReadyEvent != probe.EventFirstResponse {
		return
	}
	total := ready.NS - start.NS
	ack, acked := s.Timeline.At(probe.EventSYNACK)
	asked := s.Client.AskedNs
	if acked && s.Client.Resets == 0 && ack.NS >= s.Client.AskedBeforeNs { // else another attempt's, that did not win
		asked = min(asked, ack.NS) // when connect(2) returned is later
	}
	if asked > start.NS {
		resolution := asked - max(s.Client.AskedBeforeNs, start.NS)
		s.Value(ClientResolutionNs, float64(resolution))
		if resolution*100 > total*coarsePercent {
			s.Taint("client: ready known only to within %v of %v", short(resolution), short(total))
		}
	}
	request, requested := s.Timeline.At(probe.EventFirstRequest)
	if took := request.NS - ack.NS; acked && requested && took > 0 {
		s.Value(ClientRequestNs, float64(took))
		if took*100 > total*coarsePercent {
			s.Taint("client: its request came %v after the SYN-ACK, of %v", short(took), short(total))
		}
	}
}

// short writes a time in as many digits as a taint needs.
func short(ns int64) time.Duration {
	d := time.Duration(ns)
	if d < 10*time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(100 * time.Microsecond)
}

// passing is what goes before the start of a guest: its gate, if it has one, and the
// client's first SYN.
func (b *Boot) passing(ctx context.Context, a *asking) func() error {
	return func() error {
		if b.gate != nil {
			if err := b.gate(ctx); err != nil {
				return err
			}
		}
		return a.now()
	}
}
