// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/results"
)

// resumeFlags are those that go with --resume: where things are, and how it is shown.
// What is measured is as it was asked for then.
var resumeFlags = []string{"resume", "force", "listen", "linger", "push", "push-config", "json", "cache", "catalogue", "journal-dir", "state-dir"}

// resume is the action of `ukprobe run --resume DIR[@RUN]`.
func resume(c *cli.Context) error {
	if err := resumable(c); err != nil {
		return usage(err)
	}
	sel, err := results.ParseRunSelector(c.String("resume"))
	if err != nil {
		return usage(err)
	}
	if sel.Path, err = filepath.Abs(sel.Path); err != nil {
		return err
	}
	dir := sel.Path
	if os.Geteuid() != 0 {
		return errors.New("run: not root: BPF programs, taps and namespaces need it: run with sudo")
	}
	store, err := results.Resume(sel.String())
	if errors.Is(err, results.ErrFinished) {
		fmt.Fprintf(c.App.ErrWriter, "nothing to do: the run in %s is finished%s\n", sel, othersToResume(dir))
		return nil
	}
	if err != nil {
		return err
	}
	o, err := resumeOptions(c, store, dir)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	file, err := runCells(c, o, show)
	if err != nil {
		return err
	}
	return outcome(c.App.ErrWriter, file)
}

// othersToResume says which other runs of a folder have not ended.
func othersToResume(dir string) string {
	list, err := results.List(dir)
	if err != nil {
		return ""
	}
	ids := results.Unfinished(list)
	if len(ids) == 0 {
		return ""
	}
	return fmt.Sprintf("; of its other runs %d can go on, the last one by --resume %s@%s", len(ids), dir, ids[len(ids)-1])
}

// resumable checks the flags.
func resumable(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.String("resume") == "" {
		return errors.New("--resume: name the results folder of the run, or DIR@RUN")
	}
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if c.IsSet(name) && name != "qemu" && !slices.Contains(resumeFlags, name) {
			env := ""
			if e, ok := f.(cli.DocGenerationFlag); ok && len(e.GetEnvVars()) > 0 {
				env = fmt.Sprintf(" (or %s)", e.GetEnvVars()[0])
			}
			return fmt.Errorf("--resume goes on with what the run was asked for: leave --%s%s out", name, env)
		}
	}
	if c.Bool("linger") && c.String("listen") == "" {
		return errors.New("--linger: needs --listen ADDR")
	}
	_, err := pusher(c, orchestrate.Quiet{})
	return err
}

// resumeOptions are those that the run had, in the state where it was left.
func resumeOptions(c *cli.Context, store *results.Store, dir string) (o orchestrate.Options, err error) {
	head := store.Snapshot().Run
	if head.Asked == nil {
		return o, fmt.Errorf("--resume %s: an older ukprobe (%s) wrote it, and did not keep what it was asked for: start another run", dir, head.Version)
	}
	if o, err = optionsOf(*head.Asked, head.Seed); err != nil {
		return o, fmt.Errorf("--resume %s: what the run was asked for cannot be read: %w", dir, err)
	}
	if qemu := c.String("qemu"); c.IsSet("qemu") && qemu != o.Asked.QEMU {
		return o, usage(fmt.Errorf("--resume goes on with what the run was asked for: leave --qemu (or %s) out", platform.EnvQEMU))
	}
	if err := os.Setenv(platform.EnvQEMU, o.Asked.QEMU); err != nil {
		return o, fmt.Errorf("QEMU %q: %w", o.Asked.QEMU, err)
	}
	if err := restoreEnviron(*head.Asked); err != nil {
		return o, err
	}
	if c.IsSet("cache") {
		o.CacheDir = c.String("cache")
	}
	catalogue := o.Asked.Catalogue
	if c.IsSet("catalogue") {
		catalogue = c.String("catalogue")
	}
	if o.CacheDir, err = filepath.Abs(o.CacheDir); err != nil {
		return o, err
	}
	if o.Images, err = imagesOf(c, catalogue, o.CacheDir); err != nil {
		return o, err
	}
	if err := o.Check(); err != nil {
		return o, fmt.Errorf("--resume %s: this ukprobe refuses what the run was asked for: %w", dir, err)
	}
	o.Resume, o.Force, o.Out = store, c.Bool("force"), dir
	o.JournalDir, o.StateDir = c.String("journal-dir"), c.String("state-dir")
	warnOfLeftovers(c, o.JournalDir, head)
	return o, nil
}

// warnOfLeftovers says that a killed part has not put the host back: its journal is
// still there.
func warnOfLeftovers(c *cli.Context, journals string, head results.Run) {
	ids := []string{head.ID}
	for _, p := range head.Parts {
		ids = append(ids, orchestrate.NewRunID(p.Started, head.Seed))
	}
	if slices.ContainsFunc(ids, func(id string) bool {
		_, err := os.Stat(filepath.Join(journals, id+".journal"))
		return err == nil
	}) {
		fmt.Fprintln(c.App.ErrWriter, "what the killed run has left on this host is still there: `ukprobe clean` removes it")
	}
}
