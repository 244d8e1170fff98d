// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/probe"
)

// TestDuring: what an experiment does with a guest that is ready, and how that ends.
func TestDuring(t *testing.T) {
	wait := func(ctx context.Context, _ *Live) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	tests := []struct {
		name      string
		shell     string
		ready     bool
		do        func(ctx context.Context, l *Live) error
		interrupt bool
		status    string
		reason    string
		called    bool
	}{
		{"used", "exec sleep 60", true, func(_ context.Context, l *Live) error { l.Value("answers", 42); return nil }, false, OK, "", true},
		{"its error", "exec sleep 60", true, func(context.Context, *Live) error { return errors.New("wrk: no answer") }, false, Failed, "throughput: wrk: no answer", true},
		{"the guest ends", "sleep 0.4; echo bye >&2; exit 7", true, wait, false, Failed, "the process ended during throughput: exit status 7: bye", true},
		{"takes too long", "exec sleep 60", true, wait, false, Timeout, "throughput was not over after 600ms", true},
		{"interrupted", "exec sleep 60", true, wait, true, Interrupted, "interrupted", true},
		{"never ready", "exec sleep 60", false, wait, false, Timeout, "not ready after", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, s := newBoot(t, tt.shell)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			called := false
			b.Experiment, b.Settings.Timeout = "throughput", 500*time.Millisecond
			b.During = &During{Limit: 600 * time.Millisecond, Do: func(ctx context.Context, l *Live) error {
				called = true
				if tt.interrupt {
					interrupt()
				}
				return tt.do(ctx, l)
			}}
			if tt.name == "the guest ends" {
				b.During.Limit = 20 * time.Second
			}
			if tt.ready {
				s.happens(probe.EventConsoleReady, 1)
			}
			got := sample(t, ctx, b)
			if got.Status != tt.status || !strings.HasPrefix(got.Reason, tt.reason) || called != tt.called {
				t.Errorf("%s: %q, used %v; want %s: %q, %v", got.Status, got.Reason, called, tt.status, tt.reason, tt.called)
			}
			if tt.name == "used" && got.Values["answers"] != 42 {
				t.Errorf("values %v", got.Values)
			}
		})
	}
}
