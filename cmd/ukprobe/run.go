// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/only"
	"github.com/ukprobe/ukprobe/internal/plainjson"
	"github.com/ukprobe/ukprobe/matrices"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "boot every cell of a matrix and time it",
		Description: "Without arguments the built-in matrix quick is run: ukprobe's own reference guest, a\n" +
			"Linux microVM and plain processes, about three minutes. Others are boot and full\n" +
			"(docs/matrices.md).\n\n" +
			"Examples:\n" +
			"  ukprobe run                                       # the built-in matrix\n" +
			"  ukprobe run --only system=linux,app=nginx --samples 30\n" +
			"  ukprobe run --matrix mine.yaml --out results-mine --listen :9436\n" +
			"  ukprobe run --matrix full --set load.duration=5s --set interference.repeat=0\n" +
			"  ukprobe run --resume results-mine                 # after Ctrl-C, SIGKILL, a power cut\n" +
			"  ukprobe run --dry-run                             # what would be done",
		Flags:  runFlags(),
		Action: run,
	}
}

func runFlags() []cli.Flag {
	env := func(name string) []string { return []string{"UKPROBE_" + name} }
	return append([]cli.Flag{
		matrixFlag(matrices.Default),
		onlyFlag(env("ONLY")...),
		&cli.StringSliceFlag{Name: "set", Usage: "`KEY=VALUE` for all cells, a key of the matrix file nested with dots, e.g. load.duration=5s; repeatable"},
		&cli.IntFlag{Name: "samples", Usage: "`N` samples of each cell, with a stopping rule at least", DefaultText: "the matrix's, 10", EnvVars: env("SAMPLES")},
		&cli.IntFlag{Name: "warmup", Usage: "`N` samples of each cell before that, not kept", DefaultText: "the matrix's, 1", EnvVars: env("WARMUP")},
		&cli.Uint64Flag{Name: "seed", Usage: "of the order of the samples", DefaultText: "chosen, and recorded", EnvVars: env("SEED")},
		&cli.DurationFlag{Name: "timeout", Usage: "`D` after which a guest that is not ready is ended", DefaultText: "the matrix's, 30s", EnvVars: env("TIMEOUT")},
		&cli.StringFlag{Name: "out", Usage: "results `DIR`: new or empty, or one that holds runs, to which this one is added", DefaultText: "results-<run>", EnvVars: env("OUT")},
		&cli.StringFlag{Name: "resume", Usage: "go on with the interrupted or killed run `DIR[@RUN]`, as it was asked for then"},
		&cli.BoolFlag{Name: "force", Usage: "with --resume: also on a host, or with images, that differ from then; noted, and every further sample is tainted"},
		&cli.StringFlag{Name: "listen", Usage: "serve Prometheus metrics on `ADDR` while it runs, e.g. :9436; loopback unless an address is given", EnvVars: env("LISTEN")},
		&cli.BoolFlag{Name: "linger", Usage: "with --listen: keep serving after the last sample, until Ctrl-C"},
		&cli.StringFlag{Name: "attach", Value: string(probe.Auto), Usage: "rung of the hooks: auto|kprobe|fentry|tp_btf|raw_tp|tracepoint", EnvVars: env("ATTACH")},
		&cli.BoolFlag{Name: "strict", Usage: "no fallback from --attach: fail if a hook cannot have that rung", EnvVars: env("STRICT")},
		schemaFlag(),
		&cli.StringFlag{Name: "probes", Usage: "boot|full|none: how much is attached: what a timeline needs, everything, or no BPF at all", DefaultText: "the matrix's, boot", EnvVars: env("PROBES")},
		&cli.StringFlag{Name: "qemu", Usage: "`PATH` of the QEMU to run", DefaultText: "qemu-system-x86_64 in PATH", EnvVars: []string{platform.EnvQEMU}},
		&cli.StringFlag{Name: "accel", Usage: "auto|kvm|tcg for all guests", DefaultText: "the matrix's", EnvVars: env("ACCEL")},
		&cli.BoolFlag{Name: "dry-run", Usage: "print every cell, its command line, device, CPUs and hooks; change nothing"},
		&cli.BoolFlag{Name: "json", Usage: "print the results (or the plan of --dry-run) as JSON, and nothing else, on standard output"},
		cacheFlag(),
		catalogueFlag(),
		journalFlag(),
		stateFlag(),
	}, pushFlags()...)
}

