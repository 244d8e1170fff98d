// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/results"
)

// atOnce has a command that reads files, and puts nothing of the host back, end when it is
// interrupted, wherever it is. What it has begun to write is removed.
func atOnce(cmd *cli.Command) *cli.Command {
	action := cmd.Action
	cmd.Action = func(c *cli.Context) error {
		stop := context.AfterFunc(c.Context, func() {
			results.Abandon()
			fmt.Fprintln(os.Stderr, "ukprobe: interrupted")
			os.Exit(exitInterrupted)
		})
		err := action(c)
		if !stop() {
			select {} // the exit is under way
		}
		return err
	}
	return cmd
}
