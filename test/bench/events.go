// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/probe"
)

// eventRow is one program on one rung: the kernel's own measure of it, one value
// per round.
type eventRow struct {
	Hook    string    `json:"hook"`
	Rung    string    `json:"rung"`
	Program string    `json:"program"`
	Runs    uint64    `json:"runs"`       // of all rounds
	NS      []float64 `json:"ns_per_run"` // by round
}

// eventTask makes the guest pass every hook that a guest without a network can.
func (b *bench) eventTask() reference.Cmdline {
	return reference.Cmdline{PIO: b.pio, CPUID: b.cpuid, HLT: 20}
}

// datagrams that are sent on the loopback device while a guest runs, so that the
// hooks of network devices fire, for a device that is not watched.
const datagrams = 2000

// events runs the guest under the kernel's BPF statistics, once per condition and
// round. A program that never ran has a row without values.
func (b *bench) events(ctx context.Context) ([]eventRow, error) {
	have, _, err := b.available(ctx, ownConditions())
	if err != nil {
		return nil, err
	}
	var own []rig.Condition
	for _, c := range have {
		own = append(own, c.Condition)
	}
	have = withoutTool(rig.SingleRungs(own))
	var rows []eventRow
	at := map[[3]string]int{}
	for range b.eventRounds {
		for _, i := range b.rand.Perm(len(have)) {
			stats, err := b.programTimes(ctx, have[i])
			if err != nil {
				return nil, fmt.Errorf("condition %s: %w", have[i].Name, err)
			}
			for _, s := range stats {
				key := [3]string{s.Hook, string(s.Rung), s.Program}
				if _, ok := at[key]; !ok {
					at[key] = len(rows)
					rows = append(rows, eventRow{Hook: s.Hook, Rung: string(s.Rung), Program: s.Program})
				}
				rows[at[key]].add(s.Runs, float64(s.Time))
			}
		}
	}
	return rows, nil
}

func (r *eventRow) add(runs uint64, ns float64) {
	if r.Runs += runs; runs > 0 {
		r.NS = append(r.NS, ns/float64(runs))
	}
}

// programTimes runs one guest under one condition.
func (b *bench) programTimes(ctx context.Context, c condition) (_ []probe.ProgramStat, err error) {
	o, err := b.begin(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	on, err := probe.CountRuns()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, on.Close()) }()
	sent := make(chan error, 1)
	go func() { sent <- sendLoopback() }()
	_, err = b.boot(ctx, b.eventTask(), o)
	if err = errors.Join(err, <-sent); err != nil {
		return nil, err
	}
	return o.probe.ProgramStats()
}

// sendLoopback sends to a socket of its own on 127.0.0.1.
func sendLoopback() error {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("listen on the loopback device: %w", err)
	}
	from, err := net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		return errors.Join(fmt.Errorf("send on the loopback device: %w", err), to.Close())
	}
	for range datagrams {
		if _, err = from.Write([]byte("x")); err != nil {
			err = fmt.Errorf("send on the loopback device: %w", err)
			break
		}
	}
	return errors.Join(err, from.Close(), to.Close())
}

// ownCgroup opens the cgroup v2 directory that this process is in.
func (b *bench) ownCgroup() (*os.File, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find this process's cgroup: %w", err)
	}
	path, err := cgroupPath(string(text))
	if err != nil {
		return nil, err
	}
	return os.Open(b.cgroups.Path + path)
}

// cgroupPath finds the v2 path in the text of /proc/self/cgroup (cgroups(7)).
func cgroupPath(text string) (string, error) {
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path, nil
		}
	}
	return "", errors.New("this process is in no cgroup v2: no line 0:: in /proc/self/cgroup")
}
