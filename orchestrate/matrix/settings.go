// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"fmt"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
)

// The experiments.
const (
	Boot             = DefaultExperiment
	TimingValidation = "timing-validation"
	ImageSize        = "image-size"
	MemoryMin        = "memory-min"
	MemoryUse        = "memory-use"
	Density          = "density"
	Throughput       = "throughput"
	FileSystem       = "fs"
	DNS              = "dns"
	HTTP             = "http"
	ASLR             = "aslr"
)

// What the host's page cache holds of an image before a guest is started.
const (
	CacheAsIs = "as-is" // nothing is done about it
	CacheWarm = "warm"  // all of it: it is read first
	CacheCold = "cold"  // nothing: it is dropped first
)

// Workload says how a service is put under load, for the experiments throughput, http,
// dns and fs, and for the short load of memory-min.
type Workload struct {
	Duration    time.Duration // of what is measured
	Warmup      time.Duration // before that, not measured; zero for none
	Connections int           // at the same time
	Threads     int           // of the client
	Pipeline    int           // requests on their way on each connection
	Rate        int           // requests a second; 0: as many as are answered (closed loop)
	Requests    int           // in all, in place of a duration; 0: by duration
	ValueBytes  int           // of what is stored, for key-value stores
	BlockBytes  []int         // of fs, one after the other
}

// What QEMU's cache= is for a scratch disk.
const (
	ScratchWriteback = "writeback" // QEMU's default: the host's page cache is the disk's
	ScratchNone      = "none"      // past the host's page cache (O_DIRECT)
)

// ScratchDisk is the disk that a guest reads and writes in experiment fs.
type ScratchDisk struct {
	SizeMiB        int
	Cache          string // writeback or none
	IOPS           int    // reads and writes a second that the VMM lets through; 0: all
	BytesPerSecond int    // likewise
}

// DefaultScratch is the disk where the file says nothing.
func DefaultScratch() ScratchDisk { return ScratchDisk{SizeMiB: 64, Cache: ScratchWriteback} }

// DefaultLoad is the load where the file says nothing.
func DefaultLoad() Workload {
	return Workload{Duration: 10 * time.Second, Warmup: 2 * time.Second, Connections: 30, Threads: 1, Pipeline: 1, ValueBytes: 3, BlockBytes: []int{4096}}
}

// MemorySearch bounds the search of memory-min.
type MemorySearch struct {
	FromMiB, ToMiB, StepMiB int
	Confirm                 int // so many passes of so many make a size enough
}

// DefaultMemorySearch is the search where the file says nothing.
func DefaultMemorySearch() MemorySearch {
	return MemorySearch{FromMiB: 1, ToMiB: 1024, StepMiB: 1, Confirm: 3}
}

// Until is a stopping rule: samples are taken, at least Settings.Samples, until the
// 95 % interval of the median of the experiment's main figure is within so many percent
// of it to both sides.
type Until struct {
	WithinPercent int // 0: no such rule
	AtMost        int // samples, at which it stops in any case
}

// defaultAtMost is where a rule says nothing.
const defaultAtMost = 100

// MostSamples is how many samples of a cell are taken at most, without repeats.
func (s *Settings) MostSamples() int {
	if s.Until.WithinPercent > 0 {
		return s.Until.AtMost
	}
	return s.Samples
}

// Conflict says which settings of a cell contradict one another, or "".
func (s *Settings) Conflict() string {
	if u := s.Until; u.WithinPercent > 0 && u.AtMost < s.Samples {
		return fmt.Sprintf("until.at_most %d is less than samples %d, which is the least then: make one larger or the other smaller", u.AtMost, s.Samples)
	}
	return s.MemorySearch.conflict()
}

func (m MemorySearch) conflict() string {
	if m.FromMiB < m.ToMiB {
		return ""
	}
	return fmt.Sprintf("memory_search from %d to %d MiB holds no sizes: from_mib has to be the smaller", m.FromMiB, m.ToMiB)
}

// DensityLimit bounds the experiment density.
type DensityLimit struct {
	RAMMiB int // that all guests and their VMMs may use together
	AtMost int // guests
}

// Limits of the keys in this file.
const (
	maxConnections = 100_000
	maxRate        = 10_000_000
	maxRequests    = 1_000_000_000
	maxValueBytes  = 1 << 20
	maxParallel    = 1000
	maxScratchMiB  = 1 << 20
	maxBlockBytes  = 16 << 20
	maxBlocks      = 16 // of different sizes
	sectorBytes    = 512
	maxBytesRate   = 1 << 40
	maxDensity     = 250 // guests: the run's network has 253 addresses for them
)

func (d *decoder) load(n ast.Node, l *Workload) {
	d.Mapping(n, "load", map[string]strictyaml.Field{
		"duration":    func(v ast.Node) { d.Duration(v, "duration", &l.Duration) },
		"warmup":      func(v ast.Node) { d.durationOrZero(v, "warmup", &l.Warmup) },
		"connections": func(v ast.Node) { d.Integer(v, "connections", 1, maxConnections, &l.Connections) },
		"threads":     func(v ast.Node) { d.Integer(v, "threads", 1, MaxVCPUs, &l.Threads) },
		"pipeline":    func(v ast.Node) { d.Integer(v, "pipeline", 1, maxConnections, &l.Pipeline) },
		"rate":        func(v ast.Node) { d.Integer(v, "rate", 0, maxRate, &l.Rate) },
		"requests":    func(v ast.Node) { d.Integer(v, "requests", 0, maxRequests, &l.Requests) },
		"value_bytes": func(v ast.Node) { d.Integer(v, "value_bytes", 1, maxValueBytes, &l.ValueBytes) },
		"block_bytes": func(v ast.Node) { d.blockBytes(v, &l.BlockBytes) },
	})
}

