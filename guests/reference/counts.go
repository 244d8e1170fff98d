// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Counts is the guest's account of itself, from its entry point to the first
// byte of the counts line.
type Counts struct {
	Boot      string // boot protocol: multiboot, pvh or linux64
	PIO       uint64 // OUTs to PIOPort and on, by all CPUs
	CPUID     uint64 // CPUID instructions, by all CPUs
	HLT       uint64 // HLTs, each ended by one interrupt
	Pages     uint64 // pages touched for Cmdline.MemMiB
	FramesOut uint64 // frames handed to the network device
	Console   uint64 // bytes of text sent to COM1
	PortIO    uint64 // every IN and OUT, the above included
	MMIO      uint64 // every access to device memory, local APIC included
	CPUs      uint64 // CPUs that worked; a line of one CPU does not name it
}

var countsLine = regexp.MustCompile(CountsPattern)

// ParseCounts reads the counts line. It wants every field once, cpus apart, and
// knows all of them: a line of another version of the guest is an error.
func ParseCounts(line string) (Counts, error) {
	m := countsLine.FindStringSubmatch(line)
	if m == nil {
		return Counts{}, fmt.Errorf("reference guest: not a counts line: %q", line)
	}
	var c Counts
	fields := map[string]*uint64{
		"pio": &c.PIO, "cpuid": &c.CPUID, "hlt": &c.HLT, "pages": &c.Pages,
		"frames-out": &c.FramesOut, "console": &c.Console, "port-io": &c.PortIO, "mmio": &c.MMIO,
		"cpus": &c.CPUs,
	}
	for _, word := range strings.Fields(m[1]) {
		key, value, _ := strings.Cut(word, "=")
		if key == "boot" && c.Boot == "" {
			c.Boot = value
			continue
		}
		to, known := fields[key]
		if !known {
			return Counts{}, fmt.Errorf("reference guest: unknown or repeated field %q in %q", key, line)
		}
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return Counts{}, fmt.Errorf("reference guest: field %q in %q: %w", key, line, err)
		}
		*to = n
		delete(fields, key)
	}
	if _, absent := fields["cpus"]; absent {
		c.CPUs = 1
		delete(fields, "cpus")
	} else if c.CPUs < 2 || c.CPUs > MaxCPUs {
		return Counts{}, fmt.Errorf("reference guest: cpus=%d in %q, want 2 to %d", c.CPUs, line, MaxCPUs)
	}
	if c.Boot == "" || len(fields) > 0 {
		return Counts{}, fmt.Errorf("reference guest: fields missing in %q", line)
	}
	return c, nil
}
