// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// The evaluation's rows and columns, in its order. What a run has besides follows them.
var (
	sizeRows       = []string{"mirageos", "osv", "hermitux", "lupine", "unikraft", "docker", "linux", "process"}
	bootRows       = []string{"mirageos", "osv", "hermitux", "lupine", "unikraft", "docker"}
	memoryRows     = []string{"osv", "hermitux", "lupine", "unikraft", "docker", "linux", "rump"}
	throughputRows = []string{"osv", "hermitux", "lupine", "unikraft", "docker", "linux", "rump"}

	sizeApps       = []string{"hello", "nginx", "redis", "sqlite"}
	memoryApps     = []string{"hello", "nginx", "redis", "sqlite"}
	throughputApps = []string{"redis", "nginx", "memcached", "sqlite", "mysql"}
	bootApps       = []string{"hello", "nginx", "redis", "sqlite", "memcached", "mysql"}

	bootPlatforms = []string{"firecracker", "qemu", "qemu1nic", "qemumicrovm"}
)

// names are the systems' and platforms' own spellings.
var names = map[string]string{
	"mirageos": "MirageOS", "osv": "OSv", "hermitux": "HermiTux", "lupine": "Lupine", "unikraft": "Unikraft", "rump": "rump",
	"docker": "Docker", "linux": "Linux microVM", "process": "Linux process", "reference": "reference guest",
	"firecracker": "Firecracker", "qemu": "QEMU", "qemu1nic": "QEMU 1 NIC", "qemumicrovm": "QEMU microvm",
}

// generators are the load generators of the throughput table's columns.
var generators = map[string]string{
	"redis": "redis-benchmark", "nginx": "wrk", "memcached": "memaslap", "mysql": "sysbench", "sqlite": "by itself", "dnsmasq": "dnsperf", "dns": "dnsperf",
}

// displayPlatform is display of a platform: of a process it is no system's name.
func displayPlatform(name string) string {
	if name == "process" {
		return name
	}
	return display(name)
}

func display(name string) string {
	if n := names[name]; n != "" {
		return n
	}
	return name
}

