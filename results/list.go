// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// RunInfo is a run in a list.
type RunInfo struct {
	Dir      string     `json:"dir"`
	ID       string     `json:"id"`
	Started  time.Time  `json:"started"`
	Finished *time.Time `json:"finished,omitempty"`
	// RanNs is for how long it was under way ([Run.Ran]); absent if that is not known.
	RanNs    *int64 `json:"ran_ns,omitempty"`
	ClockSet bool   `json:"clock_set,omitempty"` // it ended before it began ([Run.ClockSet])
	Resumed  int    `json:"resumed,omitempty"`   // how many times
	Status   string `json:"status"`              // ok, failed, interrupted, running, killed
	Version  string `json:"version"`
	Matrix   string `json:"matrix,omitempty"`
	// Asked is what was asked for beside the matrix ([Run.AskedFor]).
	Asked    []string `json:"asked,omitempty"`
	Kernel   string   `json:"kernel"`
	CPUModel string   `json:"cpu_model"`
	RunCounts

	writer int // the process that wrote it last
}

// RunCounts are how many cells a run has, by status, and samples.
type RunCounts struct {
	Cells       int `json:"cells"`
	OK          int `json:"ok"` // that have all their samples
	Failed      int `json:"failed"`
	Unsupported int `json:"unsupported"`
	Other       int `json:"other"` // skipped, not started, without image
	// Unfinished are the cells of a run under way, or that was left, which are ok so far.
	Unfinished int `json:"unfinished,omitempty"`
	Samples    int `json:"samples"`
}

func countsOf(f *File) RunCounts {
	n := RunCounts{Cells: len(f.Cells)}
	for i := range f.Cells {
		c := &f.Cells[i]
		n.Samples += len(c.Samples)
		n.add(c.Status, f.Run.Status != RunOK && c.Unfinished())
	}
	return n
}

func (n *RunCounts) add(status string, unfinished bool) {
	switch {
	case status == CellOK && unfinished:
		n.Unfinished++
	case status == CellOK:
		n.OK++
	case status == CellFailed:
		n.Failed++
	case status == CellUnsupported:
		n.Unsupported++
	default:
		n.Other++
	}
}

// Unfinished tells of a cell whether it lacks samples that its run was to take, of one with
// a stopping rule whether that has not ended it.
func (c *Cell) Unfinished() bool {
	s := c.Settings
	switch {
	case s == nil:
		return false
	case s.Until != nil:
		return c.Stopped == nil
	}
	return c.Taken() < s.Samples
}

// List lists the runs of a results folder, the oldest first.
func List(dir string) ([]RunInfo, error) {
	sel, err := ParseRunSelector(dir)
	if err != nil {
		return nil, err
	}
	if sel.Run != "" {
		return nil, fmt.Errorf("results: list %s: name the folder alone: %s", dir, sel.Path)
	}
	if _, ok := sel.databaseOf(); ok {
		d, err := Open(dir)
		if err != nil {
			return nil, err
		}
		defer d.Close()
		return d.Runs()
	}
	var r rawRun
	pid, _, err := steady(sel.folder(), func() (err error) {
		r, err = loadOld(sel)
		return err
	})
	if err != nil {
		return nil, err
	}
	f := r.file
	info := RunInfo{Dir: dir, ID: f.Run.ID, Started: f.Run.Started, Finished: f.Run.Finished, Status: f.Run.Status, Version: f.Run.Version,
		Kernel: f.Host.Kernel, CPUModel: f.Host.CPUModel, RunCounts: countsOf(f)}
	if f.Run.Asked != nil {
		info.Matrix = f.Run.Asked.Matrix
	}
	info.Status = statusNow(info.Status, 0, pid)
	info.told(f.Run)
	return []RunInfo{info}, nil
}

// Holds says whether a folder holds runs.
func Holds(dir string) bool {
	if _, ok := (RunSelector{Path: dir}).databaseOf(); ok {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, FileName))
	return err == nil
}

