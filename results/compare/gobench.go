// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/perf/benchfmt"

	"github.com/ukprobe/ukprobe/results/report"
)

// GoBench writes the samples of sets in Go's benchmark format, a line per sample, so that
// benchstat reads them. Of several sets each line's configuration has set: A, B: give
// benchstat -col set. What a figure is not in a sample (samples that timed out, figures of
// all samples together) is not there.
//
// https://go.dev/design/14313-benchmark-format
func GoBench(w io.Writer, metrics []string, sets ...Set) error {
	out := benchfmt.NewWriter(w)
	described := map[string]bool{}
	for i, s := range sets {
		config := []benchfmt.Config{fileConfig("cpu", s.Host.CPUModel), fileConfig("kernel", s.Host.Kernel)}
		if len(sets) > 1 {
			config = append(config, fileConfig("set", string(rune('A'+i))))
		}
		config = slices.DeleteFunc(config, func(c benchfmt.Config) bool { return len(c.Value) == 0 })
		for j := range s.Cells {
			c := &s.Cells[j]
			if err := c.goBench(out, described, config, chosen(metrics, c, c)); err != nil {
				return err
			}
		}
	}
	return nil
}

func fileConfig(key, value string) benchfmt.Config {
	return benchfmt.Config{Key: key, Value: []byte(strings.Join(strings.Fields(report.Options{}.Clean(value)), " ")), File: true}
}

func (c *Cell) goBench(w *benchfmt.Writer, described map[string]bool, config []benchfmt.Config, metrics []string) error {
	most := 0
	for _, m := range metrics {
		if c.Metrics[m].Whole {
			continue
		}
		most = max(most, len(c.Metrics[m].Values))
		if err := describe(w, described, m, exact(c.Experiment)); err != nil {
			return err
		}
	}
	for i := range most {
		r := &benchfmt.Result{Config: config, Name: benchfmt.Name(c.benchmark()), Iters: 1}
		for _, m := range metrics {
			s := c.Metrics[m]
			if i < len(s.Values) && !s.Whole && !math.IsNaN(s.Values[i]) && !math.IsInf(s.Values[i], 0) {
				r.Values = append(r.Values, benchfmt.Value{Value: s.Values[i], Unit: benchUnit(m)})
			}
		}
		if len(r.Values) == 0 {
			continue
		}
		if err := w.Write(r); err != nil {
			return err
		}
	}
	return nil
}

// describe says once of each unit which direction is better, and whether it is exact.
func describe(w *benchfmt.Writer, described map[string]bool, metric string, exact bool) error {
	if described[metric] {
		return nil
	}
	described[metric] = true
	facts := map[Better]string{Less: "lower", More: "higher"}
	var lines []*benchfmt.UnitMetadata
	if better := facts[BetterOf(metric)]; better != "" {
		lines = append(lines, &benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Key: "better"}, Value: better})
	}
	if exact {
		lines = append(lines, &benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Key: "assume"}, Value: "exact"})
	}
	for _, l := range lines {
		l.OrigUnit = benchUnit(metric)
		if err := w.Write(l); err != nil {
			return err
		}
	}
	return nil
}

// benchUnit is the metric as a unit, by whose end benchstat knows how to write it: total-ns,
// guest-ready-B, requests/s.
func benchUnit(metric string) string {
	for _, e := range []struct{ end, unit string }{{"_bytes_per_second", "-B/s"}, {"_per_second", "/s"}, {"_bytes", "-B"}, {"_ns", "-ns"}} {
		if rest, has := strings.CutSuffix(metric, e.end); has {
			return orUnderscore(oneWord(rest)) + e.unit
		}
	}
	return orUnderscore(oneWord(metric))
}

// benchmark is the cell as a benchmark's name: the experiment, and its keys below it.
// Nothing at its end passes for the number of CPUs.
func (c *Cell) benchmark() string {
	name := ""
	for _, word := range strings.FieldsFunc(report.Options{}.Clean(c.Experiment), func(r rune) bool { return r == '-' || unicode.IsSpace(r) }) {
		first, size := utf8.DecodeRuneInString(word)
		name += string(unicode.ToUpper(first)) + word[size:]
	}
	if first, _ := utf8.DecodeRuneInString(name); unicode.IsLower(first) { // of which there is no larger one
		name = "_" + name
	}
	parts := []string{oneWord(name), "system=" + oneWord(c.System), "app=" + oneWord(c.App), "platform=" + oneWord(c.Platform)}
	if c.Variant != "" {
		for _, v := range strings.Split(c.Variant, "/") {
			parts = append(parts, oneWord(v))
		}
	}
	name = strings.Join(append(parts, "accel="+orNone(oneWord(c.Accel)), "probes="+oneWord(c.Probes)), "/")
	if likeCPUs.MatchString(name) {
		name += "_"
	}
	return name
}

// likeCPUs is how Go ends a benchmark's name with the number of CPUs.
var likeCPUs = regexp.MustCompile(`-[0-9]+$`)

// oneWord is a text without what the format gives a meaning. It may be a file's from
// elsewhere: it is cleaned as for every other output.
func oneWord(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '/' || r == unicode.ReplacementChar {
			return '_'
		}
		return r
	}, report.Options{}.Clean(s))
}

// orUnderscore is a word, also of which nothing was left.
func orUnderscore(s string) string {
	if s == "" {
		return "_"
	}
	return s
}
