// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/probe"
)

// defaultJournalDir is where runs note what they change on the host.
const defaultJournalDir = "/run/ukprobe"

func cleanCommand() *cli.Command {
	return &cli.Command{
		Name:  "clean",
		Usage: "remove whatever a killed run left on this host",
		Description: "Reads the journals that runs keep of every namespace, tap, cgroup, process and\n" +
			"folder they make, and puts back those of runs that are no longer there; removes\n" +
			"return probes that nobody has attached any more. A run\n" +
			"that is still going is not touched. Exit status 0 if nothing is left.\n\n" +
			"Examples:\n" +
			"  sudo ukprobe clean",
		Flags: []cli.Flag{journalFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if release, err := cpu.Hold(c.Context); err == nil {
				defer release()
			} // else the settings, if there are any to put back, say who has set the host
			report, err := journal.Clean(c.Context, c.String("journal-dir"), orchestrate.Undoers())
			if err != nil {
				return err
			}
			probes, probesErr := probe.RemoveStaleReturnProbes()
			for _, name := range probes {
				fmt.Fprintln(c.App.Writer, "removed return probe", name)
			}
			if text := report.String(); text != "" {
				fmt.Fprintln(c.App.Writer, text)
			} else if len(probes) == 0 {
				fmt.Fprintln(c.App.Writer, "nothing to clean")
			}
			return errors.Join(report.Err(), probesErr)
		},
	}
}

func journalFlag() cli.Flag {
	return &cli.StringFlag{Name: "journal-dir", Value: defaultJournalDir, EnvVars: []string{"UKPROBE_JOURNAL_DIR"},
		Usage: "`DIR` where runs note what they change on the host"}
}
