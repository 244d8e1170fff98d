// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	plan "github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/results"
)

// resumed prepares the resumption of a run.
func resumed(t *testing.T, c *call, args ...string) *call {
	t.Helper()
	r := newCall(t, append([]string{"run", "--resume", c.out(), "--journal-dir", c.journal(), "--state-dir", c.state()}, args...)...)
	r.seed, r.dir = c.seed, c.dir
	leaveNothing(t, r)
	return r
}

// killAt ends a run by SIGKILL once so many samples are stored, and cleans up after it.
func killAt(t *testing.T, c *call, samples int) {
	t.Helper()
	c.start().waitUntil("samples are stored", patience(time.Minute), func() bool {
		f, err := results.Load(c.out())
		return err == nil && storedSamples(f) >= samples
	})
	_ = c.cmd.Process.Kill()
	c.wait(patience(10 * time.Second)).want(-int(syscall.SIGKILL))
	newCall(t, "clean", "--journal-dir", c.journal()).run().want(0)
}

func storedSamples(f *results.File) int {
	n := 0
	for _, cell := range f.Cells {
		n += len(cell.Samples)
	}
	return n
}

// byTime are the run's samples as (cell, number in the cell), in the order of their start.
func byTime(f *results.File) []plan.Step {
	type one struct {
		plan.Step
		at time.Time
	}
	var all []one
	for i, cell := range f.Cells {
		for j, s := range cell.Samples {
			all = append(all, one{plan.Step{Cell: i, Sample: j}, s.Started})
		}
	}
	slices.SortFunc(all, func(a, b one) int { return a.at.Compare(b.at) })
	var out []plan.Step
	for _, o := range all {
		out = append(out, o.Step)
	}
	return out
}

// plannedSamples is the order of a run of cells with so many samples each.
func plannedSamples(seed uint16, samples ...int) []plan.Step {
	var cells []plan.Cell
	for _, n := range samples {
		cells = append(cells, plan.Cell{Settings: plan.Settings{Samples: n}})
	}
	return plan.Order(cells, uint64(seed))
}

// A run that is killed twice in the middle has, once it was resumed, every sample exactly
// once, in the order that was planned from its seed; what was stored before is as it was,
// and each part is noted. Then there is nothing to do.
func TestResumeAfterKill(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	c := newRun(t, "--matrix", matrix(t,
		"system: process, app: [hello, sqlite], platform: process, samples: 6, warmup: 1",
		"system: process, app: hello, platform: process, probes: none"), "--set", "samples=6", "--only", "system=process")
	killAt(t, c, 4)
	first := c.file()
	second := resumed(t, c)
	killAt(t, second, storedSamples(first)+4)
	middle := c.file()
	resumed(t, c, "--json").run().want(0)
	f := c.file()
	if diff := cmp.Diff(plannedSamples(c.seed, 6, 6, 6), byTime(f)); diff != "" {
		t.Errorf("(-planned +taken):\n%s", diff)
	}
	for name, before := range map[string]*results.File{"first": first, "second": middle} {
		for i, cell := range before.Cells {
			if diff := cmp.Diff(cell.Samples, f.Cells[i].Samples[:len(cell.Samples)]); diff != "" {
				t.Errorf("what the %s part stored in cell %d (-then +now):\n%s", name, i, diff)
			}
		}
	}
	for i, cell := range f.Cells {
		if cell.Status != results.CellOK || cell.Summary["total_ns"].N != 6 {
			t.Errorf("cell %d: %s, %+v", i, cell.Status, cell.Summary["total_ns"])
		}
		for _, s := range cell.Samples {
			checkOK(t, f, s)
			if slices.ContainsFunc(s.Taints, func(taint string) bool { return strings.HasPrefix(taint, "resumed") }) {
				t.Errorf("cell %d is tainted on the same host: %v", i, s.Taints)
			}
		}
	}
	if f.Run.Status != results.RunOK || f.Run.Finished == nil || f.Run.ID != first.Run.ID {
		t.Errorf("the run: %+v", f.Run)
	}
	var from []int
	for _, p := range f.Run.Parts {
		from = append(from, p.From)
	}
	if diff := cmp.Diff([]int{0, storedSamples(first), storedSamples(middle)}, from); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	path := filepath.Join(c.out(), results.FileName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	resumed(t, c).run().want(0).says("nothing to do", "is finished")
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("a finished run was touched: %v", err)
	}
}

// An interrupted run says how it goes on. On what is another host it does not, but with
// --force: then that is noted, and its samples are tainted.
func TestResumeElsewhere(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	c := newRun(t, "--matrix", holdingMatrix(t), "--only", "system=process", "--samples", "12").start()
	c.waitUntil("a sample is stored", patience(time.Minute), func() bool {
		f, err := results.Load(c.out())
		return err == nil && storedSamples(f) >= 1
	})
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	c.wait(patience(10 * time.Second)).want(exitInterrupted).says("ukprobe run --resume " + c.out())
	f := c.file()
	path := filepath.Join(c.out(), results.DatabaseName)
	otherKernel(t, path, f.Host.Kernel, "2.6.32")
	moved, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	resumed(t, c).run().want(1).says(`kernel: "2.6.32" then, "`+f.Host.Kernel+`" now`, "--force")
	if now, err := os.ReadFile(path); err != nil || string(now) != string(moved) {
		t.Errorf("the refused run was touched: %v", err)
	}
	resumed(t, c, "--force").run().want(0)
	after := c.file()
	n := storedSamples(f)
	tainted := 0
	for _, s := range after.Cells[0].Samples {
		if slices.Contains(s.Taints, "resumed with another kernel") {
			tainted++
		}
	}
	if parts := after.Run.Parts; storedSamples(after) != 12 || tainted != 12-n || len(parts) != 2 || len(parts[1].Differences) != 1 || !strings.HasPrefix(parts[1].Differences[0], "kernel: ") {
		t.Errorf("%d of %d samples are tainted, of which %d were there; parts %+v", tainted, storedSamples(after), n, parts)
	}
}

// otherKernel changes in a store what the host's kernel was.
func otherKernel(t *testing.T, path, was, now string) {
	t.Helper()
	db, err := sql.Open("sqlite", path) // the driver is package results'
	if err != nil {
		t.Fatal(err)
	}
	res, err := db.Exec("UPDATE run_text SET host = replace(host, ?, ?)", `"kernel":"`+was+`"`, `"kernel":"`+now+`"`)
	if err == nil {
		var n int64
		if n, err = res.RowsAffected(); err == nil && n != 1 {
			err = fmt.Errorf("%d runs", n)
		}
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
