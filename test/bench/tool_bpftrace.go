// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/guests/reference"
)

// entryExit is the well-known one-liner: how long from an exit to the next entry, by
// reason.
const entryExit = `
tracepoint:kvm:kvm_exit { @start[tid] = nsecs; @reason[tid] = args->exit_reason; }
tracepoint:kvm:kvm_entry /@start[tid]/ {
	@ns[@reason[tid]] = hist(nsecs - @start[tid]);
	delete(@start[tid]); delete(@reason[tid]);
}`

// portExit is its like for a KVM that only emulates, where those two never fire: how
// long from a port access to the exit to the VMM, by port; CPUIDs and wake-ups counted.
const portExit = `
tracepoint:kvm:kvm_pio { @start[tid] = nsecs; @reason[tid] = args->port; }
tracepoint:kvm:kvm_userspace_exit /@start[tid]/ {
	@ns[@reason[tid]] = hist(nsecs - @start[tid]);
	delete(@start[tid]); delete(@reason[tid]);
}
tracepoint:kvm:kvm_cpuid { @cpuid = count(); }
tracepoint:kvm:kvm_vcpu_wakeup { @halt = count(); }`

// ticks go first: bpftrace attaches in some order within milliseconds, and the second
// tick comes half a second after the first probe was attached.
const ticks = `interval:ms:250 { printf("tick\n"); }`

// bpftraceRun is bpftrace at work.
type bpftraceRun struct {
	*process
	dir  string
	read func(bpftraceMaps) map[answer]uint64
}

const bpftraceOut = "bpftrace.json"

func startBpftrace(script string, read func(bpftraceMaps) map[answer]uint64) func(context.Context, tool, string) (session, error) {
	return func(ctx context.Context, t tool, dir string) (session, error) {
		p, err := launch(dir, nil, t.program, "-f", "json", "-o", bpftraceOut, "-e", ticks+script)
		if err != nil {
			return nil, err
		}
		err = p.wait(ctx, func() (bool, error) {
			text, _ := os.ReadFile(filepath.Join(dir, bpftraceOut)) // not there yet
			return strings.Count(string(text), "tick") >= 2, nil
		})
		if err != nil {
			p.cancel()
			return nil, err
		}
		return &bpftraceRun{process: p, dir: dir, read: read}, nil
	}
}

func (p *bpftraceRun) stop(context.Context) (account, error) {
	var a account
	if err := p.interrupt(); err != nil {
		return a, err
	}
	text, err := os.ReadFile(filepath.Join(p.dir, bpftraceOut))
	if err != nil {
		return a, fmt.Errorf("bpftrace left no output: %w: %s", err, p.lastWords())
	}
	maps, err := parseBpftrace(text)
	if err != nil {
		return a, err
	}
	a.CPU, a.Bytes, a.Seen = p.cpu(), int64(len(text)), p.read(maps)
	return a, nil
}

// bpftraceMaps are the counts in a bpftrace program's maps, by map and key; a
// histogram's is the sum of its buckets. A map without keys has the key "".
type bpftraceMaps map[string]map[string]uint64

// parseBpftrace reads the output of bpftrace -f json: one object per line.
func parseBpftrace(text []byte) (bpftraceMaps, error) {
	out := bpftraceMaps{}
	in := bufio.NewScanner(bytes.NewReader(text))
	in.Buffer(nil, len(text)+1)
	for in.Scan() {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		var line struct {
			Type string
			Data json.RawMessage
		}
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("read bpftrace's output: %w", err)
		}
		if line.Type != "hist" && line.Type != "map" {
			continue
		}
		var maps map[string]json.RawMessage
		if err := json.Unmarshal(line.Data, &maps); err != nil {
			return nil, fmt.Errorf("read bpftrace's maps: %w", err)
		}
		for name, raw := range maps {
			counts, err := bpftraceCounts(raw)
			if err != nil {
				return nil, fmt.Errorf("read bpftrace's map %s: %w", name, err)
			}
			out[name] = counts
		}
	}
	return out, in.Err()
}

// bpftraceCounts reads one map: a number, or by key a number or a histogram.
func bpftraceCounts(raw json.RawMessage) (map[string]uint64, error) {
	var one uint64
	if json.Unmarshal(raw, &one) == nil {
		return map[string]uint64{"": one}, nil
	}
	var keyed map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keyed); err != nil {
		return nil, err
	}
	out := map[string]uint64{}
	for key, value := range keyed {
		var n uint64
		if json.Unmarshal(value, &n) != nil {
			var buckets []struct{ Count uint64 }
			if err := json.Unmarshal(value, &buckets); err != nil {
				return nil, err
			}
			for _, b := range buckets {
				n += b.Count
			}
		}
		out[key] = n
	}
	return out, nil
}

// readEntryExit: reasons are the vendor's, VMX's below SVM's (arch/x86/include/uapi/asm:
// vmx.h and svm.h). A host has one vendor, whose codes are given.
func readEntryExit(io, cpuid, hlt int) func(bpftraceMaps) map[answer]uint64 {
	return func(m bpftraceMaps) map[answer]uint64 {
		ns := m["@ns"]
		return map[answer]uint64{ioExits: ns[strconv.Itoa(io)], cpuids: ns[strconv.Itoa(cpuid)], halts: ns[strconv.Itoa(hlt)]}
	}
}

func readPortExit(m bpftraceMaps) map[answer]uint64 {
	return map[answer]uint64{portWrites: m["@ns"][strconv.Itoa(reference.PIOPort)], cpuids: m["@cpuid"][""], halts: m["@halt"][""]}
}
