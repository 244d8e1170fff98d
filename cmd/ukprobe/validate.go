// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/matrices"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/report"
)

func validateCommand() *cli.Command {
	return &cli.Command{
		Name:  "validate",
		Usage: "hold what guests say of their own time against what the host saw",
		Description: "Boots guests, collects the times that they print (printk stamps, TSC values, boot\n" +
			"times) and judges each by the host's own events. The reference guest comes first:\n" +
			"its TSC, mapped to the host's clock, has to agree, and a mapping that is wrong by\n" +
			"1 ms has to be noticed. Without that proof the exit status is 1; what other guests\n" +
			"claim does not change it. docs/experiments/timing-validation.md\n\n" +
			"Examples:\n" +
			"  ukprobe validate\n" +
			"  ukprobe validate --only system=reference --samples 20\n" +
			"  ukprobe validate --matrix mine.yaml --json",
		Flags:  validateFlags(),
		Action: validate,
	}
}

// validateFlags are those of run that make sense here.
func validateFlags() []cli.Flag {
	var out []cli.Flag
	for _, f := range runFlags() {
		switch name := f.Names()[0]; name {
		case "listen", "linger", "push", "push-config", "dry-run", "probes", "resume", "force":
		case "matrix":
			out = append(out, matrixFlag(matrices.Validate))
		case "json":
			out = append(out, &cli.BoolFlag{Name: name, Usage: "print the results as JSON, and nothing else, on standard output"})
		default:
			out = append(out, f)
		}
	}
	return out
}

func validate(c *cli.Context) error {
	o, err := optionsWith(c, matrices.Validate)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("validate: not root: BPF programs and cgroups need it: run with sudo")
	}
	file, err := runCells(c, o, showClaims)
	if err != nil {
		return err
	}
	if err := outcome(c.App.ErrWriter, file); err != nil {
		return err
	}
	return proven(c, file)
}

func showClaims(c *cli.Context, f *results.File, dir string) error {
	if c.Bool("json") {
		return results.Encode(c.App.Writer, f)
	}
	if err := report.Claims(c.App.Writer, f, reportOptions()); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.App.Writer, "\nEvery sample: %s/run.json (seed %d)\n", dir, f.Run.Seed)
	return err
}

// proven looks for the proof: the reference guest under KVM.
func proven(c *cli.Context, f *results.File) error {
	asked := slices.ContainsFunc(f.Cells, func(c results.Cell) bool {
		return c.System == "reference" && c.Experiment == matrix.TimingValidation
	})
	proof := results.Proof(f)
	switch {
	case !asked: // it was not to be run
		return nil
	case proof.Err != nil:
		return cli.Exit("the method is not proven on this machine: "+proof.Err.Error(), exitFailed)
	}
	if !c.Bool("json") {
		fmt.Fprintln(c.App.Writer, proof.Text)
	}
	return nil
}
