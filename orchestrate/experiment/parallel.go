// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
)

// The names of what a round of guests that start at once yields, beside the phases of
// the slowest.
const (
	Guests         = "guests"           // that were started
	AllReadyNs     = "all_ready_ns"     // from the first start to the last ready
	FirstReadyNs   = "first_ready_ns"   // from the first start to the first ready
	StartsSpreadNs = "starts_spread_ns" // from the first start to the last
	TotalMinNs     = "total_min_ns"     // of the guests' own totals
	TotalMedianNs  = "total_median_ns"
	SlowestGuest   = "slowest_guest" // its number, from 1: the timeline is its
	bootsPerSecond = "boots_per_second"
)

// Parallel is the experiment of booting several guests at once, each on a wire, in a
// cgroup and under a watch of its own. A sample is one round of them; it ends when all
// are ready. Its timeline is that of the guest with the longest total.
type Parallel struct{ Boot *Boot }

// Sample implements Sampler.
func (p *Parallel) Sample(ctx context.Context, name string) (Sample, error) {
	r := &round{Parallel: p, name: name, gate: newGate(), release: make(chan struct{})}
	s := Sample{Started: time.Now(), Taints: p.Boot.planTaints()}
	r.prepare(ctx)
	look := p.Boot.Window.Open()
	r.gate.open(r.broken())
	for _, g := range r.guests {
		select {
		case <-g.ready:
		case <-g.done:
		}
	}
	look.Close()
	close(r.release)
	var errs []error
	var boots tally
	for _, g := range r.guests {
		<-g.done
		errs = append(errs, g.err)
		boots.add(g.sample)
		s.Guests = append(s.Guests, g.sample)
		s.Counts.Add(g.sample.Counts)
	}
	boots.into(&s)
	r.judge(ctx, &s)
	look.Counts(r.span())
	return s, errors.Join(errs...)
}

// round is the guests of one sample.
type round struct {
	*Parallel
	name    string
	gate    *gate
	release chan struct{} // closed when they are to end
	guests  []*member
}

// prepare has one guest after another come to the gate, until one cannot. Each then has
// its wire, its cgroup and its folder, and is watched: what is left is fork and exec.
func (r *round) prepare(ctx context.Context) {
	for i := range r.Boot.Settings.Parallel {
		b := *r.Boot
		b.Window = nil // one for all
		if i > 0 {
			b.Seen = nil // the first stands for all
		}
		b.During = &During{Limit: matrix.MaxTimeout, MayEnd: true}
		if i < len(b.GuestCPUs) {
			b.CPUs = b.GuestCPUs[i]
		}
		g := begin(ctx, b, fmt.Sprintf("%s-%d", r.name, i+1), r.gate, r.release)
		r.guests = append(r.guests, g)
		select {
		case <-g.waits:
		case <-g.done:
			return
		}
	}
}

// broken says that not all guests have come to the gate.
func (r *round) broken() error {
	if slices.ContainsFunc(r.guests, (*member).gone) {
		return errHeld
	}
	return nil
}

// mostReasons is how many guests' reasons a sample names.
const mostReasons = 3

// judge says what the sample has come to.
func (r *round) judge(ctx context.Context, s *Sample) {
	slowest := r.slowest()
	var which, why []string
	s.Status = Timeout
	for i, g := range s.Guests {
		if g.Status == OK || r.guests[i].held() {
			continue
		}
		if len(which) == 0 {
			slowest = i
		}
		which = append(which, fmt.Sprint(i+1))
		if len(why) < mostReasons {
			why = append(why, fmt.Sprintf("guest %d: %s", i+1, g.Reason))
		}
		if g.Status != Timeout {
			s.Status = Failed
		}
	}
	s.of(s.Guests[slowest])
	n := r.Boot.Settings.Parallel
	switch {
	case ctx.Err() != nil:
		s.Status, s.Reason = Interrupted, "interrupted"
	case len(which) == 0:
		s.Status = OK
		for _, g := range s.Guests {
			s.ReadyAfter = max(s.ReadyAfter, g.ReadyAfter)
		}
		r.values(s, slowest)
	default:
		s.Reason = fmt.Sprintf("%d of %d guests failed (%s): %s", len(which), n, strings.Join(which, ", "), strings.Join(why, "; "))
		if len(which) > mostReasons {
			s.Reason += "; …"
		}
	}
}

