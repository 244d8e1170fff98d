// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/internal/paired"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
)

// record is everything that was measured, for --json.
type record struct {
	Machine   machine    `json:"machine"`
	Tools     slowdown   `json:"tools"`
	Slowdown  slowdown   `json:"slowdown"`
	Million   million    `json:"million"`
	Events    []eventRow `json:"events"`
	TestRuns  []testRow  `json:"test_runs"`
	Quantiles quantiles  `json:"quantiles"`
}

func (r record) save(path string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, data, 0o644)
}

// machine is where it was measured, and what else was on it.
type machine struct {
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	CPUs       string `json:"cpus"`
	Hypervisor string `json:"hypervisor"`
	Hardware   bool   `json:"kvm_hardware"` // behind KVM; else it emulates instructions
	Load       string `json:"loadavg"`      // at the start
	Foreign    int    `json:"foreign_bpf"`  // tracing programs of others, there all the time
}

func describe(b *bench) machine {
	f := cpu.Facts()
	load, _ := os.ReadFile("/proc/loadavg") // what cannot be read is left out
	return machine{Kernel: f.Kernel.Value, CPU: f.CPUModel.Value, CPUs: f.OnlineCPUs.Value, Hypervisor: f.Hypervisor.Value,
		Hardware: b.hardware, Load: strings.TrimSpace(string(load)), Foreign: len(b.foreign)}
}

func writeMachine(w io.Writer, m machine) {
	kvm := "KVM with hardware behind it"
	if !m.Hardware {
		kvm = "KVM without hardware behind it: it emulates instructions"
	}
	fmt.Fprintf(w, "machine   %s, %s CPUs, Linux %s, %s\n", m.CPU, m.CPUs, m.Kernel, kvm)
	fmt.Fprintf(w, "          load at the start %s; tracing programs of others: %d\n", m.Load, m.Foreign)
}

func newTable(w io.Writer, header ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.Style().Options.DrawBorder = false
	t.Style().Options.SeparateColumns = false
	t.AppendHeader(header)
	return t
}

func writeSlowdown(w io.Writer, s slowdown) {
	fmt.Fprintf(w, "\nSlowdown of the reference guest (microvm), probes on against off\n")
	writeRounds(w, s)
}

// writeRounds prints what was compared and the table of each timed workload.
func writeRounds(w io.Writer, s slowdown) {
	if s.Rounds < paired.MinRounds {
		fmt.Fprintf(w, "fewer than %d rounds: nothing can be concluded\n", paired.MinRounds)
	}
	others := "run again (other BPF programs came or went)"
	if s.Crowded {
		others = "with other BPF programs about"
	}
	fmt.Fprintf(w, "n = %d rounds, seed %d, %d conditions %s; the guest's TSC runs at %.1f MHz\n", s.Rounds, s.Seed, s.Repeated, others, s.TicksPerNS*1e3)
	for _, c := range s.Conditions {
		writeCondition(w, c)
	}
	for _, f := range s.Failed {
		fmt.Fprintf(w, "  run again: %s\n", f)
	}
	for _, wl := range s.Workloads {
		if !wl.Untimed {
			writeWorkload(w, s, wl)
		}
	}
}

func writeCondition(w io.Writer, c conditionInfo) {
	if c.Missing != "" {
		fmt.Fprintf(w, "  %-20s not here: %s\n", c.Name, c.Missing)
		return
	}
	n := map[string]int{}
	for _, rung := range c.Rungs {
		n[rung]++
	}
	var got []string
	for _, rung := range slices.Sorted(maps.Keys(n)) {
		got = append(got, fmt.Sprintf("%d %s", n[rung], rung))
	}
	if len(got) > 0 {
		c.What += " (hooks: " + strings.Join(got, ", ") + ")"
	}
	fmt.Fprintf(w, "  %-20s %s\n", c.Name, c.What)
}

// unit of a workload's values: nanoseconds per operation, or milliseconds.
func (wl workloadInfo) unit() string {
	if wl.Ops > 0 {
		return "ns per " + wl.Name
	}
	return "ms from QEMU's start to ready"
}

// values are by round: as the guest's TSC, or the clock outside, tells them, and
// as QEMU's CPU time does.
func (wl workloadInfo) values(samples []times, rate float64) (wall, cpuTime []float64) {
	for _, t := range samples {
		if wl.Ops > 0 {
			wall = append(wall, float64(t.Ticks)/rate/float64(wl.Ops))
			cpuTime = append(cpuTime, float64(t.CPU)/float64(wl.Ops))
		} else {
			wall = append(wall, t.Boot.Seconds()*1e3)
			cpuTime = append(cpuTime, t.CPU.Seconds()*1e3)
		}
	}
	return wall, cpuTime
}

