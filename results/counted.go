// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"fmt"
	"slices"
)

// A damaged index hides rows, and SQLite does not notice: what is found by one is held
// against what is known without it.

// checkCounts holds the cells (their ids) and the number of samples that were found of a
// run against what it had when it ended. Of one that has not, nobody has counted; if it is
// the one that was written last, its rows are the tables' last ones.
func checkCounts(q querier, run int64, cells []int64, samples int) error {
	had, known, err := counted(q, run)
	switch {
	case err != nil:
		return err
	case known && had.Cells != len(cells):
		return notAllFound("cells", had.Cells, len(cells))
	case known && had.Samples != samples:
		return notAllFound("samples", had.Samples, samples)
	case known:
		return nil
	}
	last, err := lastRows(q, "SELECT run FROM cell NOT INDEXED ORDER BY id DESC", func(of int64) bool { return of == run })
	if err != nil {
		return err
	}
	if last > len(cells) {
		return notAllFound("cells", last, len(cells))
	}
	last, err = lastRows(q, "SELECT cell FROM sample NOT INDEXED ORDER BY id DESC", func(of int64) bool { return slices.Contains(cells, of) })
	if err != nil {
		return err
	}
	if last > samples {
		return notAllFound("samples", last, samples)
	}
	return nil
}

func notAllFound(what string, had, found int) error {
	return notAsWritten("the run's "+what, fmt.Errorf("it has %d, and %d are found", had, found))
}

// counted is how many cells and samples a run had when it ended, if it has.
func counted(q querier, run int64) (n RunCounts, known bool, err error) {
	var cells, samples sql.NullInt64
	err = q.QueryRow("SELECT cells, samples FROM run WHERE number = ?", run).Scan(&cells, &samples)
	n.Cells, n.Samples = int(cells.Int64), int(samples.Int64)
	return n, cells.Valid && samples.Valid, err
}

// lastRows counts the rows at a table's end that are ours.
func lastRows(q querier, query string, ours func(of int64) bool) (n int, err error) {
	rows, err := q.Query(query)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var of int64
		if err := scan(rows, &of); err != nil {
			return 0, err
		}
		if !ours(of) {
			return n, nil
		}
		n++
	}
	return n, rows.Err()
}