// inOrder are the names of the layout and those that are in the cells besides, once each.
func inOrder(layout []string, cells []sourced, of func(*results.Cell) string) []string {
	out := slices.Clone(layout)
	for _, c := range cells {
		if n := of(c.Cell); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func systemOf(c *results.Cell) string { return c.System }
func appOf(c *results.Cell) string    { return c.App }

// ownPlatform is the column of boot times on platforms that only some systems have; which
// one it is says the row's head, unless the system is its own platform.
const ownPlatform = "own platform"

func bootColumn(c *results.Cell) string {
	if slices.Contains(bootPlatforms, c.Platform) {
		return c.Platform
	}
	return ownPlatform
}

// selectCells are the cells for which keep says so.
func selectCells(cells []sourced, keep func(*results.Cell) bool) []sourced {
	var out []sourced
	for _, c := range cells {
		if keep(c.Cell) {
			out = append(out, c)
		}
	}
	return out
}

func ofExperiment(cells []sourced, name string) []sourced {
	return selectCells(cells, func(c *results.Cell) bool { return experimentOf(c) == name })
}

func experimentOf(c *results.Cell) string {
	if c.Experiment == "" {
		return "boot"
	}
	return c.Experiment
}

// rowKey tells rows of a table apart: figures that do not compare are in different ones.
type rowKey struct{ system, run, platform, accel, how string }

// how says in words how a cell was measured if that is not as by default.
func how(c *results.Cell) string {
	var out []string
	v := c.Variant()
	if v.Image != "" {
		out = append(out, "image "+v.Image)
	}
	if v.Parallel > 1 {
		out = append(out, fmt.Sprintf("%d at once", v.Parallel))
	}
	if v.Cache != "" && v.Cache != "as-is" {
		out = append(out, "cache "+v.Cache)
	}
	if v.Tap != "" && v.Tap != "new" {
		out = append(out, "same tap")
	}
	usual := c.Probes == "" || c.Probes == results.ProbesBoot
	if e := experimentOf(c); e == "throughput" || e == "http" || e == "dns" {
		usual = c.Probes == "" || c.Probes == results.ProbesFull
	}
	if !usual && experimentOf(c) != imageSize {
		out = append(out, "probes "+c.Probes)
	}
	return strings.Join(out, ", ")
}

// accelOf is the accelerator as a row's head shows it; "" of a cell that has none because
// it never came to that.
func accelOf(c *results.Cell) string {
	if c.Accel == "none" && experimentOf(c) != imageSize {
		return "no VM"
	}
	if c.Accel == "none" {
		return ""
	}
	return c.Accel
}

// crossTable describes a table with systems as rows and something of a cell as columns.
type crossTable struct {
	rows, columns []string
	of            func(*results.Cell) string // the column that a cell is in
	platforms     bool                       // platforms are columns, and those in the rows' heads only that are not
	metrics       []phase                    // one or several for each column
	title         func(column string) string // nil: display
}

// grid fills the table with the cells.
func (t crossTable) grid(g Grid, cells []sourced) Grid {
	columns := inOrder(t.columns, cells, t.of)
	title := t.title
	if title == nil {
		title = display
	}
	for _, col := range columns {
		for _, m := range t.metrics {
			column := Column{Group: title(col), Title: m.title, Metric: m.metric}
			if len(t.metrics) == 1 {
				column.Group, column.Title = "", title(col)
			}
			g.Columns = append(g.Columns, column)
		}
	}
	cells = unmeasured(cells)
	keys := t.keys(cells)
	b := gridBuilder{Grid: &g, numbers: map[string]int{}}
	for _, k := range keys {
		row := Row{Heads: []string{display(k.system), k.run, k.platform, k.accel, k.how}}
		for _, col := range columns {
			row.Entries = append(row.Entries, b.entries(t.find(cells, k, col), t.metrics)...)
		}
		g.Rows = append(g.Rows, row)
	}
	g.Heads = []string{"system", "run", "platform", "accelerator", "how"}
	b.finish(cells)
	return g
}

// unmeasured takes their accelerator from cells that were not measured, unless the same
// system was measured under it: where there is no figure it tells nothing apart.
func unmeasured(cells []sourced) []sourced {
	measured := map[rowKey]bool{}
	key := func(c sourced) rowKey { return rowKey{system: c.System, run: c.run, accel: c.accel, how: how(c.Cell)} }
	for _, c := range cells {
		if len(c.Samples) > 0 {
			measured[key(c)] = true
		}
	}
	out := slices.Clone(cells)
	for i := range out {
		if !measured[key(out[i])] {
			out[i].accel = ""
		}
	}
	return out
}

// keys are the table's rows: for each system, in the layout's order, those that it needs.
func (t crossTable) keys(cells []sourced) []rowKey {
	var out []rowKey
	for _, system := range inOrder(t.rows, cells, systemOf) {
		own := selectCells(cells, func(c *results.Cell) bool { return c.System == system })
		var measured, keys []rowKey
		for _, c := range own {
			if k := t.key(c); k.accel != "" {
				measured = append(measured, k)
			}
		}
		// What has no accelerator needs a row of its own only if no other row takes it.
		for _, c := range own {
			if k := t.key(c); !slices.Contains(keys, k) && (k.accel != "" || !slices.ContainsFunc(measured, k.fits)) {
				keys = append(keys, k)
			}
		}
		if len(keys) == 0 {
			keys = []rowKey{{system: system}}
		}
		out = append(out, keys...)
	}
	return out
}

func (t crossTable) key(c sourced) rowKey {
	k := rowKey{system: c.System, run: c.run, platform: displayPlatform(c.Platform), accel: c.accel, how: how(c.Cell)}
	if t.platforms && t.of(c.Cell) == c.Platform || c.Platform == c.System {
		k.platform = ""
	}
	return k
}

// fits says whether a cell without an accelerator belongs into that row.
func (k rowKey) fits(row rowKey) bool {
	if k.accel == "" {
		row.accel = ""
	}
	return k == row
}

// find is the cell of a row in a column: of several, that which is furthest.
func (t crossTable) find(cells []sourced, row rowKey, column string) *sourced {
	var found *sourced
	for i := range cells {
		c := &cells[i]
		if t.of(c.Cell) != column || c.System != row.system || !t.key(*c).fits(row) {
			continue
		}
		if found == nil || !found.HasFigures() && c.HasFigures() {
			found = c
		}
	}
	return found
}
