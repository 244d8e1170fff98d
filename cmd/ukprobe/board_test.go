// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/internal/screentest"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// recorded are the events of a real boot (Linux under QEMU's microvm, KVM that only
// emulates), with their times since the first in µs.
var recorded = []struct {
	name string
	us   int64
}{
	{probe.EventVMMExec, 0}, {probe.EventVMCreate, 41_210}, {probe.EventVMCreated, 41_390}, {probe.EventVCPUCreated, 44_020},
	{probe.EventFirstRun, 61_470}, {probe.EventGuestEntry, 61_502}, {probe.EventFirmwareEnd, 83_911}, {probe.EventKernel, 84_320},
	{probe.EventConsoleFirst, 412_834}, {probe.EventConsoleReady, 1_103_577}, {probe.EventIdle, 1_104_019},
}

func seen(n int) probe.Timeline {
	t := probe.Timeline{ReadyEvent: probe.EventConsoleReady}
	for _, e := range recorded[:n] {
		t.Events = append(t.Events, probe.Event{Name: e.name, NS: 7_000_000_000 + e.us*1000})
	}
	return t
}

func okSample(total time.Duration) results.Sample {
	ns := total.Nanoseconds()
	return results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: &ns}}
}

// stepTo is where a run of two cells is.
func stepTo(step int, apart bool) orchestrate.Progress {
	at := orchestrate.Progress{Step: step, Steps: 24, Cells: 2, CellsDone: 0, Accel: "kvm", Experiment: "boot", Samples: 12, Left: time.Duration(24-step) * 7 * time.Second, Apart: apart}
	at.Cell, at.Sample = "linux/nginx/qemumicrovm/boot", (step+1)/2
	if step%2 == 0 {
		at.Cell = "reference/hello/qemumicrovm/boot"
	}
	if step >= 23 {
		at.CellsDone = 1
	}
	return at
}

// TestBoard plays a run and looks at the screen at some moments of it.
func TestBoard(t *testing.T) {
	for name, c := range map[string]struct {
		width, height int
		env           []string
	}{
		"wide":   {110, 24, []string{"LC_ALL=C.UTF-8"}},
		"narrow": {50, 12, []string{"LC_ALL=C"}},
		"low":    {80, 5, []string{"LC_ALL=C.UTF-8"}},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, append(c.env, "TERM=xterm", "NO_COLOR=1"))
			s := screentest.New(t, c.width, c.height)
			b, ok := newProgress(s.TTY, false).(*board)
			if !ok {
				t.Fatal("no live view on a terminal")
			}
			now := time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC)
			b.now = func() time.Time { return now }
			var film strings.Builder
			show := func(what string) {
				t.Helper()
				lines := s.Mark(t, "<"+what+">")
				fmt.Fprintf(&film, "%s\n\n", strings.Join(lines, "\n"))
				for _, l := range lines {
					if n := len([]rune(l)); n > c.width {
						t.Errorf("%s: a line of %d columns: %q", what, n, l)
					}
				}
			}
			play(b, &now, show)
			b.Close()
			show("the end")
			golden.Check(t, "board_"+name+".txt", film.String())
		})
	}
}

func setenv(t *testing.T, pairs []string) {
	t.Helper()
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG", "TERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"} {
		t.Setenv(name, "")
	}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		t.Setenv(name, value)
	}
}

// play is a run: its samples' ends are told as they would be.
func play(b *board, now *time.Time, show func(string)) {
	b.Log("metrics: http://127.0.0.1:9435/metrics")
	draw := func() {
		b.area.Pause()
		b.area.Draw()
	}
	b.Begin(stepTo(1, true))
	draw()
	show("begun")
	*now = now.Add(3 * time.Second)
	b.Seen(seen(6))
	draw()
	show("forming")
	b.Seen(seen(len(recorded)))
	b.End(stepTo(1, true), okSample(1103*time.Millisecond))
	draw()
	show("ended")
	for step := 2; step <= 22; step++ {
		b.Begin(stepTo(step, true))
		r := okSample(time.Duration(41_000+step*step*13) * time.Microsecond)
		if step%2 == 1 {
			r = okSample(time.Duration(1_100_000+step*1713) * time.Microsecond)
		}
		if step == 5 {
			r = results.Sample{Status: results.SampleTimeout, Reason: "not ready after 30s: no answer\x1b[2J on TCP port 80"}
		}
		b.End(stepTo(step, true), r)
	}
	b.Begin(stepTo(23, true))
	b.Seen(seen(9))
	draw()
	show("a cell has ended")
}

