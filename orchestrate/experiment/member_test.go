// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// TestMembersBoot: what density says of one guest's boot is what experiment boot says, also
// of a container, whose begins before its exec.
func TestMembersBoot(t *testing.T) {
	b, s := newBoot(t, "unused")
	closed := false
	withLaunch(t, b, func(l *platform.Launch) {
		l.Start = func(_ context.Context, o platform.StartOptions) (platform.Started, error) {
			cmd := exec.Command("/bin/sh", "-c", "exec sleep 60")
			o.Event(probe.EventCreateSent)
			time.Sleep(50 * time.Millisecond) // the engine
			if err := cmd.Start(); err != nil {
				return nil, err
			}
			s.happens(probe.EventVMMExec, monotonicNs())
			s.happens(probe.EventConsoleReady, monotonicNs())
			return somebody{cmd, &closed}, nil
		}
	})
	release := make(chan struct{})
	m := begin(t.Context(), *b, "s0", nil, release)
	select {
	case <-m.ready:
	case <-m.done:
	}
	close(release)
	<-m.done
	if m.err != nil || m.sample.Status != OK {
		t.Fatal(m.err, m.sample.Status, m.sample.Reason)
	}
	total := m.sample.Timeline.Phases().Total
	if total == nil || m.bootNs != total.Nanoseconds() || *total < 50*time.Millisecond {
		t.Errorf("boot of %d ns, and in its timeline %v", m.bootNs, total)
	}
}