// matrixFlag is the matrix; without it the built-in one is.
func matrixFlag(builtin string) cli.Flag {
	return &cli.StringFlag{Name: "matrix", EnvVars: []string{"UKPROBE_MATRIX"}, DefaultText: strings.TrimSuffix(builtin, ".yaml"),
		Usage: "`FILE` in YAML (docs/matrix.md), or the name of a built-in one: " + strings.Join(matrices.Names(), ", ")}
}

// onlyFlag chooses cells, for every command that can leave some out.
func onlyFlag(variables ...string) cli.Flag {
	return &cli.StringSliceFlag{Name: "only", EnvVars: variables,
		Usage: "only the cells that `SELECTOR` picks, e.g. system=linux|osv,app=nginx (" + only.Doc + "); repeatable, any of them"}
}

// run is the action of `ukprobe run`.
func run(c *cli.Context) error {
	if c.IsSet("resume") {
		return resume(c)
	}
	o, err := runOptions(c)
	if err != nil {
		return err
	}
	if c.Bool("dry-run") {
		return dryRun(c, o)
	}
	if os.Geteuid() != 0 {
		return errors.New("run: not root: BPF programs, taps and namespaces need it: run with sudo (`ukprobe run --dry-run` shows what would be done, `ukprobe doctor` what is missing)")
	}
	file, err := runCells(c, o, show)
	if err != nil {
		return err
	}
	return outcome(c.App.ErrWriter, file)
}

// runOptions checks the flags. Nothing has been touched yet.
func runOptions(c *cli.Context) (o orchestrate.Options, err error) {
	return optionsWith(c, matrices.Default)
}

// optionsWith is runOptions with a built-in matrix of that name.
func optionsWith(c *cli.Context, builtin string) (o orchestrate.Options, err error) {
	if err := noArguments(c); err != nil {
		return o, err
	}
	if qemu := c.String("qemu"); qemu != "" {
		if err := os.Setenv(platform.EnvQEMU, qemu); err != nil {
			return o, fmt.Errorf("--qemu %q: %w", qemu, err)
		}
	}
	o = orchestrate.Options{Samples: c.Int("samples"), Timeout: c.Duration("timeout"), Seed: c.Uint64("seed"),
		Strict: c.Bool("strict"), Accel: c.String("accel"), Probes: c.String("probes"), StateDir: c.String("state-dir"), CacheDir: c.String("cache"), JournalDir: c.String("journal-dir"),
		Out: c.String("out"), Version: Version(), Argv: os.Args}
	if c.Bool("force") {
		return o, usage(errors.New("--force: is for --resume DIR"))
	}
	if o.Matrix, err = loadMatrix(c.String("matrix"), builtin); err != nil {
		return o, usage(err)
	}
	if o.Images, err = images(c); err != nil {
		return o, err
	}
	if o.Asked, err = asked(c, o.Matrix); err != nil {
		return o, err
	}
	if err := chosen(&o); err != nil {
		return o, usage(err)
	}
	if err := onceOnly(c, o.Set); err != nil {
		return o, usage(err)
	}
	if err := o.Check(); err != nil {
		return o, usage(err)
	}
	if o.Attach, err = probe.ParseRung(c.String("attach")); err != nil {
		return o, usage(err)
	}
	if o.Schema, err = schema(c); err != nil {
		return o, usage(err)
	}
	if err := checkNumbers(c, &o); err != nil {
		return o, usage(err)
	}
	o.Asked.Warmup, o.Asked.Schema = o.Warmup, o.Schema
	if c.IsSet("seed") {
		given := o.Seed
		o.Asked.Seed = &given
	} else {
		o.Seed = randomSeed()
	}
	if o.Out == "" {
		o.Out = "results-" + orchestrate.NewRunID(time.Now(), o.Seed)
	}
	if o.CacheDir, err = filepath.Abs(o.CacheDir); err != nil {
		return o, err
	}
	o.Out, err = filepath.Abs(o.Out)
	return o, err
}