// held: it was not started because of another one.
func (m *member) held() bool { return m.sample.Reason == errHeld.Error() }

// of takes over what a sample shows of one guest.
func (s *Sample) of(g Sample) {
	s.Timeline, s.Lines, s.Stderr, s.Argv, s.Client = g.Timeline, g.Lines, g.Stderr, g.Argv, g.Client
	if how, ok := g.Facts[clientFact]; ok {
		s.fact(clientFact, how)
	}
}

// sums adds up values that all guests have.
func (s *Sample) sums(names ...string) {
	for _, name := range names {
		sum, all := 0.0, true
		for _, g := range s.Guests {
			v, has := g.Values[name]
			sum, all = sum+v, all && has
		}
		if all {
			s.Value(name, sum)
		}
	}
}

// slowest is the guest with the longest total.
func (r *round) slowest() int {
	most, at := time.Duration(-1), 0
	for i, g := range r.guests {
		if total := g.sample.Timeline.Phases().Total; total != nil && *total > most {
			most, at = *total, i
		}
	}
	return at
}

// begun is the event from which a guest's total counts.
func begun(t probe.Timeline) (probe.Event, bool) {
	if e, ok := t.At(probe.EventCreateSent); ok {
		return e, true
	}
	return t.At(probe.EventVMMExec)
}

// span is from the first guest's start until the last one is ready; 0: of one it is not
// known.
func (r *round) span() (from, to int64) {
	for n, g := range r.guests {
		f, t := int64(0), int64(0)
		if e, ok := begun(g.sample.Timeline); ok {
			f = e.NS
		}
		if e, ok := g.sample.Timeline.At(g.sample.Timeline.ReadyEvent); ok {
			t = e.NS
		}
		if n == 0 {
			from, to = f, t
			continue
		}
		from = min(from, f)
		if to != 0 {
			to = max(to, t)
		}
		if t == 0 {
			to = 0
		}
	}
	return from, to
}

// values are the round's figures. Those that need an event which a guest lacks are
// missing.
func (r *round) values(s *Sample, slowest int) {
	n := len(s.Guests)
	s.Value(Guests, float64(n))
	s.sums(CacheFilesBytes, CacheResidentBytes, DiskReadBytes, MajorFaults)
	if all := s.Values[CacheFilesBytes]; all > 0 {
		s.Value(CacheResidentPercent, 100*s.Values[CacheResidentBytes]/all)
	}
	var starts, ready, totals []int64
	for _, g := range s.Guests {
		if e, ok := begun(g.Timeline); ok {
			starts = append(starts, e.NS)
		}
		if e, ok := g.Timeline.At(g.Timeline.ReadyEvent); ok {
			ready = append(ready, e.NS)
		}
		if total := g.Timeline.Phases().Total; total != nil {
			totals = append(totals, total.Nanoseconds())
		}
	}
	if len(starts) < n || len(ready) < n || len(totals) < n {
		for _, name := range []string{AllReadyNs, FirstReadyNs, StartsSpreadNs, TotalMinNs, TotalMedianNs, bootsPerSecond} {
			s.Lacks(name, fmt.Sprintf("of %d guests the start was seen of %d, and that they were ready of %d", n, len(starts), len(ready)))
		}
		return
	}
	first, all := slices.Min(starts), slices.Max(ready)-slices.Min(starts)
	s.Value(AllReadyNs, float64(all))
	s.Value(FirstReadyNs, float64(slices.Min(ready)-first))
	s.Value(StartsSpreadNs, float64(slices.Max(starts)-first))
	slices.Sort(totals)
	s.Value(TotalMinNs, float64(totals[0]))
	s.Value(TotalMedianNs, float64(totals[(n-1)/2]+totals[n/2])/2)
	s.Value(SlowestGuest, float64(slowest+1))
	for _, name := range []string{ClientResolutionNs, ClientRequestNs} {
		if v, ok := s.Guests[slowest].Values[name]; ok {
			s.Value(name, v)
		}
	}
	s.Value(bootsPerSecond, float64(n)*float64(time.Second)/float64(all))
}
