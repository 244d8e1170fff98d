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
	Resumed  int    `json:"resumed,omitempty"` // how many times
	Status   string `json:"status"`            // ok, failed, interrupted, running, killed
	Version  string `json:"version"`
	Matrix   string `json:"matrix,omitempty"`
	Kernel   string `json:"kernel"`
	CPUModel string `json:"cpu_model"`
	RunCounts

	writer int // the process that wrote it last
}

// RunCounts are how many cells a run has, by status, and samples.
type RunCounts struct {
	Cells       int `json:"cells"`
	OK          int `json:"ok"`
	Failed      int `json:"failed"`
	Unsupported int `json:"unsupported"`
	Other       int `json:"other"` // skipped, without image
	Samples     int `json:"samples"`
}

func countsOf(f *File) RunCounts {
	n := RunCounts{Cells: len(f.Cells)}
	for i := range f.Cells {
		c := &f.Cells[i]
		n.Samples += len(c.Samples)
		switch c.Status {
		case CellOK:
			n.OK++
		case CellFailed:
			n.Failed++
		case CellUnsupported:
			n.Unsupported++
		default:
			n.Other++
		}
	}
	return n
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
	info.ran(f.Run)
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

// listSQL has a run's head only of those that were resumed, of which it ends with the list
// of their parts: the others' need not be decoded, nor searched.
const listSQL = `SELECT number, id, started, finished, status, version, matrix, kernel, cpu_model, pid, cells, ok, failed, unsupported, other, samples,
	CASE WHEN substr(CAST(t.head AS BLOB), -2) = CAST(']}' AS BLOB) THEN t.head END
	FROM run r LEFT JOIN run_text t ON t.run = r.number ORDER BY started, number`

// ran fills in what a run's head says of its parts.
func (i *RunInfo) ran(r Run) {
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
		var head sql.NullString
		if err := rows.Scan(&number, &r.ID, &started, &finished, &r.Status, &r.Version, &r.Matrix, &r.Kernel, &r.CPUModel, &pid,
			&cells, &ok, &failed, &unsupported, &other, &samples, &head); err != nil {
			return err
		}
		r.Started = microseconds(started)
		if finished.Valid {
			t := microseconds(finished.Int64)
			r.Finished = &t
		}
		r.RunCounts = RunCounts{int(cells.Int64), int(ok.Int64), int(failed.Int64), int(unsupported.Int64), int(other.Int64), int(samples.Int64)}
		r.writer = pid
		run := Run{Started: r.Started, Finished: r.Finished}
		if head.Valid {
			if err := decode([]byte(head.String), &run); err != nil {
				return notAsWritten("what the run was", err)
			}
		}
		r.ran(run)
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
	err = q.QueryRow(`SELECT count(*), count(*) FILTER (WHERE status = 'ok'), count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'unsupported') FROM cell WHERE run = ?`, run).
		Scan(&n.Cells, &n.OK, &n.Failed, &n.Unsupported)
	if err != nil {
		return n, err
	}
	n.Other = n.Cells - n.OK - n.Failed - n.Unsupported
	err = q.QueryRow("SELECT count(*) FROM cell c JOIN sample s ON s.cell = c.id WHERE c.run = ?", run).Scan(&n.Samples)
	return n, err
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
