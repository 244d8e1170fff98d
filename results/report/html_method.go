// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// fact is a line of a list of facts.
type fact struct{ Name, Text string }

// methodRun is what a reader has to know of how a run was made, and where.
type methodRun struct {
	ID       string // of the HTML
	Label    string
	Run      []fact
	Host     []fact
	KVM      []fact
	Settings []fact
	Rungs    []figureTable // one, or none
	Cells    figureTable   // what each experiment was asked for
	Taints   *figureTable
	Launches figureTable // none, if it has no rows
}

func method(s *Source) methodRun {
	f := s.File
	m := methodRun{ID: word(s.Label), Label: s.Label, Run: slices.Concat(runFacts(f), methodFacts(f)), Host: hostFacts(&f.Host), KVM: sortedFacts(f.Host.KVMParameters), Settings: sortedFacts(f.Host.Settings), Cells: askedTable(f), Taints: taintTable(f), Launches: launchTable(f)}
	rungs := figureTable{Name: "Rungs", Head: []string{"hook", "rung", "why not a better one"}}
	for _, hook := range slices.Sorted(maps.Keys(f.Host.Rungs)) {
		r := f.Host.Rungs[hook]
		rungs.Rows = append(rungs.Rows, []string{hook, cmp.Or(r.Rung, "none"), cmp.Or(r.Reason, "it is the best")})
	}
	if len(rungs.Rows) > 0 {
		m.Rungs = []figureTable{rungs}
	}
	return m
}

func sortedFacts(m map[string]string) []fact {
	var out []fact
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fact{k, cmp.Or(m[k], "–")})
	}
	return out
}

func runFacts(f *results.File) []fact {
	r, o := &f.Run, Options{Width: 1 << 20}
	const layout = "2006-01-02 15:04:05 MST"
	out := []fact{{"run", r.ID}, {"status", r.Status}, {"ukprobe", r.Version}, {"started", r.Started.UTC().Format(layout)}}
	if r.Finished != nil {
		out = append(out, fact{"finished", r.Finished.UTC().Format(layout)})
		if ran, known := r.Ran(); known && len(r.Parts) > 1 {
			out = append(out, fact{"under way", fmt.Sprintf("%s, in %d parts", ran.Round(time.Second), len(r.Parts))})
		}
	}
	out = append(out, fact{"seed", fmt.Sprintf("%d: of the order in which samples of all cells were taken in turns", r.Seed)}, fact{"command line", strings.Join(r.Argv, " ")})
	if r.Asked != nil {
		out = append(out, fact{"matrix", r.Asked.Matrix})
	}
	for _, line := range slices.Concat(o.resumed(f), o.overhead(f)) {
		name, text, found := strings.Cut(line, ": ")
		if !found {
			name, text = "parts", line
		}
		out = append(out, fact{name, text})
	}
	return out
}

func hostFacts(h *results.Host) []fact {
	none := func(s, what string) string { return cmp.Or(s, what) }
	out := []fact{
		{"processor", none(h.CPUModel, "not known")}, {"CPUs online", fmt.Sprint(h.CPUs)}, {"kernel", h.Kernel},
		{"hypervisor below", none(h.Hypervisor, "none: bare metal, or it hides")}, {"accelerators", none(strings.Join(h.Accelerators, ", "), "none")},
		{"governor", none(h.Governor, "no cpufreq")}, {"SMT", none(h.SMT, "not known")}, {"isolated CPUs", none(h.IsolatedCPUs, "none")}, {"kernel command line", none(h.Cmdline, "not known")},
	}
	return out
}

