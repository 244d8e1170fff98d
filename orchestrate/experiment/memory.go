// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"errors"
	"fmt"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// bare: nothing stands between the app and the kernel. A guest has a VMM, or a tender
// as of solo5-spt, which is no VMM by its accelerator but gives the guest its memory.
func (b *Boot) bare() bool { return b.Platform.Program() == "" }

// memory is where a sample's memory is counted; nil if nobody wants to know.
func (b *Boot) memory(g *cgroup.Group) (*cgroup.Memory, error) {
	if !b.Memory && b.LimitBytes == 0 {
		return nil, nil
	}
	m, err := b.Cgroups.MemoryOf(b.Journal, g)
	if err != nil || b.LimitBytes == 0 {
		return m, err
	}
	if err := m.Limit(b.LimitBytes); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// outOfMemory fails a sample of which the kernel has killed something for lack of
// memory: also one that is ready all the same, as when it is a worker that was killed.
func (b *Boot) outOfMemory(s *Sample, m *cgroup.Memory) {
	if m == nil || s.OutOfMemory {
		return
	}
	killed, err := m.OutOfMemory()
	if err != nil || killed == 0 {
		return
	}
	s.OutOfMemory = true
	why := "killed for lack of memory"
	if b.LimitBytes > 0 {
		why += ": its limit is " + sizeText(int(b.LimitBytes/kib))
	}
	if s.Status == OK {
		s.Status, s.Reason = Failed, fmt.Sprintf("something of the guest's was %s", why)
		return
	}
	s.Reason += "; " + why
}

// curve adds a point to a curve.
func (s *Sample) curve(name string, ns int64, v float64) {
	if s.Curves == nil {
		s.Curves = map[string][]Point{}
	}
	s.Curves[name] = append(s.Curves[name], Point{NS: ns, Value: v})
}
