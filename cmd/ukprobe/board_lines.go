// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
)

// Of the board's lines, at most so many are the timeline's and the medians'.
const (
	timelineLines = 4
	medianLines   = 6
)

// lines are the board's for a terminal of that size, the most important first.
func (b *board) lines(width, height int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []string{b.bar(width), b.current()}
	if t := b.forming.Load(); t != nil {
		out = append(out, b.timeline(*t, width, min(timelineLines, max(1, height-len(out)-2)))...)
	}
	if rows := min(height-len(out)-1, medianLines); rows > 0 && len(b.cells) > 0 {
		out = append(out, b.medians(width, rows)...)
	}
	return out
}

// bar is how far the run is.
func (b *board) bar(width int) string {
	at := b.at
	done := at.Step - 1
	if b.ended != "" {
		done = at.Step
	}
	what, in := boots(at.Steps, at.Warmups)
	parts := []string{fmt.Sprintf(" %d/%s%d %s", done, about(at), at.Steps, what), fmt.Sprintf(", %d/%d cells", at.CellsDone, at.Cells)}
	if at.Left >= 0 {
		parts = append(parts, leftText(at.Left), ", until "+b.begun.Add(at.Left).Format(untilFormat(at.Left)))
	}
	const least, most = 6, 20
	words := ""
	for _, p := range parts {
		if len(words)+len(p)+least+2 <= width || words == "" {
			words += p
		}
	}
	if len(words)+len(in)+least+2 <= width {
		words = parts[0] + in + strings.TrimPrefix(words, parts[0])
	}
	n := max(1, min(most, width-len(words)-2))
	full := 0
	if at.Steps > 0 {
		full = min(n, done*n/at.Steps)
	}
	return "[" + b.style.Paint(text.FgGreen, strings.Repeat(b.style.Pick("█", "#"), full)) +
		strings.Repeat(b.style.Pick("░", "."), n-full) + "]" + words
}

// untilFormat is a clock's time, with its day where that is another one.
func untilFormat(left time.Duration) string {
	if left > 20*time.Hour {
		return "Mon 15:04"
	}
	return "15:04"
}

// current is what is being done.
func (b *board) current() string {
	at := b.at
	doing := "booting"
	switch {
	case at.Experiment == matrix.ImageSize && b.ended != "":
		doing = "measured"
	case at.Experiment == matrix.ImageSize:
		doing = "measuring"
	case b.ended != "":
		doing = "booted"
	case b.formed():
		doing = "ready:"
	}
	line := doing + " " + b.style.Paint(text.Bold, b.style.Clean(at.Cell)) + fmt.Sprintf(" (%s), %s", at.Accel, spokenSample(at))
	switch {
	case b.ended != "":
		line += ": " + b.ended
	case at.Apart:
		if d := b.now().Sub(b.begun); d >= time.Second {
			line += fmt.Sprintf(", for %v", d.Round(time.Second))
		}
	}
	return line
}

// formed: the guest is ready.
func (b *board) formed() bool {
	t := b.forming.Load()
	return t != nil && t.Ready()
}

func spokenSample(at orchestrate.Progress) string {
	if at.Warmup {
		return sampleText(at)
	}
	return "sample " + sampleText(at)
}

// timeline are a boot's events so far, each with its time since the first: as many lines
// as there may be, and where that is too few the last events.
func (b *board) timeline(t probe.Timeline, width, most int) []string {
	if len(t.Events) == 0 {
		return []string{"  " + b.style.Paint(text.Faint, "no event yet")}
	}
	const indent, gap = "  ", "  "
	begin := t.Events[0].NS
	var lines []string
	line, used := indent, len(indent)
	for i, e := range t.Events {
		at := b.units.Duration(float64(e.NS - begin))
		n := len(e.Name) + 1 + text.StringWidthWithoutEscSequences(at)
		if i > 0 && used+len(gap)+n > width {
			lines, line, used = append(lines, line), indent, len(indent)
		} else if used > len(indent) {
			line, used = line+gap, used+len(gap)
		}
		name := e.Name
		if name == t.ReadyEvent {
			name = b.style.Paint(text.FgGreen, name)
		}
		line, used = line+name+" "+b.style.Paint(text.Faint, at), used+n
	}
	lines = append(lines, line)
	return lines[max(0, len(lines)-most):]
}

// medians is a table of the cells that were sampled last: a head and rows.
func (b *board) medians(width, rows int) []string {
	table := [][]string{{"median so far", "n", "", "", "last"}}
	for _, c := range b.cells {
		if len(c.cell.Samples) == 0 || len(table) == rows { // warm-ups only, or no room
			continue
		}
		if c.row == nil {
			c.row = b.row(c)
		}
		table = append(table, c.row)
	}
	if len(table) == 1 {
		return nil
	}
	widths := fit(table, width)
	out := make([]string, len(table))
	for i, row := range table {
		line := text.Pad(b.shorten(row[0], widths[0]), widths[0], ' ')
		for j, w := range widths[1:] {
			line += columnGap + text.AlignRight.Apply(row[j+1], w)
		}
		if i == 0 {
			line = b.style.Paint(text.Faint, line)
		}
		out[i] = line
	}
	return out
}

// columnGap is between two columns.
const columnGap = "  "

// fit are the widths of a table's columns. Where they are too many the last ones are left
// out, and then the names give way.
func fit(table [][]string, width int) []int {
	const least = 20 // of a name
	widths := make([]int, len(table[0]))
	for _, row := range table {
		for i, word := range row {
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(word))
		}
	}
	for {
		rest := 0
		for _, w := range widths[1:] {
			rest += w + len(columnGap)
		}
		if width-rest >= min(widths[0], least) || len(widths) <= 3 {
			widths[0] = max(1, min(widths[0], width-rest))
			return widths
		}
		widths = widths[:len(widths)-1]
	}
}

// row is a cell's in the table.
func (b *board) row(c *boardCell) []string {
	taken, ok := len(c.cell.Samples), c.cell.OKSamples()
	n := fmt.Sprint(taken)
	if ok < taken {
		n = fmt.Sprintf("%d of %d", ok, taken)
	}
	words := []string{b.style.Pick("–", "-"), ""}
	if figure, s, found := c.figure(); found {
		words = b.median(figure, s)
	}
	return slices.Concat([]string{b.style.Clean(c.at.Cell), n}, words, []string{c.last})
}

// shorten leaves out the middle of a name: its ends tell cells apart.
func (b *board) shorten(name string, width int) string {
	r := []rune(name)
	if len(r) <= width || width < 3 {
		return name
	}
	head := (width - 1) / 2
	return string(r[:head]) + b.style.Pick("…", "~") + string(r[len(r)-(width-1-head):])
}
