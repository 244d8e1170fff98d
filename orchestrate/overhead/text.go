// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/report"
)

// columns of the table, with the unit that its figures are shown in.
var columns = []struct {
	workload, title string
	unit            float64 // in ns
}{
	{results.OverheadPortWrite, "port write, ns", 1},
	{results.OverheadCPUID, "CPUID, ns", 1},
	{results.OverheadHalt, "halt, µs", 1e3},
	{results.OverheadBootWall, "boot, ms", 1e6},
}

// WriteText writes the report for a person: what each condition cost, the programs'
// own times, and how to read figures of this machine.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	o := &r.Overhead
	fmt.Fprintf(&b, "What probes cost the reference guest on %s\n", rig.VMM)
	fmt.Fprintf(&b, "%s, %d CPUs, Linux %s, %s; %d rounds, seed %d\n", r.Host.CPUModel, r.Host.CPUs, r.Host.Kernel, r.Host.kvm(), o.Rounds, o.Seed)
	if o.Foreign > 0 {
		fmt.Fprintf(&b, "%d tracing programs of others were loaded all the time: what they cost is in every condition, in none too\n", o.Foreign)
	}
	b.WriteByte('\n')
	r.table(&b)
	for _, c := range o.Conditions {
		if c.Missing != "" {
			fmt.Fprintf(&b, "%s: not here: %s\n", c.Name, c.Missing)
		}
	}
	b.WriteByte('\n')
	programs(&b, o.Programs)
	b.WriteString(report.Wrap(advice(o), 96, 0) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (h Host) kvm() string {
	if h.KVMHardware {
		return "KVM with hardware behind it"
	}
	return "KVM without hardware behind it: it emulates instructions"
}

func newTable(header table.Row) table.Writer {
	t := table.NewWriter()
	t.SetStyle(report.Options{}.TableStyle())
	t.AppendHeader(header)
	return t
}

// table has a row for each condition: for none how long an event takes, for the
// others how much longer, and the interval of that.
func (r *Report) table(b *strings.Builder) {
	header := table.Row{"condition"}
	for _, c := range columns {
		header = append(header, c.title)
	}
	t := newTable(header)
	what := map[string]string{}
	for _, c := range conditions(nil) {
		what[c.Name] = c.What
	}
	for _, c := range r.Overhead.Conditions {
		if c.Missing != "" {
			continue
		}
		row := table.Row{c.Name}
		for _, col := range columns {
			row = append(row, cell(c.Cost[col.workload], col.unit))
		}
		t.AppendRow(row)
	}
	b.WriteString(report.RenderTable(t))
	fmt.Fprintln(b, "Medians; more than none, its 95 % interval, and both as parts of none. ~: cannot be told from none.")
	for _, c := range r.Overhead.Conditions {
		if c.Missing == "" {
			fmt.Fprintf(b, "  %-10s  %s%s\n", c.Name, what[c.Name], hooksOf(c.Rungs))
		}
	}
}

// hooksOf counts the rungs that hooks got.
func hooksOf(rungs map[string]string) string {
	n := map[string]int{}
	for _, rung := range rungs {
		n[rung]++
	}
	var got []string
	for _, rung := range slices.Sorted(maps.Keys(n)) {
		got = append(got, fmt.Sprintf("%d %s", n[rung], rung))
	}
	if len(got) == 0 {
		return ""
	}
	return " (" + strings.Join(got, ", ") + ")"
}

// cell shows a cost in a unit.
func cell(c results.OverheadCost, unit float64) string {
	if c.ExtraNs == nil {
		return number(c.MedianNs / unit)
	}
	mark := ""
	if c.RatioCI95 == nil || c.RatioCI95[0] <= 1 && 1 <= c.RatioCI95[1] {
		mark = "~ "
	}
	first := mark + signed(*c.ExtraNs/unit)
	second := percent(*c.Ratio - 1)
	if ci := c.ExtraCI95; ci != nil {
		first += fmt.Sprintf(" [%s, %s]", number(ci[0]/unit), number(ci[1]/unit))
	}
	if ci := c.RatioCI95; ci != nil {
		second += fmt.Sprintf(" [%s, %s]", number((ci[0]-1)*100), number((ci[1]-1)*100))
	}
	return first + "\n" + second
}

// number shows one decimal below 100 and none from there on.
func number(v float64) string {
	if math.Abs(v) < 99.95 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func signed(v float64) string {
	if v >= 0 {
		return "+" + number(v)
	}
	return number(v)
}

func percent(part float64) string { return signed(part*100) + " %" }

// programs shows the kernel's own account: a row for each hook, a column for each
// rung. A hook of several programs has the time of all of them by the runs of the
// busiest: entry and return of a function add up, in and out of a port do not.
func programs(b *strings.Builder, all []results.OverheadProgram) {
	if len(all) == 0 {
		return
	}
	var hooks, have []string
	ns, runs := map[[2]string]float64{}, map[[2]string]uint64{}
	for _, p := range all {
		if !slices.Contains(hooks, p.Hook) {
			hooks = append(hooks, p.Hook)
		}
		if !slices.Contains(have, p.Rung) {
			have = append(have, p.Rung)
		}
		at := [2]string{p.Hook, p.Rung}
		ns[at] += p.NsRun * float64(p.Runs)
		runs[at] = max(runs[at], p.Runs)
	}
	header := table.Row{"hook"}
	for _, rung := range have {
		header = append(header, rung+", ns")
	}
	t := newTable(header)
	for _, hook := range hooks {
		row := table.Row{hook}
		for _, rung := range have {
			text := ""
			if n := runs[[2]string{hook, rung}]; n > 0 {
				text = number(ns[[2]string{hook, rung}] / float64(n))
			}
			row = append(row, text)
		}
		t.AppendRow(row)
	}
	fmt.Fprintln(b, "Time inside the BPF programs per event (the kernel's statistics, without the way there and back)")
	b.WriteString(report.RenderTable(t))
	b.WriteByte('\n')
}
