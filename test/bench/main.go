// SPDX-License-Identifier: Apache-2.0

// Command bench measures what ukprobe's own probes cost, as ratios within one
// run: the reference guest with the probes on against off, interleaved in random
// order, and the time of each BPF program per event.
//
// It knows the reference guest, package probe and the kernel's BPF statistics. It
// is no test: nothing passes or fails by a time. docs/overhead.md says how to
// read what it prints.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := app().RunContext(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func app() *cli.App {
	return &cli.App{
		Name:            "bench",
		Usage:           "what ukprobe's probes cost, as ratios in one run",
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "rounds", Value: 20, Usage: "rounds of the slowdown: each condition once per round; 0 leaves it out"},
			&cli.IntFlag{Name: "event-rounds", Value: 7, Usage: "rounds of the time per event; 0 leaves it out"},
			&cli.IntFlag{Name: "pio", Value: 8000, Usage: "port writes per guest"},
			&cli.IntFlag{Name: "cpuid", Value: 16000, Usage: "CPUID instructions per guest"},
			&cli.StringSliceFlag{Name: "condition", Usage: "only these `CONDITIONS` (repeatable); none is always there"},
			&cli.Uint64Flag{Name: "seed", Usage: "of the order of conditions and of the bootstrap; 0 draws one"},
			&cli.DurationFlag{Name: "wait", Value: time.Minute, Usage: "how long to wait for other tracing BPF programs to go"},
			&cli.StringFlag{Name: "json", Usage: "write every sample to `FILE`"},
		},
		Action: run,
	}
}

func run(c *cli.Context) (err error) {
	o := options{
		rounds: c.Int("rounds"), eventRounds: c.Int("event-rounds"), pio: c.Int("pio"), cpuid: c.Int("cpuid"),
		only: c.StringSlice("condition"), seed: c.Uint64("seed"), wait: c.Duration("wait"),
	}
	if err := o.check(); err != nil {
		return err
	}
	b, err := openBench(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.settle(c.Context); err != nil {
		return err
	}
	var all record
	all.Machine = describe(b)
	writeMachine(os.Stdout, all.Machine)
	if o.rounds > 0 {
		if all.Slowdown, err = b.slowdown(c.Context); err != nil {
			return err
		}
		writeSlowdown(os.Stdout, all.Slowdown)
	}
	if o.eventRounds > 0 {
		if all.Events, err = b.events(c.Context); err != nil {
			return err
		}
		writeEvents(os.Stdout, all.Events)
		if all.TestRuns, err = b.testRuns(c.Context); err != nil {
			return err
		}
		writeTestRuns(os.Stdout, all.TestRuns)
	}
	if path := c.String("json"); path != "" {
		return all.save(path)
	}
	return nil
}
