// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"slices"
	"time"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
	"github.com/ukprobe/ukprobe/results"
)

// Limits of a matrix file. They keep a mistake from running for years, and a
// hostile file from exhausting the machine.
const (
	MaxFileSize  = strictyaml.MaxFileSize
	MaxLine      = strictyaml.MaxLine
	MaxCells     = 10_000    // after expansion
	MaxSamples   = 100_000   // of one cell; also of warm-ups
	MaxSteps     = 1_000_000 // samples and warm-ups of all cells together
	MaxTimeout   = 24 * time.Hour
	MaxMemoryMiB = 1 << 20
	MaxVCPUs     = 1024
	MaxArgs      = 2048   // bytes: Linux' command line on x86 has no more
	MaxReady     = 1024   // bytes of the regular expression
	MaxClaims    = 32     // patterns of one cell
	maxItems     = 50_000 // of all lists with dashes: every cell, and its four names
)

// Accelerators that a cell may ask for.
const (
	AccelAuto = "auto"
	AccelKVM  = "kvm"
	AccelTCG  = "tcg"
)

// How much is attached to the kernel for a cell's samples.
const (
	ProbesBoot = "boot" // what a timeline needs, and no longer than it does
	ProbesFull = "full" // everything
	ProbesNone = "none" // nothing: user space's own clock
)

// ProbesLevels are all of them.
var ProbesLevels = []string{ProbesBoot, ProbesFull, ProbesNone}

// How a guest learns its address.
const (
	AddressStatic = "static" // it is told, in the system's own way
	AddressDHCP   = "dhcp"   // it asks
)

// Which tap a guest starts on.
const (
	TapNew  = "new"  // one that was made for the sample
	TapKeep = "keep" // the one of the cell's sample before, on the bridge since then
)

// explained are the experiments whose figures are explained by what everything that can
// be attached tells: they have it if the file does not say otherwise.
var explained = []string{Throughput, HTTP, DNS}

// DefaultExperiment is the experiment of a cell that names none.
const DefaultExperiment = "boot"

// Claim is a pattern for what guests of a cell say of their own time.
type Claim struct {
	Name    string
	Pattern string // regular expression with a group named value
	Unit    string // ns, us, ms, s or tsc
	Since   string // the event that it counts from; "" for the guest's own clock
}

// DefaultSettings are the settings of a cell where the file says nothing.
func DefaultSettings() Settings {
	return Settings{Samples: 10, Warmup: 1, Timeout: 30 * time.Second, MemoryMiB: 256, VCPUs: 1, Accel: AccelAuto, Probes: ProbesBoot, Address: AddressStatic, Tap: TapNew,
		Cache: CacheAsIs, Parallel: 1, Load: DefaultLoad(), MemorySearch: DefaultMemorySearch(), Density: DensityLimit{RAMMiB: 1024, AtMost: 64}, Scratch: DefaultScratch(),
		Interference: DefaultInterference()}
}

// Settings say how a cell is sampled.
type Settings struct {
	Samples int           // repetitions that are kept; with Until at least
	Warmup  int           // repetitions before them that are not
	Timeout time.Duration // of one sample
	// TimeoutLearnt: Timeout is the bound of a limit that is learnt from the first
	// samples.
	TimeoutLearnt bool
	MemoryMiB     int
	VCPUs         int
	Accel         string // auto, kvm or tcg
	Probes        string // boot, full or none
	Address       string // static or dhcp
	Tap           string // new or keep
	Vhost         bool   // the guest's frames are moved by vhost-net, not by the VMM
	Args          string // appended to the guest's command line
	Kernel        string // path in place of the system's image; "" for that image
	Initrd        string // likewise
	Disk          string // path of a block device's image; "" for none, or the system's own
	Image         string // name in the catalogue; "" for the first image that fits
	Ready         string // regular expression in place of the app's ready line; "" for that one
	Port          int    // TCP port in place of the app's; 0 for that one
	Claims        []Claim

	Until        Until        // the stopping rule, beside Samples
	Cache        string       // as-is, warm or cold
	Parallel     int          // guests that are started at once
	Load         Workload     // of experiments with a client
	MemorySearch MemorySearch // of memory-min
	Density      DensityLimit // of density
	Scratch      ScratchDisk  // of fs

	CPU          CPUPlan // where the cell's threads run, and the run's host settings
	Interference Interference
}

// Cell is one cell of the expanded matrix.
type Cell struct {
	System, App, Platform, Experiment string
	Settings
	Pos string // of its entry in the file: name:line:column
}

// ID names the cell: system/app/platform/experiment, and what else tells it from others.
func (c Cell) ID() string {
	id := c.System + "/" + c.App + "/" + c.Platform + "/" + c.Experiment
	if v := c.Variant(); v != "" {
		id += "/" + v
	}
	return id
}

