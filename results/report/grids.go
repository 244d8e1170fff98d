// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/results"
)

// absent is a grid in whose place a sentence stands: the run has no such cells.
func absent(id string, part int, title, experiment string) []Grid {
	return []Grid{{ID: id, Part: part, Title: title, Absent: "The run has no cell of the experiment " + experiment + ".", unasked: experiment}}
}

// foldAbsent puts one sentence at the end in the place of the tables of experiments that the
// run has no cell of.
func foldAbsent(grids []Grid) []Grid {
	var out []Grid
	var experiments []string
	for _, g := range grids {
		if g.unasked == "" {
			out = append(out, g)
		} else {
			experiments = append(experiments, g.unasked)
		}
	}
	if len(experiments) == 0 {
		return out
	}
	return append(out, Grid{ID: "not-in-the-run", Title: "Not in the run",
		Absent: "Tables left out, as the run has no cell of their experiment: " + strings.Join(experiments, ", ") + "."})
}

// sizeGrids are table 1 of the evaluation.
func sizeGrids(_ []Source, cells []sourced) []Grid {
	own := ofExperiment(cells, imageSize)
	if len(own) == 0 {
		return absent("size", 1, "Image size", imageSize)
	}
	sizes := crossTable{rows: sizeRows, columns: sizeApps, of: appOf, metrics: []phase{{"file_bytes", "files"}, {"unpacked_bytes", "unpacked"}}}.grid(
		Grid{ID: "size", Part: 1, Title: "Image size"}, own)
	sizes.Legend = append([]string{"Files: what is shipped, as it is. Unpacked: the kernel out of its compressed image, the files out of archives, layers and disks."}, sizes.Legend...)
	parts := cellTable{metrics: []phase{{"kernel_bytes", "kernel or library OS"}, {"unikernel_bytes", "library OS and application in one"}, {"app_bytes", "application"},
		{"libraries_bytes", "libraries"}, {"rootfs_rest_bytes", "rest"}, {"unpacked_bytes", "sum"}, {"stripped_bytes", "sum, stripped"}, {"compressed_bytes", "through zstd"}}, okOnly: true}.grid(
		Grid{ID: "size-parts", Part: 1, Title: "Image size: what it consists of", Legend: []string{"Unpacked sizes. An image has either a kernel beside its application, or both in one file."}}, own)
	return []Grid{sizes, parts}
}

// bootGrids are table 2, one for each application.
func bootGrids(_ []Source, cells []sourced) []Grid {
	own := ofExperiment(cells, "boot")
	if len(own) == 0 {
		return absent("boot", 2, "Boot time", "boot")
	}
	var out []Grid
	for _, app := range inOrder(bootApps, own, appOf) {
		of := selectCells(own, func(c *results.Cell) bool { return c.App == app })
		if len(of) == 0 {
			continue
		}
		g := crossTable{rows: bootRows, columns: bootPlatforms, of: bootColumn, platforms: true, metrics: []phase{{"vmm_ns", "VMM"}, {vmMetric, "VM"}, {totalNs, "total"}}}.grid(
			Grid{ID: "boot-" + word(app), Part: 2, Title: "Boot time: " + app}, of)
		g.Legend = append([]string{"VMM: from its exec to the guest's first instruction; of a container, from the request to the application's exec. VM: from there until ready, firmware included. Total: both, measured as one."}, g.Legend...)
		if slices.ContainsFunc(of, func(c sourced) bool { return c.Settings != nil && c.Settings.Parallel > 1 }) {
			g.Legend = append(g.Legend, "Of several guests at once the slowest one counts.")
		}
		out = append(out, g)
	}
	return out
}