// Runs lists the runs of the store, the oldest first.
func (d *DB) Runs() (out []RunInfo, err error) {
	dir := filepath.Dir(d.path)
	pid, _, err := steady(dir, func() error {
		return d.view(func(tx *sql.Tx) error {
			out, err = listRuns(tx)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Dir = dir
		out[i].Status = statusNow(out[i].Status, out[i].writer, pid)
	}
	return out, nil
}

const listSQL = `SELECT number, id, started, finished, status, version, matrix, kernel, cpu_model, pid, cells, ok, failed, unsupported, other, samples, t.head, t.head IS NOT NULL
	FROM run r NOT INDEXED LEFT JOIN run_text t ON t.run = r.number ORDER BY started, number`

// told fills in what a run's head says of its parts, and of what was asked for.
func (i *RunInfo) told(r Run) {
	i.Asked, i.ClockSet = r.AskedFor(), r.ClockSet()
	i.RanNs, i.Resumed = nil, max(0, len(r.Parts)-1)
	if d, known := r.Ran(); known {
		ns := d.Nanoseconds()
		i.RanNs = &ns
	}
}

func listRuns(q querier) (out []RunInfo, err error) {
	rows, err := q.Query(listSQL)
	if err != nil {
		return nil, err
	}
	var uncounted []int64
	var places []int
	err = each(rows, func() error {
		var r RunInfo
		var number, started int64
		var pid int
		var finished sql.NullInt64
		var cells, ok, failed, unsupported, other, samples sql.NullInt64
		var head sql.RawBytes
		var there bool
		if err := scan(rows, &number, &r.ID, &started, &finished, &r.Status, &r.Version, &r.Matrix, &r.Kernel, &r.CPUModel, &pid,
			&cells, &ok, &failed, &unsupported, &other, &samples, &head, &there); err != nil {
			return err
		}
		r.Started = microseconds(started)
		if finished.Valid {
			t := microseconds(finished.Int64)
			r.Finished = &t
		}
		n := RunCounts{Cells: int(cells.Int64), OK: int(ok.Int64), Failed: int(failed.Int64), Unsupported: int(unsupported.Int64), Other: int(other.Int64), Samples: int(samples.Int64)}
		n.Unfinished = n.Cells - n.OK - n.Failed - n.Unsupported - n.Other
		r.RunCounts = n
		r.writer = pid
		run := Run{Started: r.Started, Finished: r.Finished}
		if err := decode(withoutMatrix(head), &run); err != nil && there {
			return notAsWritten("what the run was", err)
		}
		r.told(run)
		if !cells.Valid {
			uncounted, places = append(uncounted, number), append(places, len(out))
		}
		out = append(out, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, number := range uncounted {
		if out[places[i]].RunCounts, err = count(q, number); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// count counts what a run that has not ended has so far.
func count(q querier, run int64) (n RunCounts, err error) {
	cells, ids, err := readCells(q, run)
	if err != nil {
		return n, err
	}
	taken := map[int64]int{}
	rows, err := q.Query("SELECT s.cell, count(*) FROM cell c JOIN sample s ON s.cell = c.id WHERE c.run = ? GROUP BY s.cell", run)
	if err != nil {
		return n, err
	}
	err = each(rows, func() error {
		var id int64
		var samples int
		err := rows.Scan(&id, &samples)
		taken[id] = samples
		return err
	})
	if err != nil {
		return n, err
	}
	n.Cells = len(cells)
	for i := range cells {
		c, samples := &cells[i], taken[ids[i]]
		n.Samples += samples
		if s := c.Settings; s != nil && samples >= s.Samples && s.Interference != nil && s.Interference.Repeat > 0 {
			if _, err := readCell(q, ids[i], c); err != nil { // only the samples say which are repeats
				return n, fmt.Errorf("%s: %w", c.Name(), err)
			}
		} else {
			c.Samples = make([]Sample, samples)
		}
		n.add(c.Status, c.Unfinished())
	}
	return n, nil
}

// Unfinished are the ids of the runs in a list that can be resumed.
func Unfinished(runs []RunInfo) (ids []string) {
	for _, r := range runs {
		if slices.Contains([]string{RunKilled, RunInterrupted, RunFailed}, r.Status) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
