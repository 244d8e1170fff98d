// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// A run as it comes into the tables and out of them again.

// rawRun is a run with its samples as they are written, byte for byte: what a newer
// ukprobe has put into them stays.
type rawRun struct {
	file    *File
	samples [][]json.RawMessage // by cell, as many as file has
	writer  int                 // the process that wrote it last; 0: that is not kept
}

// insertRun stores a whole run. It returns the run's number and its cells' ids.
func insertRun(tx *sql.Tx, r rawRun) (run int64, cells []int64, err error) {
	f := r.file
	res, err := tx.Exec(`INSERT INTO run (id, started, finished, status, version, matrix, kernel, cpu_model, pid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append(runColumns(f), os.Getpid())...)
	if err != nil {
		return 0, nil, err
	}
	if run, err = res.LastInsertId(); err != nil {
		return 0, nil, err
	}
	head, host, err := texts(f)
	if err != nil {
		return 0, nil, err
	}
	if _, err = tx.Exec("INSERT INTO run_text (run, head, host) VALUES (?, ?, ?)", run, head, host); err != nil {
		return 0, nil, err
	}
	for i := range f.Cells {
		id, err := insertCell(tx, run, i, r)
		if err != nil {
			return 0, nil, err
		}
		cells = append(cells, id)
	}
	return run, cells, nil
}

func insertCell(tx *sql.Tx, run int64, i int, r rawRun) (id int64, err error) {
	c := &r.file.Cells[i]
	columns, err := cellColumns(c)
	if err != nil {
		return 0, err
	}
	res, err := tx.Exec(`INSERT INTO cell (system, app, platform, experiment, accel, probes, variant, status, reason, head, run, n) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append(columns, run, i)...)
	if err != nil {
		return 0, err
	}
	if id, err = res.LastInsertId(); err != nil {
		return 0, err
	}
	for n := range c.Samples {
		if err := insertSample(tx, id, n, &c.Samples[n], r.samples[i][n]); err != nil {
			return 0, err
		}
	}
	return id, saveHistograms(tx, id, c.Histograms)
}

const insertSampleSQL = `INSERT INTO sample (cell, n, started, status, vmm_ns, firmware_ns, guest_ns, total_ns, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

func insertSample(tx *sql.Tx, cell int64, n int, s *Sample, raw json.RawMessage) error {
	data, err := pack(raw)
	if err != nil {
		return err
	}
	p := &s.Phases
	_, err = tx.Exec(insertSampleSQL, cell, n, s.Started.UnixMicro(), s.Status, p.VMMNs, p.FirmwareNs, p.GuestNs, p.TotalNs, data)
	return err
}

// runColumns are the run's own columns, from id to cpu_model.
func runColumns(f *File) []any {
	r := &f.Run
	var finished any
	if r.Finished != nil {
		finished = r.Finished.UnixMicro()
	}
	matrix := ""
	if r.Asked != nil {
		matrix = r.Asked.Matrix
	}
	return []any{r.ID, r.Started.UnixMicro(), finished, r.Status, r.Version, matrix, f.Host.Kernel, f.Host.CPUModel}
}

func texts(f *File) (head, host string, err error) {
	a, err := json.Marshal(f.Run)
	if err != nil {
		return "", "", err
	}
	b, err := json.Marshal(f.Host)
	return string(a), string(b), err
}

// updateRun stores the run's head and host.
func updateRun(tx *sql.Tx, run int64, f *File) error {
	if _, err := tx.Exec(`UPDATE run SET id = ?, started = ?, finished = ?, status = ?, version = ?, matrix = ?, kernel = ?, cpu_model = ?, pid = ? WHERE number = ?`,
		append(runColumns(f), os.Getpid(), run)...); err != nil {
		return err
	}
	head, host, err := texts(f)
	if err != nil {
		return err
	}
	_, err = tx.Exec("UPDATE run_text SET head = ?, host = ? WHERE run = ?", head, host, run)
	return err
}

// cellColumns are the cell's own columns, from system to head.
func cellColumns(c *Cell) ([]any, error) {
	head, err := json.Marshal(openOf(c))
	if err != nil {
		return nil, err
	}
	return []any{c.System, c.App, c.Platform, c.Experiment, c.Accel, c.Probes, c.Variant().String(), c.Status, c.Reason, string(head)}, nil
}

func updateCell(tx *sql.Tx, id int64, c *Cell) error {
	columns, err := cellColumns(c)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE cell SET system = ?, app = ?, platform = ?, experiment = ?, accel = ?, probes = ?, variant = ?, status = ?, reason = ?, head = ? WHERE id = ?`,
		append(columns, id)...)
	return err
}

