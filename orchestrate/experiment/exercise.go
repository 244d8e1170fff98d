// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/client"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
)

// Exerciser puts a short real load on a guest that is ready. It returns nil if the
// guest stood it. An app that serves nothing has none: it has done all it does when it
// is ready.
type Exerciser func(ctx context.Context, l *Live) error

// The requests of an exercise where the matrix does not say how many, and at most so
// many at the same time.
const (
	ExerciseRequests = 60
	ExerciseAtOnce   = 8
)

// answerTime bounds one answer of a guest that has answered before.
const answerTime = 10 * time.Second

// Requests is the load that every service can be put under: the request with which it
// shows that it is ready, load.requests times, on a connection each. Each answer has to
// begin as the first did.
func Requests(ctx context.Context, l *Live) error {
	w := l.Boot.Settings.Load
	n := cmp.Or(w.Requests, ExerciseRequests)
	first, err := l.request(ctx, nil)
	if err != nil || first == nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var left atomic.Int64
	left.Store(int64(n - 1))
	var wg sync.WaitGroup
	for range max(1, min(ExerciseAtOnce, w.Connections)) {
		wg.Go(func() {
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				if _, err := l.request(ctx, first); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// answer is a guest's, and when it came.
type answer struct {
	text    []byte
	latency time.Duration // from the connection's SYN to the answer's first byte
}

// request asks a guest's service once; without a service it does nothing. like, if not
// nil, is what the answer has to begin as.
func (l *Live) request(ctx context.Context, like *answer) (*answer, error) {
	svc := l.Boot.Image.Service
	if svc == nil || l.Boot.Platform.Wire() == platform.NoWire {
		return nil, nil
	}
	begun := time.Now()
	res, err := client.Ask(ctx, l.Boot.Lab.Do, client.Request{
		Addr: netip.AddrPortFrom(l.Addr, svc.Port), Payload: svc.Request, Timeout: answerTime,
		Interval: answerTime / 20, // a service that listens gets one SYN, and no more
	})
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	if like != nil && !bytes.Equal(firstLine(like.text), firstLine(res.Response)) {
		return nil, fmt.Errorf("it answers %q, and before %q", firstLine(res.Response), firstLine(like.text))
	}
	return &answer{text: res.Response, latency: res.FirstByte.Sub(begun)}, nil
}

// firstLine is what of an answer is the same each time: an HTTP status, a protocol's
// greeting.
func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return line[:min(len(line), 16)]
}

// Briefly is how long a generator's load lasts as an exercise.
const Briefly = time.Second

// Generated is the load of an app's own generator: without a warm-up and, unless it is a
// number of requests, for a second, since an exercise is repeated. Of a hundred answers
// one may be missing or wrong, as in experiment throughput.
func Generated(g workload.Generator, w matrix.Workload) Exerciser {
	w.Warmup, w.Duration, w.Rate = 0, min(w.Duration, Briefly), 0
	return func(ctx context.Context, l *Live) (err error) {
		svc := l.Boot.Image.Service
		if svc == nil || !l.isWired() {
			return nil
		}
		b, err := l.newBench()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.close()) }()
		return g.Load(ctx, trying{b}, netip.AddrPortFrom(l.Addr, svc.Port), w)
	}
}

// trying is a bench on which it only counts whether the service stands the load.
type trying struct{ *bench }

// Measure implements workload.Bench.
func (b trying) Measure(ctx context.Context, _ string, c workload.Command, read func(workload.Ran) (workload.Figures, error)) error {
	r, err := b.Run(ctx, c)
	if err != nil {
		return err
	}
	f, err := read(r)
	if err != nil {
		return err
	}
	return judge(c.Name, f)
}