// TestBoardOnFewCPUs: where the guest's CPUs are ukprobe's, nothing is drawn from a
// sample's beginning to its end, whatever is seen.
func TestBoardOnFewCPUs(t *testing.T) {
	setenv(t, []string{"TERM=xterm", "LC_ALL=C.UTF-8"})
	s := screentest.New(t, 100, 24)
	b := newBoard(s.TTY)
	b.Begin(stepTo(1, false))
	s.Mark(t, "$")
	before := len(s.Raw())
	for n := range recorded {
		b.Seen(seen(n))
		time.Sleep(60 * time.Millisecond) // in all more than the time of two frames
	}
	s.Mark(t, "%")
	if got := s.Raw()[before:]; got != "%" {
		t.Errorf("drawn while the guest booted: %q", got)
	}
	b.End(stepTo(1, false), okSample(time.Second))
	b.area.Pause() // a frame would erase the mark
	b.area.Draw()
	if got := s.Mark(t, "#"); !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "guest_entry 61.5 ms") }) {
		t.Errorf("the timeline is not shown afterwards: %q", got)
	}
	b.Close()
}

// TestBoardFromReady: while a client may be loading a guest that is ready, nothing is
// drawn either.
func TestBoardFromReady(t *testing.T) {
	setenv(t, []string{"TERM=xterm", "LC_ALL=C.UTF-8"})
	s := screentest.New(t, 100, 24)
	b := newBoard(s.TTY)
	b.Begin(stepTo(1, true))
	b.Seen(seen(len(recorded)))
	b.area.Pause() // what was under way has been drawn
	b.Seen(seen(len(recorded)))
	before := len(s.Raw())
	time.Sleep(600 * time.Millisecond)
	s.Mark(t, "$")
	if got := s.Raw()[before:]; !strings.HasSuffix(got, "$") || strings.Count(got, "\x1b[?2026h") > 1 {
		t.Errorf("drawn while it was ready: %q", got)
	}
	b.Seen(seen(3)) // the next guest of the same sample
	s.Wait(t, "the board again", func() bool { return len(s.Raw()) >= before+100 })
	b.Close()
}

// TestNoBoard: what is no terminal, or a dumb one, has plain lines.
func TestNoBoard(t *testing.T) {
	setenv(t, []string{"TERM=dumb", "LC_ALL=C.UTF-8"})
	s := screentest.New(t, 100, 24)
	p := newProgress(s.TTY, false)
	p.Begin(stepTo(1, true))
	p.End(stepTo(1, true), okSample(time.Second))
	p.Close()
	if got := s.Mark(t, "$"); got[0] != "[1/24] linux/nginx/qemumicrovm/boot (kvm) 1/12: 1.00 s, about 2m40s left" || strings.Contains(s.Raw(), "\x1b") {
		t.Errorf("%q", s.Raw())
	}
	if _, ok := newProgress(os.Stderr, true).(noProgress); !ok {
		t.Error("quiet is not quiet")
	}
}

// TestBarTellsWarmUps: a run's boots are not called samples where some are none.
func TestBarTellsWarmUps(t *testing.T) {
	at := orchestrate.Progress{Step: 8, Steps: 77, Warmups: 7, Cells: 7, CellsDone: 0, Left: -1}
	for width, want := range map[int]string{120: " 7/77 boots (70 samples and 7 warm-ups), 0/7 cells", 40: " 7/77 boots, 0/7 cells"} {
		b := &board{at: at}
		if got := b.bar(width); !strings.HasSuffix(got, want) {
			t.Errorf("%d: %q", width, got)
		}
	}
	if what, in := boots(77, 7); what+in != "boots (70 samples and 7 warm-ups)" {
		t.Errorf("%q, %q", what, in)
	}
	if what, in := boots(70, 0); what+in != "samples" {
		t.Errorf("%q, %q", what, in)
	}
}
