// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ukprobe/ukprobe/results"
)

// csvColumns are the columns of the tidy form; docs/report.md describes them.
var csvColumns = []string{"run", "host", "system", "app", "platform", "experiment", "variant", "accel", "probes", "memory_mib", "vcpus", "settings", "sample", "status", "counts", "repeat_of", "taints", "metric", "unit", "value"}

// CSV writes every sample's every figure as a row of its own. A sample without any has one
// row without metric. With curves their points are rows too, and a further column, at_ns,
// has their times since the sample's first event (or since the curve's first point).
func (d *Document) CSV(w io.Writer, curves bool) error {
	out := csv.NewWriter(w)
	if err := d.tidy(out.Write, curves); err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

// TSV writes the same with tabs between the fields and nothing quoted: no field has a tab or
// a line break.
func (d *Document) TSV(w io.Writer, curves bool) error {
	return d.tidy(func(fields []string) error {
		_, err := io.WriteString(w, strings.Join(fields, "\t")+"\n")
		return err
	}, curves)
}

// tidy writes the header and the rows.
func (d *Document) tidy(write func([]string) error, curves bool) error {
	header := csvColumns
	if curves {
		header = append(slices.Clone(header), "at_ns")
	}
	if err := write(header); err != nil {
		return err
	}
	var failed error
	for i := range d.Sources {
		f := d.Sources[i].File
		for j := range f.Cells {
			c := &f.Cells[j]
			cell := []string{f.Run.ID, hostWords(&f.Host), c.System, c.App, c.Platform, experimentOf(c), c.Variant().String(), c.Accel, csvProbes(c)}
			cell = append(cell, settingColumns(c)...)
			for k := range cell {
				cell[k] = CSVField(cell[k])
			}
			rows := csvRows{cell: cell, curves: curves, write: write, err: &failed}
			counts := c.Counts()
			for k := range c.Samples {
				rows.counts, rows.repeatOf = strconv.FormatBool(counts[k]), ""
				if of := c.Samples[k].RepeatOf; of != 0 {
					rows.repeatOf = strconv.Itoa(of)
				}
				rows.sample(strconv.Itoa(k+1), &c.Samples[k])
				rows.counts = "false" // summaries are of samples
				for l := range c.Samples[k].Guests {
					rows.sample(fmt.Sprintf("%d/%d", k+1, l+1), &c.Samples[k].Guests[l])
				}
			}
		}
	}
	return failed
}

// settingColumns are what a cell's figures depend on: its memory and vCPUs, empty if it has
// none of its own, and all else as a list of name=value.
func settingColumns(c *results.Cell) []string {
	all := c.FigureSettings()
	var rest []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name != "memory_mib" && name != "vcpus" {
			rest = append(rest, name+"="+settingText(all[name]))
		}
	}
	return []string{all["memory_mib"], all["vcpus"], strings.Join(rest, "; ")}
}

type csvRows struct {
	cell             []string
	counts, repeatOf string
	curves           bool
	write            func([]string) error
	err              *error // the first
}

func (r csvRows) sample(number string, s *results.Sample) {
	metrics := s.Metrics()
	taints := CSVField(strings.Join(s.Taints, "; "))
	row := func(metric, unit, value, at string) {
		fields := slices.Concat(r.cell, []string{number, CSVField(s.Status), r.counts, r.repeatOf, taints, CSVField(metric), unit, value})
		if r.curves {
			fields = append(fields, at)
		}
		if *r.err == nil {
			*r.err = r.write(fields)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		row(name, unitOf(name), exact(metrics[name]), "")
	}
	if len(metrics) == 0 {
		row("", "", "", "")
	}
	if !r.curves {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.Curves)) {
		zero := curveZero(s, s.Curves[name])
		for _, p := range s.Curves[name] {
			row(name, unitOf(name), exact(p.Value), strconv.FormatInt(p.NS-zero, 10))
		}
	}
}

// curveZero is the time that a curve's points are counted from.
func curveZero(s *results.Sample, points []results.Point) int64 {
	if len(s.Events) > 0 {
		e, _ := begin(s.Events)
		return e.NS
	}
	if len(points) > 0 {
		return points[0].NS
	}
	return 0
}

func exact(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func csvProbes(c *results.Cell) string {
	if c.Probes == "" {
		return results.ProbesBoot
	}
	return c.Probes
}

// unitOf is the unit of a metric, which its name ends with.
func unitOf(metric string) string {
	for _, u := range []struct{ suffix, unit string }{
		{"_bytes_per_second", "B/s"}, {"_per_second", "1/s"}, {"_bytes", "B"}, {"_ns", "ns"}, {"_percent", "%"}, {"_bits", "bit"},
	} {
		if strings.HasSuffix(metric, u.suffix) {
			return u.unit
		}
	}
	return "1"
}

// CSVField makes a text a field that no spreadsheet takes for a formula, without
// control characters.
func CSVField(s string) string {
	s = Options{}.Clean(s)
	if first, size := utf8.DecodeRuneInString(s); size > 0 && strings.ContainsRune("=+-@＝＋－＠", first) { // also as wide as an ideograph
		return "'" + s
	}
	return s
}
