// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// roundBoot makes boots of so many guests at once; $n is each one's number, in the order
// of their starts, and dir has a folder of that name for each.
func roundBoot(t *testing.T, guests int, shell string) (b *Boot, dir string) {
	t.Helper()
	b, _ = newBoot(t, "")
	dir = t.TempDir()
	b.Instrument, b.WorkDir = Userspace{}, t.TempDir()
	b.Platform = program{argv: []string{"/bin/sh", "-c", "n=1; until mkdir " + dir + "/$n 2>/dev/null; do n=$((n+1)); done; " + shell}}
	b.Settings = matrix.DefaultSettings()
	b.Settings.Timeout, b.Settings.Parallel = 20*time.Second, guests
	return b, dir
}

func TestParallel(t *testing.T) {
	for _, tt := range []struct {
		name, shell string
		timeout     time.Duration
		status      string
		reason      string // begins and ends like this
	}{
		{"all ready", "[ $n = 2 ] && sleep 0.4; echo ready; exec sleep 60", 0, OK, ""},
		{"all ready and gone", "echo ready", 0, OK, ""},
		{"one ends early", "[ $n = 2 ] && exit 4; echo ready; exec sleep 60", 0, Failed, "1 of 3 guests failed (…: exit status 4; it printed nothing"},
		{"two are too late", "[ $n = 2 ] && echo ready; exec sleep 60", 5 * time.Second, Timeout, "2 of 3 guests failed (…; it printed nothing"},
		{"late and early", "[ $n = 2 ] && exit 4; [ $n = 1 ] && echo ready; exec sleep 60", 5 * time.Second, Failed, "2 of 3 guests failed (…; it printed nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := roundBoot(t, 3, tt.shell)
			if tt.timeout != 0 {
				b.Settings.Timeout = tt.timeout
			}
			s, err := (&Parallel{Boot: b}).Sample(t.Context(), "s0")
			if err != nil {
				t.Fatal(err)
			}
			begin, end, _ := strings.Cut(tt.reason, "…")
			if s.Status != tt.status || !strings.HasPrefix(s.Reason, begin) || !strings.HasSuffix(s.Reason, end) || len(s.Guests) != 3 {
				t.Errorf("%s: %q of %d guests; want %s: %q", s.Status, s.Reason, len(s.Guests), tt.status, tt.reason)
			}
			if _, there := s.Values[AllReadyNs]; there != (tt.status == OK) {
				t.Errorf("values %v of a sample that is %s", s.Values, s.Status)
			}
		})
	}
}

// TestParallelFigures: they are those of the guests that are kept, the timeline is the
// slowest's, and no guest ends before all are ready.
func TestParallelFigures(t *testing.T) {
	b, _ := roundBoot(t, 4, "[ $n = 2 ] && sleep 0.4; echo ready; exec sleep 60")
	b.GuestCPUs = []cpu.Plan{{VMM: []int{0}}, {VMM: []int{0}}, {VMM: []int{0}}, {VMM: []int{0}}}
	s := sampled(t, &Parallel{Boot: b})
	var first, last, lastStart, lastReady int64
	var slowest time.Duration
	for i, g := range s.Guests {
		start, _ := g.Timeline.At(probe.EventVMMExec)
		ready, ok := g.Timeline.At(probe.EventConsoleReady)
		if g.Status != OK || !ok {
			t.Fatalf("guest %d: %s %s", i+1, g.Status, g.Reason)
		}
		if i == 0 {
			first, last = start.NS, ready.NS
		}
		first, last = min(first, start.NS), min(last, ready.NS)
		lastStart, lastReady = max(lastStart, start.NS), max(lastReady, ready.NS)
		slowest = max(slowest, *g.Timeline.Phases().Total)
	}
	for i, g := range s.Guests {
		if exit, ok := g.Timeline.At(probe.EventVMMExit); !ok || exit.NS < lastReady {
			t.Errorf("guest %d ended before all were ready", i+1)
		}
	}
	for name, want := range map[string]int64{AllReadyNs: lastReady - first, FirstReadyNs: last - first, StartsSpreadNs: lastStart - first, Guests: 4} {
		if got := int64(s.Values[name]); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if total := *s.Timeline.Phases().Total; total != slowest || total < 400*time.Millisecond || *s.Guests[int(s.Values[SlowestGuest])-1].Timeline.Phases().Total != total {
		t.Errorf("the timeline's total is %v, the slowest's %v; guest %v", total, slowest, s.Values[SlowestGuest])
	}
	if least, median := s.Values[TotalMinNs], s.Values[TotalMedianNs]; least > median || median > float64(slowest) || s.Values[bootsPerSecond] > 10 {
		t.Errorf("values %v", s.Values)
	}
}

// TestParallelHeld: no guest starts if one cannot be prepared, and the others are not to
// blame.
func TestParallelHeld(t *testing.T) {
	b, dir := roundBoot(t, 3, "echo ready; exec sleep 60")
	launches := 0
	p := b.Platform.(program)
	p.more = func(l *platform.Launch) {
		if launches++; launches == 2 {
			l.Copies = map[string]string{"disk": filepath.Join(dir, "missing")}
		}
	}
	b.Platform = p
	s, err := (&Parallel{Boot: b}).Sample(t.Context(), "s0")
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != Failed || !strings.HasPrefix(s.Reason, "1 of 3 guests failed (2): guest 2: copy ") {
		t.Errorf("%s: %s", s.Status, s.Reason)
	}
	if started, _ := os.ReadDir(dir); len(started) > 0 {
		t.Errorf("%d guests were started", len(started))
	}
}

func TestParallelInterrupted(t *testing.T) {
	b, _ := roundBoot(t, 3, "[ $n = 1 ] && echo ready; exec sleep 60")
	ctx, interrupt := context.WithCancel(t.Context())
	time.AfterFunc(500*time.Millisecond, interrupt)
	s, err := (&Parallel{Boot: b}).Sample(ctx, "s0")
	if err != nil || s.Status != Interrupted {
		t.Errorf("%s: %s, %v", s.Status, s.Reason, err)
	}
}
