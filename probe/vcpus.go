// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"slices"

	"github.com/ukprobe/ukprobe/bpf"
)

// VCPUs lists the threads of the guest's vCPUs that the host kernel has seen in KVM
// until now, by their ids: the number that a thread is known by in the initial pid
// namespace. A vCPU that the guest has not started may be missing; one whose thread
// has ended is.
func (w *Watch) VCPUs() ([]int, error) {
	var tid, index uint32
	var out []int
	it := w.p.loader.maps[bpf.KVMMapThreads].Iterate()
	for it.Next(&tid, &index) {
		var v bpf.KVMVcpuState
		if err := w.p.loader.maps[bpf.KVMMapVcpus].Lookup(index, &v); err != nil {
			return nil, fmt.Errorf("state of thread %d: %w", tid, err)
		}
		if v.Slot == w.slot && v.Tid == tid {
			out = append(out, int(tid))
		}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("threads of vCPUs: %w", err)
	}
	slices.Sort(out)
	return out, nil
}
