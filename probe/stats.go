// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ukprobe/ukprobe/bpf"
)

// ProgramStat is what the kernel says of one program of ours that is loaded.
type ProgramStat struct {
	Hook    string
	Rung    Rung
	Program string // its name in the object file
	ID      ebpf.ProgramID
	// Runs and Time are counted by the kernel only while somebody has switched
	// its BPF statistics on (ebpf.EnableStats, Linux 5.8). Time leaves out what
	// it takes to get to the program and back.
	Runs uint64
	Time time.Duration
}

// ProgramStats reads the statistics of every program that is loaded now: those of
// the hooks that are attached, and the two of network devices once one was
// watched. An on-demand hook that nobody holds has none.
func (p *Probe) ProgramStats() ([]ProgramStat, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []ProgramStat
	add := func(hook string, rung Rung, name string, prog *ebpf.Program) error {
		s, err := programStat(hook, rung, name, prog)
		out = append(out, s)
		return err
	}
	for _, s := range p.states {
		for i, a := range s.attached {
			if err := add(s.hook.name, s.rung, s.hook.rungs[s.rung][i].name, a.prog); err != nil {
				return nil, err
			}
		}
	}
	if p.tc == nil {
		return out, nil
	}
	if err := add(HookTCOut, p.tc.rung, bpf.NetProgTcOut, p.tc.out); err != nil {
		return nil, err
	}
	return out, add(HookTCIn, p.tc.rung, bpf.NetProgTcIn, p.tc.in)
}

func programStat(hook string, rung Rung, name string, prog *ebpf.Program) (ProgramStat, error) {
	s := ProgramStat{Hook: hook, Rung: rung, Program: name}
	info, err := prog.Info()
	if err != nil {
		return s, fmt.Errorf("read the kernel's information on BPF program %s: %w", name, err)
	}
	s.ID, _ = info.ID()
	stats, err := prog.Stats()
	if err != nil {
		return s, fmt.Errorf("read the kernel's statistics of BPF program %s: %w", name, err)
	}
	s.Runs, s.Time = stats.RunCount, stats.Runtime
	return s, nil
}
