// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/client"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

func userspace(t *testing.T, target probe.Target) *userWatch {
	t.Helper()
	w, err := Userspace{}.Watch(target)
	if err != nil {
		t.Fatal(err)
	}
	return w.(*userWatch)
}

// TestUserspaceTimeline: events stand at the times at which user space saw them,
// each marked as such, and every expected one is there or missing with a reason.
func TestUserspaceTimeline(t *testing.T) {
	ready := regexp.MustCompile("^ready$")
	tests := []struct {
		name    string
		target  probe.Target
		happens func(w *userWatch)
		events  map[string]int64
		reasons map[string]string // of some that are missing
		ready   bool
	}{
		{"a console", probe.Target{Ready: ready}, func(w *userWatch) {
			w.Started(100, 150)
			w.Console(200, []byte("boo"))
			w.Console(300, []byte("ting\r\nrea"))
			w.Console(400, []byte("dy\r\nlast"))
			w.Ended(500)
		}, map[string]int64{"vmm_exec": 100, "console_first": 200, "console_ready": 400, "vmm_exit": 500},
			map[string]string{"guest_entry": "--probes none: only the host kernel could see it", "syn_ack": "the app has no service port"}, true},
		{"not ready", probe.Target{Ready: ready}, func(w *userWatch) {
			w.Started(100, 150)
			w.Console(200, []byte("x\nready "))
		}, map[string]int64{"vmm_exec": 100, "console_first": 200},
			map[string]string{"console_ready": `none of 2 console lines matched "^ready$"`, "vmm_exit": "did not happen while the guest was watched"}, false},
		{"an unfinished first line", probe.Target{Ready: ready}, func(w *userWatch) { w.Console(7, []byte("x")) },
			map[string]int64{"console_first": 7}, nil, false},
		{"silent", probe.Target{Ready: ready}, func(*userWatch) {}, map[string]int64{},
			map[string]string{"console_first": "the guest printed nothing", "console_ready": "the guest printed nothing"}, false},
		{"a service", probe.Target{ServicePort: 80}, func(w *userWatch) {
			w.Started(100, 150)
			w.Answered(client.Result{ConnectedNs: 300, FirstByteNs: 350})
		}, map[string]int64{"vmm_exec": 100, "syn_ack": 300, "first_response": 350},
			map[string]string{"console_ready": "not looked for: this app is ready at its first response"}, true},
		{"a service that only connects", probe.Target{ServicePort: 80}, func(w *userWatch) {
			w.Answered(client.Result{ConnectedNs: 300})
		}, map[string]int64{"syn_ack": 300}, map[string]string{"first_response": "the client got no answer"}, false},
	}
	for _, tt := range tests {
		w := userspace(t, tt.target)
		tt.happens(w)
		got := w.Timeline()
		events := map[string]int64{}
		last := int64(0)
		for _, e := range got.Events {
			if e.Rung != RungNone || e.Hook != HookUserspace || e.NS < last {
				t.Errorf("%s: %+v", tt.name, e)
			}
			events[e.Name], last = e.NS, e.NS
		}
		if diff := cmp.Diff(tt.events, events); diff != "" || got.Ready() != tt.ready {
			t.Errorf("%s: ready %v (-want +got):\n%s", tt.name, got.Ready(), diff)
		}
		missing := map[string]string{}
		for _, m := range got.Missing {
			missing[m.Name] = m.Reason
		}
		for _, name := range results.EventOrder {
			if _, there := events[name]; tt.target.Has(name) && there == (missing[name] != "") {
				t.Errorf("%s: %s: there %v, missing because %q", tt.name, name, there, missing[name])
			}
		}
		for name, want := range tt.reasons {
			if missing[name] != want {
				t.Errorf("%s: %s is missing because %q, want %q", tt.name, name, missing[name], want)
			}
		}
	}
}

