// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
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
	Tainted   int `json:"tainted,omitempty"`   // of these two
	Disturbed int `json:"disturbed,omitempty"` // of these two
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
	head := *c
	head.Samples, head.Histograms = nil, nil
	out := CellValues{Cell: head, Rungs: c.EventRungs(), Values: map[string][]float64{}}
	if out.Summary == nil {
		out.Summary = c.Summarize()
	}
	out.Counts = Counts{Samples: len(c.Samples), Taken: c.Taken()}
	for _, i := range c.Standing() {
		s := &c.Samples[i]
		out.Counts.add(s)
		if s.Status != SampleOK {
			continue
		}
		for name, v := range s.Metrics() {
			out.Values[name] = append(out.Values[name], v)
		}
	}
	return out
}

// EventRungs are, by event, the rungs that it was seen by in the ok samples that count,
// sorted.
func (c *Cell) EventRungs() map[string][]string {
	out := map[string][]string{}
	ok, _ := c.standingOK()
	for _, s := range ok {
		for _, e := range s.Events {
			if !slices.Contains(out[e.Name], e.Rung) {
				out[e.Name] = append(out[e.Name], e.Rung)
			}
		}
	}
	for _, rungs := range out {
		slices.Sort(rungs)
	}
	return out
}

func (c *Counts) add(s *Sample) {
	switch s.Status {
	case SampleOK:
		c.OK++
	case SampleTimeout:
		c.TimedOut++
	default:
		return
	}
	if len(s.Taints) > 0 {
		c.Tainted++
	}
	if s.Disturbed {
		c.Disturbed++
	}
}

// packedValues is what is stored of a CellValues beside the cell itself, but for the
// figures: these follow as shuffled float64, first seven for each summary, then the
// values, metric by metric.
type packedValues struct {
	Counts
	Rungs     map[string][]string `json:"rungs"`
	Summaries []string            `json:"summaries"`       // their metrics
	Notes     map[string]string   `json:"notes,omitempty"` // of summaries
	Metrics   []string            `json:"metrics"`
	Lengths   []int               `json:"lengths"` // of the metrics' values
}

// summaryFigures is how many float64 a Summary is stored as.
const summaryFigures = 7

func (s *Summary) figures() [summaryFigures]float64 {
	low, high := math.NaN(), math.NaN() // no interval
	if s.CI95 != nil {
		low, high = s.CI95[0], s.CI95[1]
	}
	return [summaryFigures]float64{float64(s.N), s.Median, low, high, s.Min, s.Max, float64(s.Beyond)}
}

func summaryOf(f []float64, note string) Summary {
	s := Summary{N: int(f[0]), Median: f[1], Min: f[4], Max: f[5], Beyond: int(f[6]), Note: note}
	if !math.IsNaN(f[2]) {
		s.CI95 = &[2]float64{f[2], f[3]}
	}
	return s
}

// encodeValues packs: a uvarint with the length of the JSON, the JSON, the figures; zstd
// over all.
func encodeValues(v *CellValues) ([]byte, error) {
	p := packedValues{Counts: v.Counts, Rungs: v.Rungs, Notes: map[string]string{},
		Summaries: slices.Sorted(maps.Keys(v.Summary)), Metrics: slices.Sorted(maps.Keys(v.Values))}
	var summaries []float64
	for _, name := range p.Summaries {
		s := v.Summary[name]
		figures := s.figures()
		summaries = append(summaries, figures[:]...)
		if s.Note != "" {
			p.Notes[name] = s.Note
		}
	}
	figures := shuffle(summaries)
	for _, name := range p.Metrics {
		p.Lengths = append(p.Lengths, len(v.Values[name]))
		figures = append(figures, shuffle(v.Values[name])...)
	}
	head, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return pack(slices.Concat(binary.AppendUvarint(nil, uint64(len(head))), head, figures))
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
	v.Counts, v.Rungs = p.Counts, p.Rungs
	return v.figures(&p, rest)
}

// figures takes a cell's figures from where they follow on the head.
func (v *CellValues) figures(p *packedValues, data []byte) error {
	take := func(n int) ([]float64, error) {
		if n < 0 || n > len(data)/8 {
			return nil, errValues
		}
		out := unshuffle(data[:n*8])
		data = data[n*8:]
		return out, nil
	}
	summaries, err := take(len(p.Summaries) * summaryFigures)
	if err != nil || len(p.Metrics) != len(p.Lengths) {
		return errValues
	}
	v.Summary = make(map[string]Summary, len(p.Summaries))
	for i, name := range p.Summaries {
		v.Summary[name] = summaryOf(summaries[i*summaryFigures:][:summaryFigures], p.Notes[name])
	}
	v.Values = make(map[string][]float64, len(p.Metrics))
	for i, name := range p.Metrics {
		if v.Values[name], err = take(p.Lengths[i]); err != nil {
			return err
		}
	}
	if len(data) > 0 {
		return errValues
	}
	return nil
}