// schemaFlag is the histograms' resolution, for the commands that make some.
func schemaFlag() cli.Flag {
	return &cli.IntFlag{Name: "schema", Value: probe.DefaultSchema, EnvVars: []string{"UKPROBE_SCHEMA"},
		Usage: fmt.Sprintf("resolution of the histograms: native-histogram schema `N`, %d (a bucket is 100 %% wide) to %d (2.2 %%)", probe.MinSchema, probe.MaxSchema)}
}

func schema(c *cli.Context) (*int, error) {
	n := c.Int("schema")
	if n < probe.MinSchema || n > probe.MaxSchema {
		return nil, fmt.Errorf("--schema %d: must be %d to %d", n, probe.MinSchema, probe.MaxSchema)
	}
	return &n, nil
}

func checkNumbers(c *cli.Context, o *orchestrate.Options) error {
	if c.IsSet("samples") && (o.Samples < 1 || o.Samples > 100000) {
		return fmt.Errorf("--samples %d: must be 1 to 100000", o.Samples)
	}
	if c.IsSet("warmup") {
		n := c.Int("warmup")
		if n < 0 || n > 100000 {
			return fmt.Errorf("--warmup %d: must be 0 to 100000", n)
		}
		o.Warmup = &n
	}
	if c.IsSet("timeout") && (o.Timeout < 10*time.Millisecond || o.Timeout > 24*time.Hour) {
		return fmt.Errorf("--timeout %v: must be 10ms to 24h", o.Timeout)
	}
	switch o.Accel {
	case "", matrix.AccelAuto, matrix.AccelKVM, matrix.AccelTCG:
	default:
		return fmt.Errorf("--accel %s: use auto, kvm or tcg", o.Accel)
	}
	if o.Probes != "" && !slices.Contains(matrix.ProbesLevels, o.Probes) {
		return fmt.Errorf("--probes %s: use boot, full or none", o.Probes)
	}
	if o.Probes == matrix.ProbesNone && (o.Attach != probe.Auto || c.Bool("strict")) {
		return errors.New("--probes none: attaches nothing: leave --attach and --strict out")
	}
	if c.Bool("strict") && o.Attach == probe.Auto {
		return errors.New("--strict: name the rung with --attach as well")
	}
	if c.Bool("linger") && c.String("listen") == "" {
		return errors.New("--linger: needs --listen ADDR")
	}
	_, err := pusher(c, orchestrate.Quiet{})
	return err
}

func randomSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])                        // never fails (crypto/rand)
	return binary.NativeEndian.Uint64(b[:]) >> 11 // below 2^53: jq and others keep it exact
}

// outcome says on w what a reader of the table alone could miss, and makes a run with
// failures exit non-zero, and one that measured nothing.
func outcome(w io.Writer, f *results.File) error {
	count := map[string]int{}
	samples, notOK, measured, mostly, repeats := 0, 0, 0, 0, 0
	for i := range f.Cells {
		c := &f.Cells[i]
		count[c.Status]++
		if len(c.Samples) == 0 {
			continue
		}
		taken := c.Taken()
		bad := taken - c.OKSamples()
		samples, notOK, measured, repeats = samples+taken, notOK+bad, measured+1, repeats+len(c.Samples)-taken
		if 2*bad > taken {
			mostly++
		}
	}
	if notOK > 0 {
		again := ""
		if repeats > 0 {
			again = fmt.Sprintf(" (+%d repeats)", repeats)
		}
		fmt.Fprintf(w, "%d of %d samples%s of %d cells were not ok\n", notOK, samples, again, measured)
	}
	if n := count[results.CellUnsupported]; n > 0 {
		fmt.Fprintf(w, "%d of %d cells are unsupported: the reasons are below the table\n", n, len(f.Cells))
	}
	if n := count[results.CellNoImage]; n > 0 {
		fmt.Fprintf(w, "%d of %d cells have no image: below the table is how to give one\n", n, len(f.Cells))
	}
	switch {
	case count[results.CellFailed] > 0:
		return cli.Exit(fmt.Sprintf("%d of %d cells failed: the reasons are below the table", count[results.CellFailed], len(f.Cells)), exitFailed)
	case mostly > 0:
		return cli.Exit(fmt.Sprintf("in %d of %d cells more than half of the samples were not ok: the reasons are below the table", mostly, len(f.Cells)), exitFailed)
	case count[results.CellOK] == 0:
		return cli.Exit("nothing was measured: the reasons are below the table", exitFailed)
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	enc := plainjson.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
