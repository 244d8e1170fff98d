// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/internal/plainjson"
	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/results/report"
)

// JSON writes all of it.
func (r *Report) JSON(w io.Writer) error {
	out := *r
	out.Left, out.Warnings = orEmpty(r.Left), orEmpty(r.Warnings)
	out.Rows = orEmpty(r.Rows)
	enc := plainjson.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// csvHeader are the columns of CSV; figures are in the metric's unit, and in full.
var csvHeader = []string{"system", "app", "platform", "experiment", "variant", "accel", "probes", "a_is", "b_is", "metric", "better_is",
	"a_n", "a_timed_out", "a_median", "a_ci95_low", "a_ci95_high", "a_tainted", "a_modes", "a_drift_percent", "a_drift_p", "a_outliers",
	"b_n", "b_timed_out", "b_median", "b_ci95_low", "b_ci95_high", "b_tainted", "b_modes", "b_drift_percent", "b_drift_p", "b_outliers",
	"change_percent", "change_percent_low", "change_percent_high", "shift", "shift_low", "shift_high", "superiority", "superiority_low", "superiority_high",
	"p", "p_exact", "p_corrected", "verdict", "beyond_threshold", "regression", "notes",
	"ratio", "ratio_low", "ratio_high"}

// CSV writes a line per comparison (RFC 4180). What is not there is empty; texts are as in
// the report's ([report.CSVField]). Cells that were not compared have none: [Report.NotCompared].
func (r *Report) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(csvHeader); err != nil {
		return err
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		line := []string{row.System, row.App, row.Platform, row.Experiment, row.Variant, row.Accel, row.Probes, row.FromA, row.FromB, row.Metric, string(row.Better)}
		for i := range line {
			line[i] = report.CSVField(line[i])
		}
		for _, f := range []Figures{row.A, row.B} {
			line = append(line, strconv.Itoa(f.N), strconv.Itoa(f.Beyond), full(f.Median))
			line = append(line, ends(f.CI95)...)
			line = append(line, strconv.Itoa(f.Tainted), strconv.Itoa(max(1, len(f.Modes))), full(f.DriftPercent), full(f.DriftP), strconv.Itoa(f.Outliers))
		}
		line = append(line, full(row.ChangePercent))
		line = append(line, ends(row.ChangeCI95)...)
		line = append(line, full(row.Shift))
		line = append(line, ends(row.ShiftCI95)...)
		line = append(line, full(row.Superiority))
		line = append(line, ends(row.SuperiorityCI95)...)
		exactP := ""
		if row.P != nil {
			exactP = strconv.FormatBool(row.ExactP)
		}
		line = append(line, full(row.P), exactP, full(row.PCorrected), string(row.Verdict),
			strconv.FormatBool(row.Beyond), strconv.FormatBool(row.Regression), report.CSVField(strings.Join(row.Notes, "; ")), full(row.Ratio))
		line = append(line, ends(row.RatioCI95)...)
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func full(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}

func ends(ci *[2]float64) []string {
	if ci == nil {
		return []string{"", ""}
	}
	return []string{full(&ci[0]), full(&ci[1])}
}

// Markdown writes tables in GitHub's form.
func (r *Report) Markdown(w io.Writer) error {
	p := printer{units: units.Style{}}
	var b strings.Builder
	for _, s := range r.sides() {
		fmt.Fprintf(&b, "- %s\n", report.EscapeMarkdown(s))
	}
	for _, s := range r.Warnings {
		fmt.Fprintf(&b, "\n> **Warning:** %s\n", report.EscapeMarkdown(s))
	}
	for _, bl := range r.blocks() {
		fmt.Fprintf(&b, "\n### %s\n\n| cell | A | B | B against A | | verdict |\n|---|--:|--:|--:|---|---|\n", report.EscapeMarkdown(bl.heading))
		var notes []string
		for _, row := range bl.rows {
			name := report.EscapeMarkdown(row.name())
			if n := row.notes(p); len(n) > 0 {
				name += " " + report.EscapeMarkdown(mark(&notes, n))
			}
			verdict := report.EscapeMarkdown(r.verdict(row))
			if row.Regression {
				verdict = "**" + verdict + "**"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", name, p.figure(row.Metric, row.A), p.figure(row.Metric, row.B), p.change(row), report.EscapeMarkdown(row.evidence()), verdict)
		}
		if g := p.geomean(bl.rows); g != "" {
			fmt.Fprintf(&b, "| geomean | | | %s | | |\n", g)
		}
		for i, n := range notes {
			fmt.Fprintf(&b, "\n\\[%d\\] %s\n", i+1, report.EscapeMarkdown(n))
		}
	}
	for _, l := range slices.Concat(r.NotCompared(), []string{r.legend()}) {
		fmt.Fprintf(&b, "\n%s\n", report.EscapeMarkdown(l))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
