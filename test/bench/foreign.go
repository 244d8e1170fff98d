// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
)

// foreign holds, with their names, BPF programs that can be attached to the
// kernel's own code and so slow a guest down: those that are not the bench's, of a
// security agent or of another ukprobe.
type foreign map[ebpf.ProgramID]string

// slowing are the types that count; tc, cgroup and the like are not on a guest's
// path to KVM.
var slowing = []ebpf.ProgramType{
	ebpf.Kprobe, ebpf.TracePoint, ebpf.RawTracepoint, ebpf.RawTracepointWritable, ebpf.PerfEvent, ebpf.Tracing, ebpf.LSM,
}

// tracingPrograms lists those that are loaded now.
func tracingPrograms() (foreign, error) {
	out := foreign{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the BPF programs: %w", err)
		}
		id = next
		prog, err := ebpf.NewProgramFromID(id)
		if errors.Is(err, os.ErrNotExist) { // it has gone in between
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open BPF program %d: %w", id, err)
		}
		if slices.Contains(slowing, prog.Type()) {
			out[id] = nameOf(prog)
		}
		if err := prog.Close(); err != nil {
			return nil, err
		}
	}
}

// nameOf is the kernel's name of a program, at most 15 bytes, or "".
func nameOf(p *ebpf.Program) string {
	info, err := p.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// settle finds the baseline: it waits until no such program is loaded, and after
// b.wait takes what is still there to stay (a security agent).
func (b *bench) settle(ctx context.Context) error {
	b.foreign = foreign{}
	alone, err := b.onlyBaseline(ctx)
	if err != nil || alone {
		return err
	}
	b.foreign, err = tracingPrograms()
	return err
}

// onlyBaseline waits, at most b.wait, until nothing is loaded but the baseline: the
// kernel takes programs away some time after they were closed, and another
// ukprobe may be at work.
func (b *bench) onlyBaseline(ctx context.Context) (bool, error) {
	for deadline := time.Now().Add(b.wait); ; {
		now, err := tracingPrograms()
		if err != nil {
			return false, err
		}
		if maps.Equal(now, b.foreign) {
			return true, nil
		}
		if b.crowded || time.Now().After(deadline) {
			return false, nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return false, err
		}
	}
}

// undisturbed tells whether the programs loaded now are the baseline's and ours.
func (b *bench) undisturbed(ours foreign) (bool, error) {
	now, err := tracingPrograms()
	if err != nil {
		return false, err
	}
	for id := range now {
		_, old := b.foreign[id]
		if _, mine := ours[id]; !old && !mine {
			return false, nil
		}
	}
	for id := range b.foreign {
		if _, still := now[id]; !still {
			return false, nil
		}
	}
	return true, nil
}