// TestUserspaceFlood: lines beyond the bound are counted, the one that makes the
// guest ready is kept.
func TestUserspaceFlood(t *testing.T) {
	w := userspace(t, probe.Target{Ready: regexp.MustCompile("^ready$")})
	w.Console(1, []byte(strings.Repeat("x\n", probe.MaxLines+3)))
	w.Console(2, []byte("ready\nready\n"))
	counts, err := w.Counts()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(w.Lines()); n != probe.MaxLines+1 || counts.Lost[probe.LostBeyondBound] != 4 || !w.Timeline().Ready() {
		t.Errorf("%d lines, lost %v, ready %v", n, counts.Lost, w.Timeline().Ready())
	}
}

// TestUserspaceSample times a real process without any probe.
func TestUserspaceSample(t *testing.T) {
	b, _ := newBoot(t, "echo hello; sleep 0.1; echo ready; exec sleep 60")
	b.Instrument, b.Settings.Probes = Userspace{}, matrix.ProbesNone
	s := sample(t, t.Context(), b)
	if s.Status != OK {
		t.Fatalf("%s: %s", s.Status, s.Reason)
	}
	total := s.Timeline.Phases().Total
	if total == nil || *total < 100*time.Millisecond || *total > 10*time.Second {
		t.Errorf("total %v: the process sleeps 100 ms before it is ready", total)
	}
	if s.Counts.Values[StartWindow] == 0 || len(s.Counts.Lost) != 0 {
		t.Errorf("counts %+v", s.Counts)
	}
	first, ok1 := s.Timeline.At(probe.EventConsoleFirst)
	ready, ok2 := s.Timeline.At(probe.EventConsoleReady)
	exit, ok3 := s.Timeline.At(probe.EventVMMExit)
	if !ok1 || !ok2 || !ok3 || ready.NS-first.NS < int64(50*time.Millisecond) || exit.NS < ready.NS {
		t.Errorf("first line %d, ready %d, exit %d", first.NS, ready.NS, exit.NS)
	}
	if len(s.Lines) != 2 || s.Lines[0].Clean() != "hello" || s.Lines[1].Hook != HookUserspace {
		t.Errorf("lines %+v", s.Lines)
	}
}

// TestUserspaceDoesNotPin: without probes the vCPU's thread is not known. That is a
// taint where it would have had a CPU of its own.
func TestUserspaceDoesNotPin(t *testing.T) {
	tests := []struct {
		accel     string
		vcpu, vmm []int
		taints    int
	}{
		{platform.KVM, []int{1}, []int{2}, 1},
		{platform.KVM, []int{1}, []int{1}, 0},
		{platform.KVM, nil, []int{1}, 0},
		{platform.TCG, []int{1}, []int{2}, 0},
	}
	for _, tt := range tests {
		b := &Boot{Accel: tt.accel, CPUs: cpu.Plan{VCPU: tt.vcpu, VMM: tt.vmm}, Settings: matrix.Settings{Probes: matrix.ProbesNone}}
		var s Sample
		var p pinning
		if b.pin(&p, &s, probe.Timeline{}, nil); !p.over || len(s.Taints) != tt.taints {
			t.Errorf("%+v: %q", tt, s.Taints)
		}
	}
}

// TestFullAndRelease: --probes full is passed on, and only there nothing is given
// back at ready.
func TestFullAndRelease(t *testing.T) {
	for probes, want := range map[string]int{matrix.ProbesBoot: 1, matrix.ProbesFull: 0} {
		b, s := newBoot(t, "exec sleep 60")
		b.Settings.Probes = probes
		b.Image = system.Boot{Ready: "^ready$"}
		r := &releasing{script: s}
		b.Instrument = r
		s.happens(probe.EventConsoleReady, 1)
		if got := sample(t, t.Context(), b); got.Status != OK {
			t.Fatalf("%s: %s: %s", probes, got.Status, got.Reason)
		}
		if s.target.Full != (probes == matrix.ProbesFull) || r.released != want {
			t.Errorf("%s: full %v, released %d times, want %d", probes, s.target.Full, r.released, want)
		}
	}
}

// releasing is a script whose hooks can be given back.
type releasing struct {
	*script
	released int
}

func (r *releasing) Watch(t probe.Target) (Watch, error) {
	if _, err := r.script.Watch(t); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *releasing) Release() error { r.released++; return nil }
