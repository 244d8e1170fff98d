// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/workload/openloop"
)

// micros are latencies in µs, each with how many there are.
type micros map[uint32]uint64

// into adds the quantiles to the figures.
func (a micros) into(f *Figures) {
	total := uint64(0)
	for _, n := range a {
		total += n
	}
	latencies := slices.Sorted(maps.Keys(a))
	f.Missing = map[string]string{}
	for name, q := range openloop.Quantiles {
		if total < uint64(q.Least) {
			f.Missing[name] = fmt.Sprintf("of %d answers it is the slowest one", total)
			continue
		}
		seen := uint64(0)
		for _, us := range latencies {
			if seen += a[us]; seen*1000 >= uint64(q.Thousandths)*total {
				f.Latency[name] = time.Duration(us) * time.Microsecond
				break
			}
		}
	}
}