// Variant is the part of the ID about the image, if the matrix names one, and about how
// guests start, if not as by default: such as "parallel=8/cache=cold", or "".
func (c Cell) Variant() string {
	return results.Variant{Image: c.Image, Parallel: c.Parallel, Cache: c.Cache, Tap: c.Tap}.String()
}

// Boots says whether the cell's experiment starts guests.
func (c Cell) Boots() bool { return c.Experiment != ImageSize }

// Settle gives a cell that starts no guest the settings that it has in any case: one
// sample says all, nothing is warmed up, and nothing is attached to the kernel.
func (c *Cell) Settle() {
	if !c.Boots() {
		d := DefaultSettings()
		c.Samples, c.Warmup, c.Until, c.Probes, c.Cache, c.Tap = 1, 0, Until{}, ProbesNone, d.Cache, d.Tap
	}
}

// Matrix is a parsed matrix file.
type Matrix struct {
	Name    string
	src     *strictyaml.Source
	entries []entry
}

// entry is one item of cells, before the product is taken.
type entry struct {
	at       strictyaml.Pos
	names    [4][]name // in the order of dimensions
	settings Settings
	probed   bool   // the file says how much is attached
	parallel []int  // nil: one
	images   []name // nil: none is named
	claims   []claimNames
	claimsAt strictyaml.Pos
}

// claimNames are the words of a claim that Check looks up.
type claimNames struct{ name, since name }

type name struct {
	text string
	at   strictyaml.Pos
}

// dimensions are the keys that a product is taken over.
var dimensions = [4]string{"system", "app", "platform", "experiment"}

// Expand takes the product of every entry's lists, in the order of the file.
// Two entries must not ask for the same cell: the same system, app, platform,
// experiment and image, equally probed, under accelerators that can be the same.
func (m *Matrix) Expand() ([]Cell, error) {
	var cells []Cell
	first := map[string][]int{} // Cell.ID to indexes in cells
	var errs strictyaml.ErrorList
	for i := range m.entries {
		e := &m.entries[i]
		for c := range e.cells(m.src) {
			for _, j := range first[c.ID()] {
				if cells[j].Probes == c.Probes && sameAccel(cells[j].Accel, c.Accel) {
					errs.Add(m.src.ErrorAt(e.at, "the cell %s (accel %s) is already asked for at %s (accel %s)",
						c.ID(), c.Accel, cells[j].Pos, cells[j].Accel))
					break
				}
			}
			first[c.ID()] = append(first[c.ID()], len(cells))
			cells = append(cells, c)
		}
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return cells, nil
}

func sameAccel(a, b string) bool { return a == b || a == AccelAuto || b == AccelAuto }

// cells yields the entry's product, the last dimension changing fastest.
func (e *entry) cells(src *strictyaml.Source) func(yield func(Cell) bool) {
	return func(yield func(Cell) bool) {
		for _, s := range e.names[0] {
			for _, a := range e.names[1] {
				for _, p := range e.names[2] {
					for _, x := range e.names[3] {
						for c := range e.variants(Cell{s.text, a.text, p.text, x.text, e.settings, src.Position(e.at)}) {
							if !yield(c) {
								return
							}
						}
					}
				}
			}
		}
	}
}

// variants yields a cell once for each image and number of guests.
func (e *entry) variants(c Cell) func(yield func(Cell) bool) {
	if !e.probed && slices.Contains(explained, c.Experiment) {
		c.Probes = ProbesFull
	}
	c.Settle()
	return func(yield func(Cell) bool) {
		for _, image := range e.imageNames() {
			for _, n := range e.parallels() {
				c.Image, c.Parallel = image, n
				if !yield(c) {
					return
				}
			}
		}
	}
}

// imageNames are the images of the entry's cells; "" is for the one that fits.
func (e *entry) imageNames() []string {
	if len(e.images) == 0 {
		return []string{e.settings.Image}
	}
	out := make([]string, len(e.images))
	for i, n := range e.images {
		out[i] = n.text
	}
	return out
}

// parallels are how many guests the cells of the entry start at once.
func (e *entry) parallels() []int {
	if len(e.parallel) == 0 {
		return []int{e.settings.Parallel}
	}
	return e.parallel
}

// size is the number of cells that the entry expands to; above MaxCells it is
// no more than a larger number.
func (e *entry) size() int {
	n := min(len(e.parallels())*len(e.imageNames()), MaxCells+1)
	for _, ns := range e.names {
		n = min(n*len(ns), MaxCells+1) // cannot overflow
	}
	return n
}

// Text is the file's text.
func (m *Matrix) Text() string { return m.src.Text() }

// File is the name under which the text was read: paths in it are relative to its
// folder.
func (m *Matrix) File() string { return m.src.Name }
