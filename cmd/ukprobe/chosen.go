// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/only"
	"github.com/ukprobe/ukprobe/internal/suggest"
	"github.com/ukprobe/ukprobe/matrices"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// loadMatrix reads the matrix of that name: a built-in one, or else a file. A file that
// has the name of a built-in one is read as ./NAME.
func loadMatrix(name, builtin string) (*matrix.Matrix, error) {
	if slices.Contains(matrices.Names(), name) {
		name, builtin = "", name+".yaml"
	}
	if name == "" {
		text, err := matrices.FS.ReadFile(builtin)
		if err != nil {
			return nil, err
		}
		return matrix.Parse("built-in "+builtin, text)
	}
	m, err := matrix.Load(name)
	if errors.Is(err, fs.ErrNotExist) && !strings.Contains(name, "/") {
		return nil, fmt.Errorf("%w; nor is it a built-in one (%s)%s", err, strings.Join(matrices.Names(), ", "), suggest.DidYouMean(name, matrices.Names()))
	}
	return m, err
}

// asked is what the flags ask for, as it is stored with the run. The numbers of --warmup
// and --schema are added once they have been checked.
func asked(c *cli.Context, m *matrix.Matrix) (a results.Asked, err error) {
	a = results.Asked{Matrix: m.File(), MatrixText: m.Text(), Only: c.StringSlice("only"), Set: c.StringSlice("set"),
		Samples: c.Int("samples"), TimeoutNs: c.Duration("timeout").Nanoseconds(), Accel: c.String("accel"), Probes: c.String("probes"),
		Attach: c.String("attach"), Strict: c.Bool("strict"), QEMU: c.String("qemu"), Catalogue: c.String("catalogue"), Cache: c.String("cache")}
	if a.Dir, err = os.Getwd(); err != nil {
		return a, err
	}
	paths := []*string{&a.Cache}
	if !strings.HasPrefix(a.Matrix, "built-in ") {
		paths = append(paths, &a.Matrix)
	}
	if a.Catalogue != "" {
		paths = append(paths, &a.Catalogue)
	}
	if strings.Contains(a.QEMU, "/") {
		paths = append(paths, &a.QEMU)
	}
	for _, path := range paths {
		if *path, err = filepath.Abs(*path); err != nil {
			return a, err
		}
	}
	err = askEnviron(&a)
	return a, err
}

// chosen reads the cells and settings that o.Asked names.
func chosen(o *orchestrate.Options) error {
	var err error
	if o.Only, err = only.ParseAll(o.Asked.Only); err != nil {
		return err
	}
	for _, text := range o.Asked.Set {
		override, err := matrix.ParseOverride(text, o.Asked.Dir)
		if err != nil {
			return fmt.Errorf("--set %w", err)
		}
		o.Set = append(o.Set, override)
	}
	return nil
}

// onceOnly refuses what is given twice, by --set or by a flag of its own.
func onceOnly(c *cli.Context, overrides []matrix.Override) error {
	for i, o := range overrides {
		if slices.ContainsFunc(overrides[:i], func(other matrix.Override) bool { return other.Key() == o.Key() }) {
			return fmt.Errorf("--set %q: %s is set twice", o, o.Key())
		}
		if slices.Contains([]string{"samples", "warmup", "timeout", "accel", "probes"}, o.Key()) && c.IsSet(o.Key()) {
			return fmt.Errorf("--set %q: --%s (or UKPROBE_%s) sets it too: give one of them", o, o.Key(), strings.ToUpper(o.Key()))
		}
	}
	return nil
}

// optionsOf are the options of a run as it was asked for.
func optionsOf(a results.Asked, seed uint64) (o orchestrate.Options, err error) {
	o = orchestrate.Options{Samples: a.Samples, Warmup: a.Warmup, Timeout: time.Duration(a.TimeoutNs), Accel: a.Accel, Probes: a.Probes,
		Seed: seed, Strict: a.Strict, Schema: a.Schema, CacheDir: a.Cache, Version: Version(), Argv: os.Args, Asked: a}
	if o.Matrix, err = matrix.Parse(a.Matrix, []byte(a.MatrixText)); err != nil {
		return o, err
	}
	if o.Attach, err = probe.ParseRung(a.Attach); err != nil {
		return o, err
	}
	err = chosen(&o)
	return o, err
}