func saveHistograms(tx *sql.Tx, cell int64, hs []Histogram) error {
	if len(hs) == 0 {
		_, err := tx.Exec("DELETE FROM histogram WHERE cell = ?", cell)
		return err
	}
	text, err := json.Marshal(hs)
	if err != nil {
		return err
	}
	data, err := pack(text)
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO histogram (cell, data) VALUES (?, ?) ON CONFLICT (cell) DO UPDATE SET data = excluded.data", cell, data)
	return err
}

// settle makes what lists and comparisons read, of a run that ends.
func settle(tx *sql.Tx, run int64, cells []int64, f *File) error {
	metrics := map[string]int64{}
	for i := range f.Cells {
		v := valuesOf(&f.Cells[i])
		data, err := encodeValues(&v)
		if err != nil {
			return err
		}
		if _, err := tx.Exec("INSERT OR REPLACE INTO cell_values (cell, data) VALUES (?, ?)", cells[i], data); err != nil {
			return err
		}
		if err := saveSummary(tx, cells[i], v.Summary, metrics); err != nil {
			return err
		}
	}
	n := countsOf(f)
	_, err := tx.Exec("UPDATE run SET cells = ?, ok = ?, failed = ?, unsupported = ?, other = ?, samples = ? WHERE number = ?", n.Cells, n.OK, n.Failed, n.Unsupported, n.Other, n.Samples, run)
	return err
}

func saveSummary(tx *sql.Tx, cell int64, summary map[string]Summary, metrics map[string]int64) error {
	if _, err := tx.Exec("DELETE FROM summary WHERE cell = ?", cell); err != nil {
		return err
	}
	for name, s := range summary {
		id, known := metrics[name]
		if !known {
			if _, err := tx.Exec("INSERT OR IGNORE INTO metric (name) VALUES (?)", name); err != nil {
				return err
			}
			if err := tx.QueryRow("SELECT id FROM metric WHERE name = ?", name).Scan(&id); err != nil {
				return err
			}
			metrics[name] = id
		}
		var low, high any
		if s.CI95 != nil {
			low, high = s.CI95[0], s.CI95[1]
		}
		if _, err := tx.Exec("INSERT INTO summary (cell, metric, n, median, low, high, min, max, beyond) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			cell, id, s.N, s.Median, low, high, s.Min, s.Max, s.Beyond); err != nil {
			return err
		}
	}
	return nil
}

// unsettle forgets it, of a run that goes on.
func unsettle(tx *sql.Tx, run int64) error {
	for _, q := range []string{
		"DELETE FROM cell_values WHERE cell IN (SELECT id FROM cell WHERE run = ?)",
		"DELETE FROM summary WHERE cell IN (SELECT id FROM cell WHERE run = ?)",
		"UPDATE run SET cells = NULL, ok = NULL, failed = NULL, unsupported = NULL, other = NULL, samples = NULL WHERE number = ?",
	} {
		if _, err := tx.Exec(q, run); err != nil {
			return err
		}
	}
	return nil
}

// querier is a database or a transaction.
type querier interface {
	Query(query string, args ...any) (*sql.Rows, error)
	QueryRow(query string, args ...any) *sql.Row
}

// notAsWritten says that what SQLite has read is not what was written.
func notAsWritten(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrDamaged, what, err)
}

// scan reads a row, which has what it has to have unless it is damaged.
func scan(rows *sql.Rows, to ...any) error {
	if err := rows.Scan(to...); err != nil {
		return notAsWritten("a row", err)
	}
	return nil
}

