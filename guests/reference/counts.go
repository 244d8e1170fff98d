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
	PIO       uint64 // OUTs to PIOPort
	CPUID     uint64 // CPUID instructions
	HLT       uint64 // HLTs, each ended by one interrupt
	Pages     uint64 // pages touched for Cmdline.MemMiB
	FramesOut uint64 // frames handed to the network device
	Console   uint64 // bytes of text sent to COM1
	PortIO    uint64 // every IN and OUT, the above included
	MMIO      uint64 // every access to device memory, local APIC included
}

var countsLine = regexp.MustCompile(CountsPattern)

// ParseCounts reads the counts line. It wants every field once and knows all of
// them: a line of another version of the guest is an error.
func ParseCounts(line string) (Counts, error) {
	m := countsLine.FindStringSubmatch(line)
	if m == nil {
		return Counts{}, fmt.Errorf("reference guest: not a counts line: %q", line)
	}
	var c Counts
	fields := map[string]*uint64{
		"pio": &c.PIO, "cpuid": &c.CPUID, "hlt": &c.HLT, "pages": &c.Pages,
		"frames-out": &c.FramesOut, "console": &c.Console, "port-io": &c.PortIO, "mmio": &c.MMIO,
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
	if c.Boot == "" || len(fields) > 0 {
		return Counts{}, fmt.Errorf("reference guest: fields missing in %q", line)
	}
	return c, nil
}
