// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// CellValues is a cell with the values of its metrics, without its samples: what lists
// and comparisons need, and all that a store reads for them.
type CellValues struct {
	// Cell has no samples and no histograms here. What is asked of samples (Standing,
	// Taken, Summarize …) it cannot answer; the fields below do.
	Cell
	Counts Counts
	// Rungs are, by event, the rungs that it was seen by in the samples below, sorted.
	Rungs map[string][]string
	// Values are those of the ok samples that count ([Cell.Standing]), in the order in
	// which they were taken. A sample that lacks the metric has no place in its list.
	Values map[string][]float64
}

// Counts are how many samples a cell has.
type Counts struct {
	Samples   int `json:"samples"`             // all
	Taken     int `json:"taken"`               // without repeats of disturbed ones
	OK        int `json:"ok"`                  // that count and were ok
	TimedOut  int `json:"timed_out,omitempty"` // that count and were not ready in time
	Tainted   int `json:"tainted,omitempty"`   // of those that count
	Disturbed int `json:"disturbed,omitempty"` // of those that count
}

// FromFile are the cells of a whole run with their values.
func FromFile(f *File) []CellValues {
	out := make([]CellValues, len(f.Cells))
	for i := range f.Cells {
		out[i] = valuesOf(&f.Cells[i])
	}
	return out
}

func valuesOf(c *Cell) CellValues {
	out := CellValues{Cell: *c, Rungs: map[string][]string{}, Values: map[string][]float64{}}
	if out.Summary == nil {
		out.Summary = c.Summarize()
	}
	out.Cell.Samples, out.Histograms = nil, nil
	out.Counts = Counts{Samples: len(c.Samples), Taken: c.Taken()}
	seen := map[string]map[string]bool{}
	for _, i := range c.Standing() {
		s := &c.Samples[i]
		out.Counts.add(s)
		if s.Status != SampleOK {
			continue
		}
		for name, v := range s.Metrics() {
			out.Values[name] = append(out.Values[name], v)
		}
		for _, e := range s.Events {
			if seen[e.Name] == nil {
				seen[e.Name] = map[string]bool{}
			}
			seen[e.Name][e.Rung] = true
		}
	}
	for name, rungs := range seen {
		out.Rungs[name] = slices.Sorted(maps.Keys(rungs))
	}
	return out
}

func (c *Counts) add(s *Sample) {
	switch s.Status {
	case SampleOK:
		c.OK++
	case SampleTimeout:
		c.TimedOut++
	}
	if len(s.Taints) > 0 {
		c.Tainted++
	}
	if s.Disturbed {
		c.Disturbed++
	}
}

// packedValues is what is stored of a CellValues beside the cell itself, before its
// values: these follow as shuffled float64, metric by metric.
type packedValues struct {
	Counts
	Rungs   map[string][]string `json:"rungs"`
	Summary map[string]Summary  `json:"summary"`
	Metrics []string            `json:"metrics"`
	Lengths []int               `json:"lengths"` // of the metrics' values
}

// encodeValues packs: a uvarint with the length of the JSON, the JSON, the values; zstd
// over all.
func encodeValues(v *CellValues) ([]byte, error) {
	p := packedValues{Counts: v.Counts, Rungs: v.Rungs, Summary: v.Summary, Metrics: slices.Sorted(maps.Keys(v.Values))}
	var values []byte
	for _, name := range p.Metrics {
		p.Lengths = append(p.Lengths, len(v.Values[name]))
		values = append(values, shuffle(v.Values[name])...)
	}
	head, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return pack(slices.Concat(binary.AppendUvarint(nil, uint64(len(head))), head, values))
}

var errValues = errors.New("the values of a cell are not as they were written")

// decodeValues is the reverse, into a cell.
func decodeValues(data []byte, v *CellValues) error {
	data, err := unpack(data)
	if err != nil {
		return err
	}
	r := bytes.NewReader(data)
	n, err := binary.ReadUvarint(r)
	if err != nil || n > uint64(r.Len()) {
		return errValues
	}
	rest := data[len(data)-r.Len():]
	head, rest := rest[:n], rest[n:]
	var p packedValues
	if err := json.Unmarshal(head, &p); err != nil {
		return fmt.Errorf("%w: %w", errValues, err)
	}
	if len(p.Metrics) != len(p.Lengths) {
		return errValues
	}
	v.Counts, v.Rungs, v.Summary = p.Counts, p.Rungs, p.Summary
	v.Values = make(map[string][]float64, len(p.Metrics))
	for i, name := range p.Metrics {
		size := p.Lengths[i] * 8
		if p.Lengths[i] < 0 || p.Lengths[i] > len(rest)/8 {
			return errValues
		}
		v.Values[name], rest = unshuffle(rest[:size]), rest[size:]
	}
	if len(rest) > 0 {
		return errValues
	}
	return nil
}
