// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/shell"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/results"
)

// runCells runs the cells that the options name and shows what was measured, also of a
// run that failed or was interrupted: that is an error then. Cells that failed are
// none. With --listen it serves metrics meanwhile, with --linger until Ctrl-C.
func runCells(c *cli.Context, o orchestrate.Options, show func(c *cli.Context, f *results.File, all string) error) (*results.File, error) {
	shown := newProgress(os.Stderr, c.Bool("json"))
	watcher := newLedger(shown)
	o.Observer = watcher
	push, err := pusher(c, watcher)
	if err != nil {
		return nil, usage(err)
	}
	watcher.push = push
	srv, err := listen(c.String("listen"))
	if err != nil {
		return nil, err
	}
	defer srv.Close()
	r, err := orchestrate.Start(c.Context, o)
	if err != nil {
		return nil, interrupted(c.Context, err)
	}
	watcher.open(r.Results())
	srv.Serve(r.Metrics().Handler(), watcher, watcher.register)
	startPushing(push, r.Metrics().Gatherer())
	status := results.RunOK
	doErr := r.Do(c.Context)
	switch {
	case c.Err() != nil:
		status, doErr = results.RunInterrupted, nil // that is told below
	case doErr != nil || r.CutShort():
		status = results.RunFailed
	}
	watcher.pass(shown.Close)
	written, err := r.Finish(status, doErr)
	err = errors.Join(err, r.Close())
	file := r.Results()
	watcher.close(file)
	gone := errors.Is(errors.Join(doErr, err), results.ErrGone)
	if e := show(c, file, everySample(o.Out, file, written, gone)); e != nil && !readerGone(e) { // the exit status is the cells'
		err = errors.Join(err, e)
	}
	finishPushing(c, push) // nobody waits for a receiver to see the table
	if status == results.RunInterrupted && !gone {
		return nil, errors.Join(err, cli.Exit(fmt.Sprintf("interrupted: %d finished samples are in %s; `ukprobe run --resume %s` goes on", finished(file), o.Out, shell.Quote(o.Out)), exitInterrupted))
	}
	if err = errors.Join(doErr, err); err != nil {
		return nil, err
	}
	if c.Bool("linger") {
		srv.Linger(c.Context, watcher)
	}
	return file, nil
}

// everySample says where a run's samples are; of a store that is gone an error says that.
func everySample(dir string, f *results.File, written, gone bool) string {
	if gone {
		return fmt.Sprintf("Every sample: not in %s, which was taken away: see the error (seed %d)", filepath.Join(dir, results.DatabaseName), f.Run.Seed)
	}
	where := filepath.Join(dir, results.FileName)
	if !written {
		where = fmt.Sprintf("those that were stored are in %s, of run %s", filepath.Join(dir, results.DatabaseName), f.Run.ID)
	}
	return fmt.Sprintf("Every sample: %s (seed %d)", where, f.Run.Seed)
}

// interrupted turns Ctrl-C during preparation into its own exit status.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return cli.Exit("interrupted before the first sample", exitInterrupted)
	}
	return err
}

func finished(f *results.File) int {
	n := 0
	for i := range f.Cells {
		n += len(f.Cells[i].Samples)
	}
	return n
}
