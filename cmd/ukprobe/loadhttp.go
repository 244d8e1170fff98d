// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/plainjson"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
	"github.com/ukprobe/ukprobe/orchestrate/workload/openloop"
)

// loadHTTPCommand is the client of experiment http: a process of its own, so that it
// can be put on CPUs of its own.
func loadHTTPCommand() *cli.Command {
	return &cli.Command{
		Name: workload.HTTPCommand, Hidden: true,
		Usage: "send HTTP requests at a fixed rate, and print what became of them as JSON (experiment http runs it)",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "address", Required: true, Usage: "`IP:PORT` of the server"},
			&cli.IntFlag{Name: "rate", Required: true, Usage: "requests per second"},
			&cli.IntFlag{Name: "requests", Required: true, Usage: "how many"},
			&cli.IntFlag{Name: "connections", Required: true, Usage: "how many can wait for an answer"},
			&cli.DurationFlag{Name: "timeout", Required: true, Usage: "of one answer"},
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			addr, err := netip.ParseAddrPort(c.String("address"))
			if err != nil {
				return usage(fmt.Errorf("--address: %w", err))
			}
			r, err := openloop.Run(c.Context, openloop.Options{Addr: addr, Rate: c.Int("rate"), Requests: c.Int("requests"),
				Connections: c.Int("connections"), Timeout: c.Duration("timeout")})
			if err != nil {
				return err
			}
			return plainjson.NewEncoder(c.App.Writer).Encode(r)
		},
	}
}
