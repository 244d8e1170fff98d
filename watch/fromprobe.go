// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"sync"

	"github.com/ukprobe/ukprobe/probe"
)

// ProbeSource is a Source made of a probe.Probe.
type ProbeSource struct {
	p      *probe.Probe
	events chan Event
	done   chan struct{}
	stop   func()

	mu  sync.Mutex
	vms map[uint64]*probe.VM // not yet released
}

// FromProbe makes a Source of a probe that was opened with Options.Discover. Close
// it before the probe.
func FromProbe(p *probe.Probe) *ProbeSource {
	done := make(chan struct{})
	s := &ProbeSource{p: p, events: make(chan Event), done: done, stop: sync.OnceFunc(func() { close(done) }), vms: map[uint64]*probe.VM{}}
	go s.forward()
	return s
}

// Close ends the telling of events.
func (s *ProbeSource) Close() { s.stop() }

// forward translates the probe's events.
func (s *ProbeSource) forward() {
	defer close(s.events)
	for {
		select {
		case <-s.done:
			return
		case e, ok := <-s.p.VMs():
			if !ok {
				return
			}
			select {
			case s.events <- Event{Guest: s.guest(e.VM, !e.Gone), Gone: e.Gone}:
			case <-s.done:
				return
			}
		}
	}
}

// guest translates a VM and remembers it until it is released.
func (s *ProbeSource) guest(vm *probe.VM, arrived bool) Guest {
	if arrived {
		s.mu.Lock()
		s.vms[vm.ID] = vm
		s.mu.Unlock()
	}
	return Guest{ID: vm.ID, PID: vm.PID, Start: vm.Start, Found: vm.Found, Counts: vm.Watch.Counts}
}

// Events implements Source.
func (s *ProbeSource) Events() <-chan Event { return s.events }

// Adopt implements Source.
func (s *ProbeSource) Adopt(pid int) (Guest, error) {
	vm, err := s.p.Adopt(pid)
	if err != nil {
		return Guest{}, err
	}
	return s.guest(vm, true), nil
}

// Release implements Source.
func (s *ProbeSource) Release(id uint64, ignore bool) error {
	s.mu.Lock()
	vm := s.vms[id]
	delete(s.vms, id)
	s.mu.Unlock()
	if vm == nil {
		return fmt.Errorf("VM %d was given back already", id)
	}
	return s.p.Release(vm, ignore)
}

// WatchNetwork implements Source: it attaches to the first of the VM's taps, which
// is all that an instrument's slot has room for. Only by tcx: clsact would stay
// behind on the device if ukprobe were killed.
func (s *ProbeSource) WatchNetwork(id uint64) (device string, err error) {
	s.mu.Lock()
	vm := s.vms[id]
	s.mu.Unlock()
	if vm == nil {
		return "", fmt.Errorf("VM %d was given back already", id)
	}
	taps, err := probe.TapsOf(vm.PID)
	if err != nil || len(taps) == 0 {
		return "", err
	}
	for i := range taps {
		defer func() { err = errors.Join(err, taps[i].Close()) }()
	}
	if err := taps[0].Do(func() error { return vm.Watch.WatchDeviceByTCX(taps[0].Ifindex) }); err != nil {
		return "", err
	}
	return taps[0].Name, nil
}

// Beyond implements Source.
func (s *ProbeSource) Beyond() uint64 { return s.p.Beyond() }

// Hooks implements Source.
func (s *ProbeSource) Hooks() []probe.HookStatus { return s.p.Hooks() }
