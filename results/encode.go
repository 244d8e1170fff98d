// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// encoded is a run in the pieces it is written in. Samples are encoded once,
// when they are added: rewriting the file then costs no encoding of them.
type encoded struct {
	run, host json.RawMessage
	cells     []encodedCell
}

type encodedCell struct {
	open    json.RawMessage   // the cell's fields before its samples
	samples []json.RawMessage // one line each
	counts  []bool            // of each sample
	close   json.RawMessage   // the cell's fields after its samples
}

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

func (e *encodedCell) set(c *Cell) error {
	open, err := json.Marshal(cellOpen{c.System, c.App, c.Platform, c.Experiment,
		c.Accel, c.Probes, c.Status, c.Reason, c.Image, c.Firmware, c.Settings, c.Argv, c.Stopped, c.Limit})
	if err != nil {
		return err
	}
	end, err := json.Marshal(cellClose{c.Histograms, c.Summary})
	if err != nil {
		return err
	}
	e.open, e.counts, e.close = open, c.Counts(), end
	return nil
}

// writeTo writes run.json: the cells one below the other and every sample on a
// line of its own, so that line tools can work on it.
func (e *encoded) writeTo(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<16)
	// bufio keeps the first error and Flush returns it.
	fmt.Fprintf(b, "{\n\"format\": %q,\n\"format_version\": %d,\n\"run\": %s,\n\"host\": %s,\n\"cells\": [",
		Format, FormatVersion, e.run, e.host)
	for i := range e.cells {
		separate(b, i)
		e.cells[i].writeTo(b)
	}
	b.WriteString("\n]\n}\n")
	return b.Flush()
}

func (e *encodedCell) writeTo(b *bufio.Writer) {
	b.Write(e.open[:len(e.open)-1]) // without its closing brace
	b.WriteString(",\"samples\":[")
	for i, s := range withCounts(e.samples, e.counts) {
		separate(b, i)
		b.Write(s)
	}
	b.WriteString("],")
	b.Write(e.close[1:]) // without its opening brace
}

func separate(b *bufio.Writer, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
	b.WriteByte('\n')
}
