// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/live"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/overhead"
	"github.com/ukprobe/ukprobe/probe"
)

func stateFlag() cli.Flag {
	return &cli.StringFlag{Name: "state-dir", Value: overhead.DefaultStateDir, EnvVars: []string{"UKPROBE_STATE_DIR"},
		Usage: "`DIR` where `ukprobe overhead` keeps its figure for later runs"}
}

func overheadCommand() *cli.Command {
	return &cli.Command{
		Name:  "overhead",
		Usage: "measure what the probes cost on this machine",
		Description: "Boots the reference guest, which is built in, again and again: with nothing\n" +
			"attached, with the same once more, and with each rung that the kernel has, in\n" +
			"rounds of random order. Prints what an exit and a boot cost, and keeps the figure\n" +
			"for `ukprobe run` to store with every run. Takes about a minute; needs root, QEMU\n" +
			"and /dev/kvm, and a machine that does nothing else. docs/overhead-command.md.\n\n" +
			"Examples:\n" +
			"  sudo ukprobe overhead\n" +
			"  sudo ukprobe overhead --attach kprobe --attach tp_btf --rounds 20\n" +
			"  sudo ukprobe overhead --json > overhead.json",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "rounds", Value: 8, EnvVars: []string{"UKPROBE_OVERHEAD_ROUNDS"}, Usage: fmt.Sprintf("`N` rounds, each condition once per round; below %d there are no intervals, and nothing is kept", overhead.MinRounds)},
			&cli.StringSliceFlag{Name: "attach", EnvVars: []string{"UKPROBE_OVERHEAD_ATTACH"}, Usage: "measure only this `RUNG` by itself: kprobe|fentry|tp_btf|raw_tp|tracepoint; repeatable", DefaultText: "all"},
			&cli.Uint64Flag{Name: "seed", Usage: "of the order of the conditions", DefaultText: "chosen, and recorded", EnvVars: []string{"UKPROBE_SEED"}},
			&cli.BoolFlag{Name: "json", Usage: "print the report, with every sample, as JSON"},
			stateFlag(),
			journalFlag(),
		},
		Action: measureOverhead,
	}
}

// measureOverhead is the action of `ukprobe overhead`.
func measureOverhead(c *cli.Context) error {
	o, err := overheadOptions(c)
	if err != nil {
		return usage(err)
	}
	progress := overheadProgress(os.Stderr, c.Bool("json"))
	o.Progress = progress.step
	r, err := overhead.Measure(c.Context, o)
	progress.close()
	switch {
	case c.Err() != nil:
		return cli.Exit("interrupted: nothing was kept", exitInterrupted)
	case err != nil:
		return err
	}
	if c.Bool("json") {
		err = printJSON(c.App.Writer, r)
	} else {
		err = r.WriteText(c.App.Writer)
	}
	kept, saveErr := keep(r, c.String("state-dir"))
	if !c.Bool("json") && kept != "" {
		fmt.Fprintln(c.App.Writer, "\n"+kept)
	}
	return errors.Join(err, saveErr)
}

// keep keeps the figure for runs if something can be told from it, and says so.
func keep(r *overhead.Report, dir string) (string, error) {
	if n := r.Overhead.Rounds; n < overhead.MinRounds {
		return fmt.Sprintf("Not kept for runs: %d rounds are fewer than %d.", n, overhead.MinRounds), nil
	}
	path, err := r.Save(dir)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Kept in %s: `ukprobe run` stores it with every run on this host, kernel and version.", path), nil
}

// overheadOptions checks the flags.
func overheadOptions(c *cli.Context) (o overhead.Options, err error) {
	if err := noArguments(c); err != nil {
		return o, err
	}
	o = overhead.Options{Rounds: c.Int("rounds"), Seed: c.Uint64("seed"), JournalDir: c.String("journal-dir"), Version: Version()}
	if o.Rounds < 1 || o.Rounds > 1000 {
		return o, fmt.Errorf("--rounds %d: must be 1 to 1000", o.Rounds)
	}
	for _, text := range c.StringSlice("attach") {
		rung, err := probe.ParseRung(text)
		if err != nil {
			return o, err
		}
		if rung == probe.Auto {
			return o, errors.New("--attach auto: is measured in any case, as boot and full: name a rung, or leave --attach out for all of them")
		}
		o.Attach = append(o.Attach, rung)
	}
	if !c.IsSet("seed") {
		o.Seed = randomSeed()
	}
	o.RunID = "overhead-" + orchestrate.NewRunID(time.Now(), o.Seed)
	return o, nil
}

// steps shows how far a measurement is and how long it will take: a line that stays in its
// place on a terminal, one from time to time elsewhere.
type steps struct {
	w        io.Writer
	terminal *os.File // nil: there is none
	quiet    bool
	now      func() time.Time
	begun    time.Time
	told     time.Time // the last line
	area     *live.Area
	line     string
}

// lineEvery is the time between two lines where there is no terminal.
const lineEvery = 10 * time.Second

func overheadProgress(w *os.File, quiet bool) *steps {
	s := &steps{w: w, quiet: quiet, now: time.Now, begun: time.Now()}
	if isTerminal(w) {
		s.terminal = w
	}
	return s
}

func (s *steps) step(done, all int, next string) {
	left := time.Duration(-1)
	if done > 2 {
		left = s.now().Sub(s.begun) / time.Duration(done) * time.Duration(all-done)
	}
	line := fmt.Sprintf("[%d/%d] %s%s", done, all, next, leftText(left))
	switch {
	case s.quiet:
	case s.terminal != nil:
		s.draw(line)
	case s.told.IsZero():
		s.told = s.now()
		fmt.Fprintf(s.w, "overhead: %d steps, each a second on an idle machine and more on a busy one\n", all)
	case s.now().Sub(s.told) >= lineEvery:
		s.told = s.now()
		fmt.Fprintln(s.w, line)
	}
}

// draw shows the line between two steps: nothing is drawn while one is measured.
func (s *steps) draw(line string) {
	s.line = line
	if s.area == nil {
		s.area = live.New(s.terminal, func(int, int) []string { return []string{s.line} })
		s.area.Pause()
	}
	s.area.Draw()
}

func (s *steps) close() {
	if s.area != nil {
		s.area.Close()
	}
}
