// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// slowing are the program types that can sit on a guest's path to KVM; tc, cgroup
// and the like do not.
var slowing = []ebpf.ProgramType{
	ebpf.Kprobe, ebpf.TracePoint, ebpf.RawTracepoint, ebpf.RawTracepointWritable, ebpf.PerfEvent, ebpf.Tracing, ebpf.LSM,
}

// Programs are BPF programs with their names.
type Programs map[ebpf.ProgramID]string

// Programs are those of the probe that are loaded now, under their names in the
// object files: see [Probe.ProgramStats].
func (p *Probe) Programs() (Programs, error) {
	stats, err := p.ProgramStats()
	if err != nil {
		return nil, err
	}
	out := make(Programs, len(stats))
	for _, s := range stats {
		out[s.ID] = s.Program
	}
	return out, nil
}

// TracingPrograms lists, with their names in the kernel (at most 15 bytes), all
// BPF programs loaded on this host that can be attached to the kernel's own code
// and so slow a guest down: ours, a security agent's, another tool's. Needs root.
func TracingPrograms() (Programs, error) {
	out := Programs{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the BPF programs: %w%s", err, privilegeHint(err))
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
			out[id] = kernelName(prog)
		}
		if err := prog.Close(); err != nil {
			return nil, fmt.Errorf("close BPF program %d: %w", id, err)
		}
	}
}

func kernelName(p *ebpf.Program) string {
	info, err := p.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// Await waits, at most so long, until the tracing programs that are loaded are
// exactly p: the kernel takes programs away some moments after they were closed, and
// another ukprobe may be at work. It looks at least once. The error is the context's
// cause, or that of [TracingPrograms].
func (p Programs) Await(ctx context.Context, atMost time.Duration) (bool, error) {
	for deadline := time.Now().Add(atMost); ; {
		now, err := TracingPrograms()
		if err != nil {
			return false, err
		}
		if maps.Equal(now, p) {
			return true, nil
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Undisturbed tells whether the tracing programs that are loaded now are all of p
// and, besides, none but ours. One that came and went in between is not noticed.
func (p Programs) Undisturbed(ours Programs) (bool, error) {
	now, err := TracingPrograms()
	if err != nil {
		return false, err
	}
	for id := range now {
		_, old := p[id]
		if _, mine := ours[id]; !old && !mine {
			return false, nil
		}
	}
	for id := range p {
		if _, still := now[id]; !still {
			return false, nil
		}
	}
	return true, nil
}

// CountRuns switches the kernel's statistics of BPF programs on (Linux 5.8), for
// [Probe.ProgramStats], until the returned Closer is closed. They cost every run
// of every program some ten nanoseconds.
func CountRuns() (io.Closer, error) {
	on, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return nil, fmt.Errorf("switch the kernel's BPF statistics on (Linux 5.8): %w%s", err, privilegeHint(err))
	}
	return on, nil
}
