// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// cellOpen and cellClose split Cell around Samples; together with it they hold
// every field of Cell, which a test checks.
type cellOpen struct {
	System     string    `json:"system"`
	App        string    `json:"app"`
	Platform   string    `json:"platform"`
	Experiment string    `json:"experiment"`
	Accel      string    `json:"accel"`
	Probes     string    `json:"probes,omitempty"`
	Status     string    `json:"status"`
	Reason     string    `json:"reason,omitempty"`
	Image      *Image    `json:"image,omitempty"`
	Firmware   string    `json:"firmware,omitempty"`
	Settings   *Settings `json:"settings,omitempty"`
	Argv       []string  `json:"argv"`
	Stopped    *Stopped  `json:"stopped,omitempty"`
	Limit      *Limit    `json:"limit,omitempty"`
}

type cellClose struct {
	Histograms []Histogram        `json:"histograms,omitempty"`
	Summary    map[string]Summary `json:"summary"`
}

func openOf(c *Cell) cellOpen {
	return cellOpen{c.System, c.App, c.Platform, c.Experiment,
		c.Accel, c.Probes, c.Status, c.Reason, c.Image, c.Firmware, c.Settings, c.Argv, c.Stopped, c.Limit}
}

func (o *cellOpen) cell() Cell {
	return Cell{System: o.System, App: o.App, Platform: o.Platform, Experiment: o.Experiment,
		Accel: o.Accel, Probes: o.Probes, Status: o.Status, Reason: o.Reason, Image: o.Image, Firmware: o.Firmware,
		Settings: o.Settings, Argv: o.Argv, Stopped: o.Stopped, Limit: o.Limit}
}

// Encode writes a run as run.json has it, `counts` of samples included.
func Encode(w io.Writer, f *File) error {
	return writeFile(w, f, func(cell int) ([]json.RawMessage, error) {
		out := make([]json.RawMessage, len(f.Cells[cell].Samples))
		for n := range out {
			var err error
			if out[n], err = json.Marshal(&f.Cells[cell].Samples[n]); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

// writeFile writes run.json: the cells one below the other and every sample on a line of
// its own, so that line tools can work on it. samples gives those of a cell, encoded.
func writeFile(w io.Writer, f *File, samples func(cell int) ([]json.RawMessage, error)) error {
	run, host, err := texts(f)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(w, 1<<16)
	// bufio keeps the first error and Flush returns it.
	fmt.Fprintf(b, "{\n\"format\": %q,\n\"format_version\": %d,\n\"run\": %s,\n\"host\": %s,\n\"cells\": [",
		Format, FormatVersion, run, host)
	for i := range f.Cells {
		lines, err := samples(i)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Cells[i].Name(), err)
		}
		separate(b, i)
		if err := writeCell(b, &f.Cells[i], lines); err != nil {
			return err
		}
	}
	b.WriteString("\n]\n}\n")
	return b.Flush()
}

func writeCell(b *bufio.Writer, c *Cell, samples []json.RawMessage) error {
	open, err := json.Marshal(openOf(c))
	if err != nil {
		return err
	}
	end, err := json.Marshal(cellClose{c.Histograms, c.Summary})
	if err != nil {
		return err
	}
	b.Write(open[:len(open)-1]) // without its closing brace
	b.WriteString(",\"samples\":[")
	for i, s := range withCounts(samples, c.Counts()) {
		separate(b, i)
		b.Write(s)
	}
	b.WriteString("],")
	b.Write(end[1:]) // without its opening brace
	return nil
}

func separate(b *bufio.Writer, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
	b.WriteByte('\n')
}
