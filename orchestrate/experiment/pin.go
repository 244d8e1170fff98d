// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// vcpuWatch is a Watch that knows the threads of the guest's vCPUs.
type vcpuWatch interface{ VCPUs() ([]int, error) }

// pinning puts the threads of one guest on their CPUs as they become known. All begin
// where the VMM is.
type pinning struct {
	vcpus map[int]bool // threads that have their CPU
	vhost bool         // its thread has
	over  bool         // there is nothing more to pin
}

// pin does what can be done now.
func (b *Boot) pin(p *pinning, s *Sample, t probe.Timeline, watch Watch) {
	if p.over {
		return
	}
	if b.Settings.Probes == matrix.ProbesNone {
		p.over = true
		if b.Accel == platform.KVM && len(b.CPUs.VCPU) > 0 && !slices.Equal(b.CPUs.VCPU, b.CPUs.VMM) {
			s.Taints = append(s.Taints, "vcpu not pinned: --probes none does not know its thread")
		}
		return
	}
	first, ok := t.At(probe.EventFirstRun)
	if !ok || len(b.CPUs.VCPU) == 0 {
		return
	}
	b.pinVCPU(p, s, first.TID)
	if w, ok := watch.(vcpuWatch); ok && len(p.vcpus) < b.Settings.VCPUs {
		threads, err := w.VCPUs()
		if err != nil {
			s.Taints = append(s.Taints, fmt.Sprintf("vcpus not pinned: %v", err))
			p.over = true
		}
		for _, tid := range threads {
			b.pinVCPU(p, s, tid)
		}
	}
	p.over = p.over || len(p.vcpus) >= b.Settings.VCPUs
}

// pinVCPU gives a thread the next CPU; if there are not enough they go round.
func (b *Boot) pinVCPU(p *pinning, s *Sample, tid int) {
	if p.vcpus[tid] {
		return
	}
	if p.vcpus == nil {
		p.vcpus = map[int]bool{}
	}
	c := b.CPUs.VCPU[len(p.vcpus)%len(b.CPUs.VCPU)]
	p.vcpus[tid] = true
	if err := cpu.PinThread(tid, []int{c}); err != nil && !errors.Is(err, unix.ESRCH) {
		s.Taints = append(s.Taints, fmt.Sprintf("vcpu not pinned: %v", err))
	}
}

// pinned notes, at the end of a sample, what was not pinned.
func (b *Boot) pinned(p *pinning, s *Sample) {
	if b.Settings.Vhost && !p.vhost && len(b.CPUs.VMM) > 0 {
		s.Taints = append(s.Taints, "vhost's thread not pinned: not found")
	}
	if b.Accel != platform.KVM || b.Settings.Probes == matrix.ProbesNone {
		return
	}
	if n := len(p.vcpus); n > 0 && n < b.Settings.VCPUs {
		s.Taints = append(s.Taints, fmt.Sprintf("%d of %d vcpus pinned: the others were not seen in KVM", n, b.Settings.VCPUs))
	}
	if n := len(b.CPUs.VCPU); n > 0 && len(p.vcpus) > n {
		s.Taints = append(s.Taints, fmt.Sprintf("%d vcpus share cpu %s", len(p.vcpus), cpu.FormatList(slices.Sorted(slices.Values(b.CPUs.VCPU)))))
	}
}

// pinVhost puts the thread in which vhost-net does the guest's work where the VMM is.
// Before Linux 6.4 it is a thread of the kernel's own, in the VMM's cgroup and on any
// CPU; since then (kernel commit 6e890c5d5021) it is a thread of the VMM and has the
// CPUs of the one that made it.
func (b *Boot) pinVhost(p *pinning, s *Sample, g *cgroup.Group) {
	if p.vhost || !b.Settings.Vhost || len(b.CPUs.VMM) == 0 {
		return
	}
	pids, err := g.Pids()
	if err != nil {
		return // it ends
	}
	for _, pid := range pids {
		for _, tid := range vhostThreads(pid) {
			p.vhost = true
			if err := cpu.PinThread(tid, b.CPUs.VMM); err != nil && !errors.Is(err, unix.ESRCH) {
				s.Taints = append(s.Taints, fmt.Sprintf("vhost's thread not pinned: %v", err))
			}
		}
	}
}

// vhostThreads lists the threads of a process that are vhost's, by their names.
func vhostThreads(pid int) []int {
	var out []int
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", pid))
	for _, path := range names {
		name, err := os.ReadFile(path)
		tid, numErr := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && numErr == nil && strings.HasPrefix(string(name), "vhost-") {
			out = append(out, tid)
		}
	}
	return out
}