// durationOrZero takes the number 0 for none.
func (d *decoder) durationOrZero(n ast.Node, what string, out *time.Duration) {
	if i, ok := n.(*ast.IntegerNode); ok && i.GetToken().Value == "0" {
		*out = 0
		return
	}
	d.Duration(n, what, out)
}

func (d *decoder) memorySearch(n ast.Node, m *MemorySearch) {
	before := d.Errs.Len()
	d.Mapping(n, "memory_search", map[string]strictyaml.Field{
		"from_mib": func(v ast.Node) { d.Integer(v, "from_mib", 1, MaxMemoryMiB, &m.FromMiB) },
		"to_mib":   func(v ast.Node) { d.Integer(v, "to_mib", 1, MaxMemoryMiB, &m.ToMiB) },
		"step_mib": func(v ast.Node) { d.Integer(v, "step_mib", 1, MaxMemoryMiB, &m.StepMiB) },
		"confirm":  func(v ast.Node) { d.Integer(v, "confirm", 1, 100, &m.Confirm) },
	})
	if why := m.conflict(); why != "" && d.Errs.Len() == before && !d.override {
		d.Fail(n, "%s", why)
	}
}

// off tells whether the node is a word in place of a mapping of some keys; only off may be
// one.
func (d *decoder) off(n ast.Node, what, keys string) (off, word bool) {
	text, word := n.(*ast.StringNode)
	if off = word && text.Value == SettingOff; word && !off {
		d.Fail(n, "%s %q is neither off nor a mapping of %s", what, text.Value, keys)
	}
	return off, word
}

// until takes a mapping, of which what is left out stays, or off. What a setting of the
// command line leaves out of a rule, another may say: [settleRules].
func (d *decoder) until(n ast.Node, u *Until) {
	if off, word := d.off(n, "until", "within_percent and at_most"); word {
		if off {
			*u = Until{}
		}
		return
	}
	if u.AtMost == 0 && !d.override {
		u.AtMost = defaultAtMost
	}
	before := d.Errs.Len()
	d.Mapping(n, "until", map[string]strictyaml.Field{
		"within_percent": func(v ast.Node) { d.Integer(v, "within_percent", 1, 100, &u.WithinPercent) },
		"at_most":        func(v ast.Node) { d.Integer(v, "at_most", 6, MaxSamples, &u.AtMost) },
	})
	if u.WithinPercent == 0 && d.Errs.Len() == before && !d.override {
		d.Fail(n, "until has no within_percent: how narrow the interval has to be")
	}
}

func (d *decoder) density(n ast.Node, l *DensityLimit) {
	d.Mapping(n, "density", map[string]strictyaml.Field{
		"ram_mib": func(v ast.Node) { d.Integer(v, "ram_mib", 1, MaxMemoryMiB, &l.RAMMiB) },
		"at_most": func(v ast.Node) { d.Integer(v, "at_most", 1, maxDensity, &l.AtMost) },
	})
}

// parallel is a number or a list of numbers of guests that start at once.
func (d *decoder) parallel(n ast.Node, out *[]int) {
	*out = nil
	for _, item := range d.Items(n, "parallel", neverRuns) {
		v := 0
		d.Integer(item, "parallel", 1, maxParallel, &v)
		if v == 0 {
			continue
		}
		for _, other := range *out {
			if other == v {
				d.Fail(item, "parallel %d is already in the list", v)
			}
		}
		*out = append(*out, v)
	}
}

// blockBytes is a size, or a list of sizes, of whole sectors.
func (d *decoder) blockBytes(n ast.Node, out *[]int) {
	items := []ast.Node{n}
	if seq, ok := n.(*ast.SequenceNode); ok {
		items = seq.Values
	}
	if len(items) == 0 || len(items) > maxBlocks {
		d.Fail(n, "block_bytes lists %d sizes: 1 to %d are possible", len(items), maxBlocks)
		return
	}
	*out = nil
	for _, item := range items {
		v := 0
		d.Integer(item, "block_bytes", sectorBytes, maxBlockBytes, &v)
		switch {
		case v == 0:
			continue
		case v%sectorBytes != 0:
			d.Fail(item, "block_bytes %d: not a multiple of %d, which is a disk's sector", v, sectorBytes)
		case slices.Contains(*out, v):
			d.Fail(item, "block_bytes %d is already in the list", v)
		}
		*out = append(*out, v)
	}
}

func (d *decoder) scratch(n ast.Node, s *ScratchDisk) {
	d.Mapping(n, "scratch", map[string]strictyaml.Field{
		"size_mib":         func(v ast.Node) { d.Integer(v, "size_mib", 1, maxScratchMiB, &s.SizeMiB) },
		"cache":            func(v ast.Node) { d.OneOf(v, "cache", []string{ScratchWriteback, ScratchNone}, &s.Cache) },
		"iops":             func(v ast.Node) { d.Integer(v, "iops", 0, maxRequests, &s.IOPS) },
		"bytes_per_second": func(v ast.Node) { d.Integer(v, "bytes_per_second", 0, maxBytesRate, &s.BytesPerSecond) },
	})
}
