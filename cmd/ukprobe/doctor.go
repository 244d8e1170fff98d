// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/plainjson"
	"github.com/ukprobe/ukprobe/orchestrate/doctor"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "tell what this machine can do, and what to do about the rest",
		Description: "Looks at privileges, kernel, hooks, KVM, programs, cgroups, network and CPUs. What\n" +
			"can be tried is tried: hooks, a cgroup, a network namespace with a tap and a veth,\n" +
			"all gone again at the end. Exit status 0 if the default matrix of `ukprobe run`\n" +
			"can run, perhaps not all of it; 1 if it cannot. docs/doctor.md explains each line.\n\n" +
			"Examples:\n" +
			"  sudo ukprobe doctor\n" +
			"  sudo ukprobe doctor --json > doctor.json",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print the report as JSON"},
			journalFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			r, err := doctor.Examine(c.Context, doctor.Options{Version: Version(), JournalDir: c.String("journal-dir")})
			if err != nil {
				return err
			}
			if err := printDoctor(c, r); err != nil {
				return err
			}
			if !r.CanRun {
				return cli.Exit("", exitFailed) // the report has said why
			}
			return nil
		},
	}
}

func printDoctor(c *cli.Context, r *doctor.Report) error {
	if !c.Bool("json") {
		o := reportOptions()
		return r.WriteText(c.App.Writer, doctor.Style{Color: o.Color, ASCII: o.ASCII})
	}
	e := plainjson.NewEncoder(c.App.Writer)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