// memoryGrids are table 3: the least memory, what is used, and how many fit.
func memoryGrids(_ []Source, cells []sourced) []Grid {
	var out []Grid
	for _, t := range []struct {
		id, title, experiment, legend string
		metrics                       []phase
	}{
		{"memory-min", "Least memory", "memory-min", "The least memory with which the application still works, by dichotomic search; the VMM's own memory is not in it.", []phase{{"memory_min_bytes", "least"}}},
		{"memory-use", "Memory in use when ready", "memory-use", "Guest: its memory that the host has given it; of a process or container, its own. VMM: what the VMM has for itself.", []phase{{ownMemory, "guest"}, {"vmm_ready_bytes", "VMM"}}},
		{"density", "How many instances fit", "density", "Under one memory limit for all guests and their VMMs together.", []phase{{"instances", "instances"}, {"memory_per_instance_bytes", "memory each"}}},
	} {
		own := ofExperiment(cells, t.experiment)
		if len(own) == 0 {
			out = append(out, absent(t.id, 3, t.title, t.experiment)...)
			continue
		}
		legend := t.legend
		if ram := ramOf(own); t.id == "density" && ram != "" {
			legend = "Under one memory limit of " + ram + " for all guests and their VMMs together."
		}
		g := crossTable{rows: memoryRows, columns: memoryApps, of: appOf, metrics: t.metrics}.grid(
			Grid{ID: t.id, Part: 3, Title: t.title}, own)
		g.Legend = append([]string{legend}, g.Legend...)
		out = append(out, g)
	}
	return out
}

// ramOf is the memory that all the density cells had, "" if it was not the same.
func ramOf(cells []sourced) string {
	out := ""
	for _, c := range cells {
		if c.Settings == nil || c.Settings.Density == nil {
			return ""
		}
		if s := units.Size(float64(c.Settings.Density.RAMMiB) * (1 << 20)); out == "" || out == s {
			out = s
		} else {
			return ""
		}
	}
	return out
}

// throughputGrids are table 4, and what a request costs.
func throughputGrids(_ []Source, cells []sourced) []Grid {
	own := ofExperiment(cells, "throughput")
	if len(own) == 0 {
		return absent("throughput", 4, "Throughput", "throughput")
	}
	title := func(app string) string {
		if g := generators[app]; g != "" {
			return app + " (" + g + ")"
		}
		return app
	}
	rates := crossTable{rows: throughputRows, columns: throughputApps, of: appOf, metrics: []phase{{"requests_per_second", "requests/s"}}, title: title}.grid(
		Grid{ID: "throughput", Part: 4, Title: "Throughput, requests per second"}, own)
	cost := cellTable{metrics: experimentColumns["throughput"], okOnly: true}.grid(Grid{ID: "throughput-cost", Part: 4, Title: "Throughput: what a request costs"}, own)
	return []Grid{rates, cost}
}

// optionalGrids are table 5.
func optionalGrids(_ []Source, cells []sourced) []Grid {
	var out []Grid
	for _, t := range []struct{ experiment, title string }{{"http", "HTTP"}, {"dns", "DNS"}} {
		own := ofExperiment(cells, t.experiment)
		if len(own) == 0 {
			out = append(out, absent(t.experiment, 5, t.title, t.experiment)...)
			continue
		}
		out = append(out, cellTable{metrics: experimentColumns[t.experiment]}.grid(Grid{ID: t.experiment, Part: 5, Title: t.title}, own))
	}
	out = append(out, fsGrids(cells)...)
	own := ofExperiment(cells, aslr)
	if len(own) == 0 {
		return append(out, absent(aslr, 5, "Address-space layout randomisation", aslr)...)
	}
	return append(out, cellTable{metrics: experimentColumns[aslr]}.grid(Grid{ID: aslr, Part: 5, Title: "Address-space layout randomisation", Legend: []string{
		"In each boot one place is looked for again, which the footnote names. Entropy: of its address, in bits, estimated from how often each came over all boots of the cell; 0 if it is always the same. Of few boots it has a lower bound only."}}, own))
}

