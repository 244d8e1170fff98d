// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// describe says which run a source is, in a line.
func (s *Source) describe() string {
	r := &s.File.Run
	cells, samples := len(s.File.Cells), 0
	for i := range s.File.Cells {
		samples += len(s.File.Cells[i].Samples)
	}
	out := fmt.Sprintf("Run %s of %s, %s, by ukprobe %s: %d cells, %d samples, seed %d", r.ID, r.Started.UTC().Format("2006-01-02 15:04 MST"), r.Status, r.Version, cells, samples, r.Seed)
	if s.Label != r.ID && s.Label != "" {
		out = s.Label + ": " + out
	}
	return out + ". Host: " + hostWords(&s.File.Host) + "."
}

// hostWords name a host in a line: its processor, kernel, and what it runs on.
func hostWords(h *results.Host) string {
	var parts []string
	if h.CPUModel != "" {
		parts = append(parts, h.CPUModel)
	}
	switch {
	case h.CPUs == 1:
		parts = append(parts, "1 CPU")
	case h.CPUs > 1:
		parts = append(parts, fmt.Sprintf("%d CPUs", h.CPUs))
	}
	if h.Kernel != "" {
		parts = append(parts, "Linux "+h.Kernel)
	}
	switch rest, unnamed := strings.CutPrefix(h.Hypervisor, "yes, "); {
	case h.Hypervisor == "" || h.Hypervisor == "none":
	case unnamed: // "on a machine by …"
		parts = append(parts, "in a virtual machine, "+rest)
	default:
		parts = append(parts, "under "+h.Hypervisor)
	}
	return strings.Join(parts, ", ")
}
