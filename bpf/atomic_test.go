// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// TestNoFetch: an atomic operation whose result is used (BPF_FETCH, and the operations
// that came with it) is refused by Linux before 5.12; these programs are for 5.10.
func TestNoFetch(t *testing.T) {
	all := objects(t)
	more := map[string]func() (*ebpf.CollectionSpec, error){"addresses": LoadAddresses, "disk": LoadDisk, "interference": LoadInterference}
	for name, load := range more {
		spec, err := load()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = spec
	}
	atomics := 0
	for name, spec := range all {
		for _, p := range spec.Programs {
			for i, ins := range p.Instructions {
				if ins.OpCode.Class() != asm.StXClass || ins.OpCode.Mode() != asm.AtomicMode {
					continue
				}
				atomics++
				if op := ins.OpCode.AtomicOp(); op != asm.AddAtomic {
					t.Errorf("%s, program %s, instruction %d: %s is not in Linux 5.10", name, p.Name, i, op)
				}
			}
		}
	}
	if atomics == 0 {
		t.Error("no atomic addition in any program: the test looks for the wrong thing")
	}
}
