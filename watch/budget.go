// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Bounds on the number of VMs.
const (
	// fewVMs is what a budget should have room for: below, a warning tells what more
	// would take.
	fewVMs = 8
	// maxVMs is what the instrument can be asked for.
	maxVMs = 1024
	// defaultVMs is what a budget is cut to: nobody needs the memory of more
	// by accident.
	defaultVMs = 256
	// baseBytes is what ukprobe takes without any VM: programs, the kernel's type
	// information while it attaches, Go's runtime. Measured: about 60 MiB.
	baseBytes = 64 << 20
	// keptBytes is what one VM can take in ukprobe's own memory: its counts and the
	// same as metrics while it is scraped (about 300 KiB with all reasons seen, most
	// VMs take a tenth), and the times at which it became idle, of which package
	// probe remembers 65,536.
	keptBytes = 1 << 20
)

// Budget is how memory is shared out.
type Budget struct {
	Memory  uint64 // bytes, kernel and ukprobe together
	PerVM   uint64 // bytes in the kernel's maps
	VMs     int    // that fit
	GoLimit int64  // for the Go runtime, bytes
	Warning string // that there is room for few VMs only, and why; or ""
}

// NewBudget computes how many VMs fit into memory bytes if each takes perVM in
// the kernel's maps (which are charged to ukprobe's cgroup since Linux 5.11). vms
// asks for a number instead, 0 for none. It is an error if not even one fits.
func NewBudget(memory, perVM uint64, vms int) (Budget, error) {
	b := Budget{Memory: memory, PerVM: perVM, VMs: vms}
	each := perVM + keptBytes
	if vms < 0 || vms > maxVMs {
		return b, fmt.Errorf("--max-vms %d: must be 1 to %d", vms, maxVMs)
	}
	if vms == 0 {
		if memory < baseBytes+each {
			return b, fmt.Errorf("--memory %s: too little: %s for ukprobe itself and %s for each VM: at least %s, or give --max-vms",
				Bytes(memory), Bytes(baseBytes), Bytes(each), Bytes(baseBytes+each))
		}
		if memory < baseBytes+fewVMs*each {
			b.Warning = fmt.Sprintf("room for few VMs: each takes %s, for every CPU that this host could have: more with --memory, --max-vms or a lower --schema", Bytes(each))
		}
		b.VMs = int(min((memory-baseBytes)/each, defaultVMs))
	} else {
		b.Memory = max(memory, baseBytes+uint64(vms)*each)
	}
	b.GoLimit = int64(baseBytes + uint64(b.VMs)*keptBytes)
	return b, nil
}

// DefaultMemory is a tenth of the memory there is, at least 256 MiB and at most
// 1 GiB; more only where one VM, which takes perVM in the kernel, does not fit.
func DefaultMemory(perVM uint64) uint64 {
	const least, most = 256 << 20, 1 << 30
	return max(min(max(totalMemory()/10, least), most), baseBytes+perVM+keptBytes)
}

// totalMemory is the host's in bytes, 0 if it cannot be read.
func totalMemory() uint64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
			if kib, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// ParseBytes reads a size: a number with K, M or G for KiB, MiB or GiB.
func ParseBytes(text string) (uint64, error) {
	number, shift := text, 0
	for suffix, s := range map[string]int{"K": 10, "M": 20, "G": 30} {
		if n, ok := strings.CutSuffix(strings.TrimSuffix(strings.TrimSuffix(text, "B"), "i"), suffix); ok {
			number, shift = n, s
		}
	}
	n, err := strconv.ParseUint(number, 10, 63-shift)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no size: write e.g. 512M or 2G", text)
	}
	return n << shift, nil
}

// Bytes writes a size for a person.
func Bytes(n uint64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