func writeWorkload(w io.Writer, s slowdown, wl workloadInfo) {
	fmt.Fprintf(w, "\n%s (guest: %q)\n", wl.unit(), wl.Cmdline)
	t := newTable(w, "condition", "median [95 %]", "ratio to none [95 %]", "more than none [95 %]", "ratio of QEMU's CPU time [95 %]")
	same := true
	offWall, offCPU := wl.values(s.Samples[wl.Name][none], s.TicksPerNS)
	for _, c := range s.have {
		wall, cpuTime := wl.values(s.Samples[wl.Name][c.Name], s.TicksPerNS)
		row := table.Row{c.Name, format(summary(wall))}
		if c.Name != none {
			r := rand.New(rand.NewPCG(s.Seed, 2))
			a, b := paired.Compare(offWall, wall, r), paired.Compare(offCPU, cpuTime, r)
			if c.Name == control {
				same = a.Same() && b.Same()
			}
			row = append(row, ratio(a), extra(a), ratio(b))
		}
		t.AppendRow(row)
	}
	t.Render()
	if !same {
		fmt.Fprintf(w, "warning: %q differs from %q: the machine was too restless; no difference of that size or less means anything here\n", control, none)
	}
}

func ratio(c paired.Comparison) string { return mark(c.Same()) + digits(c.Ratio, 3) }

func extra(c paired.Comparison) string { return mark(c.Same()) + format(c.Extra) }

// mark is benchstat's sign for what cannot be told apart.
func mark(same bool) string {
	if same {
		return "~ "
	}
	return ""
}

// format shows one decimal below 100 and none from there on.
func format(i paired.Interval) string {
	if math.Abs(i.Value) < 100 {
		return digits(i, 1)
	}
	return digits(i, 0)
}

// digits writes an interval; an infinite one as benchstat does.
func digits(i paired.Interval, n int) string {
	if math.IsInf(i.Lo, 0) || math.IsInf(i.Hi, 0) {
		return fmt.Sprintf("%.*f ± ∞", n, i.Value)
	}
	return fmt.Sprintf("%.*f [%.*f, %.*f]", n, i.Value, n, i.Lo, n, i.Hi)
}

func writeEvents(w io.Writer, rows []eventRow) {
	fmt.Fprintf(w, "\nTime of each program per event (kernel's BPF statistics, guest running; without dispatch)\n")
	rungs := []string{"fentry", "kprobe", "tp_btf", "raw_tp", "tracepoint"}
	t := newTable(w, "hook", "rung", "program", "runs", "n", "ns per event, median [95 %]")
	slices.SortStableFunc(rows, func(a, b eventRow) int {
		if c := strings.Compare(a.Hook, b.Hook); c != 0 {
			return c
		}
		return slices.Index(rungs, a.Rung) - slices.Index(rungs, b.Rung)
	})
	var silent []string
	for _, r := range rows {
		if len(r.NS) == 0 {
			silent = append(silent, r.Program)
			continue
		}
		t.AppendRow(table.Row{r.Hook, r.Rung, r.Program, r.Runs, len(r.NS), format(summary(r.NS))})
	}
	t.Render()
	if len(silent) > 0 {
		fmt.Fprintf(w, "attached, but never ran here: %s\n", strings.Join(silent, ", "))
	}
}

func writeTestRuns(w io.Writer, rows []testRow) {
	fmt.Fprintf(w, "\nThe same programs by themselves (BPF_PROG_TEST_RUN, caches warm), %d batches; net: without the program that only returns, as often as there are programs\n", batches)
	t := newTable(w, "program", "case", "ns per run, median [95 %]", "net")
	floors := map[string]float64{}
	for _, r := range rows {
		if r.Floor == "" && r.Refused == "" {
			floors[r.Program] = paired.Median(r.NS)
		}
	}
	for _, r := range rows {
		if r.Refused != "" {
			t.AppendRow(table.Row{r.Program, r.Case, "not here: " + r.Refused})
			continue
		}
		row := table.Row{r.Program, r.Case, format(summary(r.NS))}
		if floor, ok := floors[r.Floor]; ok {
			programs := float64(strings.Count(r.Program, " + ") + 1)
			row = append(row, fmt.Sprintf("%.1f", paired.Median(r.NS)-programs*floor))
		}
		t.AppendRow(row)
	}
	t.Render()
}
