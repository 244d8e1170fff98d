// SPDX-License-Identifier: Apache-2.0

// Command bench measures what ukprobe's probes cost, beside other tools that observe
// KVM, as ratios within one run: the reference guest under each in turn, interleaved
// in random order; what each saw of what the guest did, wrote and lost; the time of
// each BPF program per event; and how exact the histograms are.
//
// It knows the reference guest, package probe, the kernel's BPF statistics and the
// other tools' command lines. It is no test: nothing passes or fails by a time.
// docs/overhead.md says how to read what it prints.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
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

// section is a part of the bench: it measures, keeps and prints.
type section struct {
	name string
	run  func(context.Context, *bench, *record, io.Writer) error
}

var sections = []section{
	{"tools", func(ctx context.Context, b *bench, r *record, w io.Writer) (err error) {
		if r.Tools, err = b.compareTools(ctx); err != nil {
			return err
		}
		writeTools(w, r.Tools)
		return nil
	}},
	{"slowdown", func(ctx context.Context, b *bench, r *record, w io.Writer) (err error) {
		if r.Slowdown, err = b.slowdown(ctx); err != nil {
			return err
		}
		writeSlowdown(w, r.Slowdown)
		return nil
	}},
	{"million", func(ctx context.Context, b *bench, r *record, w io.Writer) (err error) {
		if r.Million, err = b.manyExits(ctx); err != nil {
			return err
		}
		writeMillion(w, r.Million)
		return nil
	}},
	{"events", func(ctx context.Context, b *bench, r *record, w io.Writer) (err error) {
		if r.Events, err = b.events(ctx); err != nil {
			return err
		}
		writeEvents(w, r.Events)
		return nil
	}},
	{"testrun", func(ctx context.Context, b *bench, r *record, w io.Writer) (err error) {
		if r.TestRuns, err = b.testRuns(ctx); err != nil {
			return err
		}
		writeTestRuns(w, r.TestRuns)
		return nil
	}},
	{"quantiles", func(ctx context.Context, b *bench, r *record, w io.Writer) (err error) {
		if r.Quantiles, err = b.quantiles(ctx); err != nil {
			return err
		}
		writeQuantiles(w, r.Quantiles)
		return nil
	}},
}

func sectionNames() string {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

func app() *cli.App {
	return &cli.App{
		Name:            "bench",
		Usage:           "what ukprobe's probes cost, beside other tools, as ratios in one run",
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "only", Usage: "only these `SECTIONS` (comma-separated): " + sectionNames()},
			&cli.StringSliceFlag{Name: "condition", Usage: "only these `CONDITIONS` (comma-separated); none is always there"},
			&cli.IntFlag{Name: "rounds", Value: 20, Usage: "rounds of slowdown: each condition once per round"},
			&cli.IntFlag{Name: "tool-rounds", Value: 12, Usage: "rounds of tools"},
			&cli.IntFlag{Name: "event-rounds", Value: 7, Usage: "rounds of events"},
			&cli.IntFlag{Name: "pio", Value: 8000, Usage: "port writes per guest of slowdown and events"},
			&cli.IntFlag{Name: "cpuid", Value: 16000, Usage: "CPUID instructions per guest of slowdown and events"},
			&cli.IntFlag{Name: "tool-pio", Value: 30000, Usage: "port writes per guest of tools and quantiles"},
			&cli.IntFlag{Name: "tool-cpuid", Value: 60000, Usage: "CPUID instructions per guest of tools"},
			&cli.IntFlag{Name: "million", Value: 1_000_000, Usage: "exits of the section million, all guests together"},
			&cli.Uint64Flag{Name: "seed", Usage: "of the order of conditions and of the bootstrap; 0 draws one"},
			&cli.DurationFlag{Name: "wait", Value: time.Minute, Usage: "how long to wait for other tracing BPF programs to go"},
			&cli.BoolFlag{Name: "crowded", Usage: "do not wait for other tracing BPF programs: only count the conditions that they were about in"},
			&cli.DurationFlag{Name: "limit", Value: 4 * time.Minute, Usage: "begin no round of slowdown or tools after this time"},
			&cli.StringFlag{Name: "json", Usage: "write every sample to `FILE`"},
		},
		Action: measure,
	}
}

func measure(c *cli.Context) (err error) {
	o := options{
		only: c.StringSlice("only"), conditions: c.StringSlice("condition"),
		ownRounds: c.Int("rounds"), toolRounds: c.Int("tool-rounds"), eventRounds: c.Int("event-rounds"),
		pio: c.Int("pio"), cpuid: c.Int("cpuid"), toolPIO: c.Int("tool-pio"), toolCPUID: c.Int("tool-cpuid"),
		million: c.Int("million"), seed: c.Uint64("seed"), wait: c.Duration("wait"),
		crowded: c.Bool("crowded"), limit: c.Duration("limit"),
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
	all := record{Machine: describe(b)}
	writeMachine(os.Stdout, all.Machine)
	for _, s := range sections {
		if len(o.only) > 0 && !slices.Contains(o.only, s.name) {
			continue
		}
		begin := time.Now()
		if err := s.run(c.Context, b, &all, os.Stdout); err != nil {
			return fmt.Errorf("section %s: %w", s.name, err)
		}
		fmt.Printf("(section %s: %v)\n", s.name, time.Since(begin).Round(time.Second))
	}
	if path := c.String("json"); path != "" {
		return all.save(path)
	}
	return nil
}
