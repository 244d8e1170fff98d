// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/shell"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/report"
)

// reportOptions are how standard output wants to be written to.
func reportOptions() report.Options { return streamOptions(os.Stdout) }

// show prints the table and one timeline per cell.
func show(c *cli.Context, f *results.File, all string) error {
	w := c.App.Writer
	if c.Bool("json") {
		return results.Encode(w, f)
	}
	o := reportOptions()
	if err := report.Table(w, f, o); err != nil {
		return err
	}
	for i := range f.Cells {
		if len(f.Cells[i].Samples) == 0 {
			continue
		}
		fmt.Fprintln(w)
		if err := report.Timeline(w, &f.Cells[i], o); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "\n%s\n", all)
	return nil
}

// dryRun prints what a run would do.
func dryRun(c *cli.Context, o orchestrate.Options) error {
	port, err := listen(c.String("listen"))
	if err != nil {
		return err
	}
	port.Close()
	p, err := orchestrate.MakePlan(o)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, p)
	}
	w := bufio.NewWriter(c.App.Writer)
	printPlan(w, p)
	if err := w.Flush(); err != nil {
		return err
	}
	if p.HooksError != "" && os.Geteuid() == 0 {
		return errors.New("the run itself would fail: the hooks cannot be attached, see above")
	}
	return nil
}

func printPlan(w io.Writer, p orchestrate.Plan) {
	for _, cell := range p.Cells {
		fmt.Fprintln(w, cell)
		if cell.Status != "" {
			fmt.Fprintf(w, "  %s: %s\n", report.StatusWord(cell.Status), cell.Reason)
			continue
		}
		if cell.Device != "" {
			fmt.Fprintf(w, "  device  %s, %s\n", cell.Device, cell.Address)
		}
		if cell.CPUs != nil {
			fmt.Fprintf(w, "  cpus    %s\n", cpusText(*cell.CPUs))
			for _, t := range cell.CPUs.Taints {
				fmt.Fprintf(w, "  taint   %s\n", t)
			}
		}
		if len(cell.Argv) == 0 {
			fmt.Fprintln(w, "  nothing is started: the image's files are read")
			continue
		}
		fmt.Fprintf(w, "  argv    %s\n", shell.Join(cell.Argv))
	}
	fmt.Fprintf(w, "\ncpus     %s\n", cpusText(p.CPUs))
	for _, t := range p.CPUs.Taints {
		fmt.Fprintf(w, "taint    %s\n", t)
	}
	for _, h := range p.Host {
		fmt.Fprintf(w, "host     %s\n", h)
	}
	if p.HooksError != "" {
		fmt.Fprintf(w, "hooks    %s\n", p.HooksError)
		return
	}
	if len(p.Hooks) == 0 {
		fmt.Fprintln(w, "\nhooks    none: --probes none")
		return
	}
	fmt.Fprintln(w, "\nhooks")
	for _, h := range p.Hooks {
		fmt.Fprintf(w, "  %-20s %-12s %s\n", h.Hook, rungText(h), h.Why())
	}
}

func cpusText(p cpu.Plan) string {
	return fmt.Sprintf("vcpu %s, vmm %s, client %s: %s", cpu.FormatList(p.VCPU), cpu.FormatList(p.VMM), cpu.FormatList(p.Client), p.Reason)
}

func rungText(h probe.HookStatus) string {
	switch {
	case h.Rung == "" && (h.Hook == probe.HookTCOut || h.Hook == probe.HookTCIn):
		return "tcx, else clsact: found out at the first device"
	case h.Rung == "":
		return "none"
	}
	return string(h.Rung)
}
