// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/client"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/probe"
)

// TestResolve: how finely ready is known is a figure where it is known, and a taint where
// it is much of the total.
func TestResolve(t *testing.T) {
	const us = int64(time.Microsecond)
	timeline := func(ready string, syn, ack, request, response int64) probe.Timeline {
		t := probe.Timeline{ReadyEvent: ready}
		for _, e := range []struct {
			name string
			us   int64
		}{{probe.EventVMMExec, 1000}, {probe.EventSYN, syn}, {probe.EventSYNACK, ack}, {probe.EventFirstRequest, request}, {probe.EventFirstResponse, response}} {
			if e.us != 0 {
				t.Events = append(t.Events, probe.Event{Name: e.name, NS: e.us * us})
			}
		}
		return t
	}
	const wire = probe.EventFirstResponse
	for _, tt := range []struct {
		name   string
		t      probe.Timeline
		c      client.Result
		values map[string]float64
		taints []string
	}{
		{"fine", timeline(wire, 1010, 4900, 4960, 5000), client.Result{AskedBeforeNs: 4750 * us, AskedNs: 4880 * us},
			map[string]float64{ClientResolutionNs: 130e3, ClientRequestNs: 60e3}, nil},
		{"answered before connect(2) had returned", timeline(wire, 1010, 4900, 4960, 5000), client.Result{AskedBeforeNs: 4750 * us, AskedNs: 4930 * us},
			map[string]float64{ClientResolutionNs: 150e3, ClientRequestNs: 60e3}, nil},
		{"the first attempt since the start", timeline(wire, 4880, 4900, 4960, 5000), client.Result{AskedBeforeNs: 400 * us, AskedNs: 4880 * us},
			map[string]float64{ClientResolutionNs: 3880e3, ClientRequestNs: 60e3}, []string{"client: ready known only to within 3.88ms of 4ms"}},
		{"the first at all", timeline(wire, 4880, 4900, 4960, 5000), client.Result{AskedNs: 4880 * us},
			map[string]float64{ClientResolutionNs: 3880e3, ClientRequestNs: 60e3}, []string{"client: ready known only to within 3.88ms of 4ms"}},
		{"above a twentieth", timeline(wire, 1010, 4900, 4960, 5000), client.Result{AskedBeforeNs: 4679 * us, AskedNs: 4880 * us},
			map[string]float64{ClientResolutionNs: 201e3, ClientRequestNs: 60e3}, []string{"client: ready known only to within 201µs of 4ms"}},
		{"of a slow guest the same is nothing", timeline(wire, 1010, 900900, 900960, 901000), client.Result{AskedBeforeNs: 900679 * us, AskedNs: 900880 * us},
			map[string]float64{ClientResolutionNs: 201e3, ClientRequestNs: 60e3}, nil},
		{"a late request", timeline(wire, 1010, 4000, 4960, 5000), client.Result{AskedBeforeNs: 3950 * us, AskedNs: 3990 * us},
			map[string]float64{ClientResolutionNs: 40e3, ClientRequestNs: 960e3}, []string{"client: its request came 960µs after the SYN-ACK, of 4ms"}},
		{"an attempt before the winner was answered first", timeline(wire, 1010, 4700, 4960, 5000), client.Result{AskedBeforeNs: 4750 * us, AskedNs: 4880 * us},
			map[string]float64{ClientResolutionNs: 130e3, ClientRequestNs: 260e3}, []string{"client: its request came 260µs after the SYN-ACK, of 4ms"}},
		{"user space's times", timeline(wire, 0, 4900, 0, 5000), client.Result{AskedBeforeNs: 4750 * us, AskedNs: 4880 * us},
			map[string]float64{ClientResolutionNs: 130e3}, nil},
		{"ready on the console", timeline(probe.EventConsoleReady, 1010, 4900, 4960, 5000), client.Result{AskedNs: 4880 * us}, nil, nil},
		{"never ready", timeline(wire, 1010, 0, 0, 0), client.Result{}, nil, nil},
	} {
		s := Sample{Timeline: tt.t, Client: tt.c}
		s.resolve()
		if diff := cmp.Diff(tt.values, s.Values); diff != "" {
			t.Errorf("%s: values (-want +got):\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.taints, s.Taints); diff != "" {
			t.Errorf("%s: taints (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestInterval: clients share their CPUs, and leave most of a guest's to it.
func TestInterval(t *testing.T) {
	for _, tt := range []struct {
		name     string
		cpus     cpu.Plan
		parallel int
		want     time.Duration
		apart    bool
	}{
		{"alone", cpu.Plan{VCPU: []int{1}, VMM: []int{2}, Client: []int{0}}, 0, 100 * time.Microsecond, true},
		{"on the guest's", cpu.Plan{VCPU: []int{0}, VMM: []int{0}, Client: []int{0}}, 0, time.Millisecond, false},
		{"no plan", cpu.Plan{}, 1, time.Millisecond, false},
		{"eight on one CPU", cpu.Plan{VMM: []int{1}, Client: []int{0}}, 8, 800 * time.Microsecond, true},
		{"eight on three", cpu.Plan{VMM: []int{1}, Client: []int{0, 2, 3}}, 8, 300 * time.Microsecond, true},
	} {
		b := Boot{CPUs: tt.cpus}
		b.Settings.Parallel = tt.parallel
		if got := b.interval(); got != tt.want || b.clientApart() != tt.apart {
			t.Errorf("%s: %v, apart: %v, want %v, %v", tt.name, got, b.clientApart(), tt.want, tt.apart)
		}
	}
}

// TestClientFailed: what the client failed of is said once; that it got no answer, or was
// ended, is no failure of its own.
func TestClientFailed(t *testing.T) {
	crash := errors.New("the client ended without a result")
	for _, tt := range []struct {
		err  error
		want []string
	}{
		{nil, nil},
		{crash, []string{"client: " + crash.Error()}},
		{fmt.Errorf("ask: %w", client.ErrTimeout), nil},
		{fmt.Errorf("ask: %w", context.Canceled), nil},
	} {
		a := &asking{process: &client.Process{}, stop: func() {}, done: make(chan struct{}), err: tt.err}
		close(a.done)
		var s Sample
		a.end(&s)
		a.end(&s)
		if diff := cmp.Diff(tt.want, s.Taints); diff != "" {
			t.Errorf("%v: taints (-want +got):\n%s", tt.err, diff)
		}
	}
}