// fsGrids are a table for each block size, as the guest saw it, and one as the host did.
func fsGrids(cells []sourced) []Grid {
	own := ofExperiment(cells, "fs")
	if len(own) == 0 {
		return absent("fs", 5, "File system and block device", "fs")
	}
	var out []Grid
	for _, n := range blockSizes(own) {
		p := fmt.Sprintf("block_%d_", n)
		if !slices.ContainsFunc(own, func(c sourced) bool { return hasMetric(c.Cell, p+"read_latency_p50_ns") }) {
			p = "" // of one size the names are plain
		}
		out = append(out, cellTable{metrics: []phase{
			{p + "read_latency_p50_ns", "read p50"}, {p + "read_bytes_per_second", "read/s"}, {p + "sequential_read_latency_p50_ns", "in order p50"}, {p + "sequential_read_bytes_per_second", "in order/s"},
			{p + "write_latency_p50_ns", "write p50"}, {p + "write_bytes_per_second", "write/s"}, {p + "sequential_write_latency_p50_ns", "in order p50"}, {p + "sequential_write_bytes_per_second", "in order/s"},
			{p + "flush_latency_p50_ns", "flush p50"},
		}, okOnly: len(out) > 0}.grid(Grid{ID: fmt.Sprintf("fs-%d", n), Part: 5, Title: "File system: blocks of " + units.Size(float64(n)) + ", as the guest saw it"}, own))
	}
	host := cellTable{metrics: []phase{{"host_reads", "reads"}, {"host_read_latency_p50_ns", "p50"}, {"host_writes", "writes"}, {"host_write_latency_p50_ns", "p50"}}, okOnly: len(out) > 0}
	return append(out, host.grid(Grid{ID: "fs-host", Part: 5, Title: "File system: as the host saw it"}, own))
}

// blockSizes are those that the cells were asked for, in bytes.
func blockSizes(cells []sourced) []int {
	var out []int
	for _, c := range cells {
		if c.App != "fio" || c.Settings == nil || c.Settings.Load == nil {
			continue
		}
		for _, n := range c.Settings.Load.BlockBytes {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out
}

// cellTable describes a table with a row for each cell.
type cellTable struct {
	metrics []phase
	okOnly  bool // cells without figures are in another table, with the reason
}

func (t cellTable) grid(g Grid, cells []sourced) Grid {
	if t.okOnly {
		cells = selectCells(cells, func(c *results.Cell) bool { return c.HasFigures() && len(c.Samples) > 0 })
	}
	metrics := slices.DeleteFunc(slices.Clone(t.metrics), func(m phase) bool {
		return !slices.ContainsFunc(cells, func(c sourced) bool { return hasFigure(c.Cell, m.metric) })
	})
	if len(metrics) == 0 && t.okOnly {
		g.Absent, g.Legend = "No cell has been measured.", nil
		return g
	}
	if len(metrics) == 0 {
		metrics = t.metrics[:1]
	}
	for _, m := range metrics {
		g.Columns = append(g.Columns, Column{Title: m.title, Metric: m.metric})
	}
	g.Heads = []string{"system", "app", "run", "platform", "accelerator", "how"}
	b := gridBuilder{Grid: &g, numbers: map[string]int{}}
	for i := range cells {
		c := &cells[i]
		platform := displayPlatform(c.Platform)
		if c.Platform == c.System {
			platform = ""
		}
		g.Rows = append(g.Rows, Row{Heads: []string{display(c.System), c.App, c.run, platform, accelOf(c.Cell), how(c.Cell)}, Entries: b.entries(c, metrics)})
	}
	b.finish(cells)
	return g
}

// hasFigure tells whether a cell has a figure, or a bound in its place.
func hasFigure(c *results.Cell, metric string) bool {
	if _, ok := figureOf(c, metric); ok {
		return true
	}
	_, ok := boundOf(c, metric)
	return ok
}

// word makes an identifier of a name: letters, digits and hyphens.
func word(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-':
			b.WriteRune(r)
		case r >= 'A' && r <= 'Z':
			b.WriteRune(r - 'A' + 'a')
		default:
			b.WriteString("-" + strconv.FormatInt(int64(r), 36))
		}
	}
	return b.String()
}