// askedTable is what the cells of each experiment were asked for, once for all that were
// asked the same.
func askedTable(f *results.File) figureTable {
	t := figureTable{Name: "What was asked of the cells", Head: []string{"experiment", "cells", "samples taken", "samples", "warm-up", "time limit", "memory", "vCPUs", "CPUs (vCPU; VMM; client)"}}
	type key struct{ experiment, samples, warmup, timeout, memory, vcpus, cpus string }
	var keys []key
	cells, taken := map[key]int{}, map[key]int{}
	for i := range f.Cells {
		c := &f.Cells[i]
		s := c.Settings
		if s == nil || len(c.Samples) == 0 {
			continue
		}
		k := key{experimentOf(c), fmt.Sprint(s.Samples), fmt.Sprint(s.Warmup), time.Duration(s.TimeoutNs).String(), "–", "–", "–"}
		applies := func(name string) bool { return results.SettingApplies(c.Platform, experimentOf(c), name) }
		if applies("memory_mib") {
			k.memory = fmt.Sprintf("%d MiB", s.MemoryMiB)
		}
		if applies("vcpus") {
			k.vcpus = fmt.Sprint(s.VCPUs)
		}
		if s.Until != nil {
			k.samples = fmt.Sprintf("until ±%d %%, %d to %d", s.Until.WithinPercent, s.Samples, s.Until.AtMost)
		}
		if s.TimeoutLearnt {
			k.timeout = "learnt, at most " + k.timeout
		}
		if s.CPUs != nil {
			k.cpus = fmt.Sprintf("%s; %s; %s", numbers(s.CPUs.VCPU), numbers(s.CPUs.VMM), numbers(s.CPUs.Client))
		}
		if cells[k] == 0 {
			keys = append(keys, k)
		}
		cells[k]++
		taken[k] += len(c.Samples)
	}
	for _, k := range keys {
		t.Rows = append(t.Rows, []string{k.experiment, fmt.Sprint(cells[k]), fmt.Sprint(taken[k]), k.samples, k.warmup, k.timeout, k.memory, k.vcpus, k.cpus})
	}
	return t
}

func numbers(n []int) string {
	words := make([]string, len(n))
	for i, v := range n {
		words[i] = fmt.Sprint(v)
	}
	return cmp.Or(strings.Join(words, ","), "any")
}

// taintTable counts the samples that each kind of taint has marked; nil if none has.
func taintTable(f *results.File) *figureTable {
	counts, all := map[string]int{}, 0
	for i := range f.Cells {
		for j := range f.Cells[i].Samples {
			all++
			seen := map[string]bool{}
			for _, taint := range f.Cells[i].Samples[j].Taints {
				if k := kindOfTaint(taint); !seen[k] {
					seen[k] = true
					counts[k]++
				}
			}
		}
	}
	if len(counts) == 0 {
		return nil
	}
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b)) })
	t := &figureTable{Name: "Taints", Head: []string{"taint", "samples", "of all"}}
	const most = 40
	for _, k := range kinds[:min(most, len(kinds))] {
		t.Rows = append(t.Rows, []string{k, fmt.Sprint(counts[k]), number(100*float64(counts[k])/float64(all)) + " %"})
	}
	if n := len(kinds) - most; n > 0 {
		t.Rows = append(t.Rows, []string{fmt.Sprintf("%d more kinds, of fewer samples", n), "–", "–"})
	}
	return t
}

// failure is a cell that has samples that are not ok, with what was last heard of one.
type failure struct {
	Name, Status, Reason string
	Count                string
	Console, Stderr      []string
}

// failures are the cells that failed, and those of which samples did.
func failures(cells []sourced) []failure {
	const lines, columns = 8, 240
	var out []failure
	for _, c := range cells {
		bad := -1
		n := 0
		for i := range c.Samples {
			if s := c.Samples[i].Status; s == results.SampleFailed || s == results.SampleTimeout {
				bad, n = i, n+1
			}
		}
		if bad < 0 && c.Status != results.CellFailed {
			continue
		}
		f := failure{Name: c.Name(), Status: c.Status, Reason: c.Reason}
		switch {
		case f.Reason == "" && n > 0:
			f.Reason = fmt.Sprintf("%d of %d samples not ok", n, len(c.Samples))
		case f.Reason == "":
			f.Reason = "no reason was given"
		}
		if c.run != "" {
			f.Name += ", run " + c.run
		}
		if bad >= 0 {
			s := &c.Samples[bad]
			f.Count = fmt.Sprintf("%d of %d samples not ok; of the last of them, sample %d (%s):", n, len(c.Samples), bad+1, cmp.Or(s.Reason, s.Status))
			for _, l := range s.Console[max(0, len(s.Console)-lines):] {
				f.Console = append(f.Console, cut(Options{}.Clean(l.Text), columns))
			}
			if text := strings.TrimSpace(s.Stderr); text != "" {
				all := strings.Split(text, "\n")
				for _, l := range all[max(0, len(all)-lines):] {
					f.Stderr = append(f.Stderr, cut(Options{}.Clean(l), columns))
				}
			}
		}
		out = append(out, f)
	}
	return out
}

// cut shortens a text to so many characters.
func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