// readHead reads a run without its cells.
func readHead(q querier, run int64) (*File, error) {
	var head, host string
	if err := q.QueryRow("SELECT head, host FROM run_text WHERE run = ?", run).Scan(&head, &host); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = notAsWritten("what the run was", errors.New("it is missing"))
		}
		return nil, err
	}
	f := &File{Format: Format, FormatVersion: FormatVersion}
	if err := decode([]byte(head), &f.Run); err != nil {
		return nil, notAsWritten("what the run was", err)
	}
	if err := decode([]byte(host), &f.Host); err != nil {
		return nil, notAsWritten("the run's host", err)
	}
	return f, nil
}

// writerOf is the process that wrote a run last.
func writerOf(q querier, run int64) (pid int, err error) {
	err = q.QueryRow("SELECT pid FROM run WHERE number = ?", run).Scan(&pid)
	return pid, err
}

// readCells reads a run's cells without their samples, and their ids.
func readCells(q querier, run int64) (cells []Cell, ids []int64, err error) {
	rows, err := q.Query("SELECT id, head FROM cell WHERE run = ? ORDER BY n", run)
	if err != nil {
		return nil, nil, err
	}
	err = each(rows, func() error {
		var id int64
		var head sql.RawBytes
		if err := scan(rows, &id, &head); err != nil {
			return err
		}
		var open cellOpen
		if err := decode(head, &open); err != nil {
			return notAsWritten(fmt.Sprintf("cell %d", len(cells)+1), err)
		}
		cells, ids = append(cells, open.cell()), append(ids, id)
		return nil
	})
	return cells, ids, err
}

// each goes through all rows.
func each(rows *sql.Rows, do func() error) error {
	for rows.Next() {
		if err := do(); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// readSamples reads a cell's samples as they are written.
func readSamples(q querier, cell int64) ([]json.RawMessage, error) {
	rows, err := q.Query("SELECT n, data FROM sample WHERE cell = ? ORDER BY n", cell)
	if err != nil {
		return nil, err
	}
	out := []json.RawMessage{}
	err = each(rows, func() error {
		var n int
		var data sql.RawBytes
		if err := scan(rows, &n, &data); err != nil {
			return err
		}
		if n != len(out) {
			return notAsWritten(fmt.Sprintf("sample %d", len(out)+1), errors.New("it is missing"))
		}
		raw, err := unpack(data)
		if err != nil {
			return notAsWritten(fmt.Sprintf("sample %d", n+1), err)
		}
		out = append(out, raw)
		return nil
	})
	return out, err
}

func readHistograms(q querier, cell int64) (hs []Histogram, err error) {
	var data []byte
	err = q.QueryRow("SELECT data FROM histogram WHERE cell = ?", cell).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if data, err = unpack(data); err == nil {
		err = decode(data, &hs)
	}
	if err != nil {
		return nil, notAsWritten("histograms", err)
	}
	return hs, nil
}

// readRun reads all of a run, with summaries.
func readRun(q querier, run int64) (r rawRun, ids []int64, err error) {
	if r.file, err = readHead(q, run); err != nil {
		return r, nil, err
	}
	if r.writer, err = writerOf(q, run); err != nil {
		return r, nil, err
	}
	if r.file.Cells, ids, err = readCells(q, run); err != nil {
		return r, nil, err
	}
	samples := 0
	for i := range r.file.Cells {
		c := &r.file.Cells[i]
		raw, err := readCell(q, ids[i], c)
		if err != nil {
			return r, nil, fmt.Errorf("%s: %w", c.Name(), err)
		}
		r.samples = append(r.samples, raw)
		c.Summary = c.Summarize()
		samples += len(raw)
	}
	return r, ids, checkCounts(q, run, ids, samples)
}

// readCell reads a cell's samples and histograms, not its summary.
func readCell(q querier, id int64, c *Cell) ([]json.RawMessage, error) {
	raw, err := readSamples(q, id)
	if err != nil {
		return nil, err
	}
	c.Samples = make([]Sample, len(raw))
	for n := range raw {
		if err := decode(raw[n], &c.Samples[n]); err != nil {
			return nil, notAsWritten(fmt.Sprintf("sample %d", n+1), err)
		}
	}
	c.Histograms, err = readHistograms(q, id)
	return raw, err
}
