// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Imported says what became of a run that was to be imported.
type Imported struct {
	ID      string
	From    string // selector
	Samples int
	There   int  // samples of it that were there before
	Already bool // it was there, as it is or further on: nothing was changed
	Updated bool // it was there, and went on elsewhere: what it was short of was added
}

// Import takes runs into the store of a folder, which is made if need be. A selector
// without a run means all that are there. Each run is taken as a whole or not at all, its
// samples byte for byte; done is told of each. Of a run that is there already, the state
// that goes further stays or takes its place; two that have parted are an error. The sources
// stay as they are.
func Import(into string, selectors []string, done func(Imported)) error {
	s := &Store{dir: into}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return fmt.Errorf("results: create the results folder: %w: choose another directory", err)
	}
	var err error
	if s.lock, err = lockDir(into); err != nil {
		return err
	}
	defer s.end()
	fresh, err := checkContent(into)
	_, hasStore := (RunSelector{Path: into}).databaseOf()
	own := err != nil && !hasStore && Holds(into) // a folder from before there was a store
	if err != nil && !own && !hasStore {
		return err
	}
	sources, err := sourcesOf(into, selectors, own)
	if err != nil {
		return err
	}
	kept := func() {}
	if fresh {
		kept, err = making(s.openDatabase, func() { removeDatabase(into) })
	} else {
		err = s.openDatabase()
	}
	if err != nil {
		return err
	}
	defer kept()
	taken := 0
	for _, sel := range sources {
		got, err := s.importRun(sel)
		if err != nil {
			err = explainIn(err, into)
			advice := makeRoom(err, into, "")
			if advice != "" {
				advice = ": " + advice + ", and import again"
			}
			if fresh && taken == 0 {
				s.end()
				removeDatabase(into)
			}
			return s.failed(fmt.Errorf("results: import %s: %w%s", sel, err, advice))
		}
		taken++
		kept()
		done(got)
	}
	if own {
		return dropJournal(into)
	}
	return nil
}

// sourcesOf are the single runs that are meant, none twice. The run of a folder that is to
// get a store comes first: what is imported must not hide it.
func sourcesOf(into string, selectors []string, own bool) (out []RunSelector, err error) {
	if own {
		out = append(out, RunSelector{Path: filepath.Join(into, FileName)}) // by its name: soon there is a store
	}
	target, err := os.Stat(into)
	if err != nil {
		return nil, err
	}
	for _, text := range selectors {
		sel, err := ParseRunSelector(text)
		if err != nil {
			return nil, err
		}
		file, hasStore := sel.databaseOf()
		st, err := os.Stat(sel.folder())
		same := err == nil && os.SameFile(st, target)
		switch {
		case same && own:
			continue
		case same && hasStore:
			return nil, fmt.Errorf("results: import %s: it is in the store of %s already", sel, into)
		case !hasStore || sel.Run != "":
			out = append(out, sel)
			continue
		}
		d, err := Open(sel.Path)
		if err != nil {
			return nil, err
		}
		ids, err := d.runs()
		if err := errors.Join(err, d.Close()); err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			return nil, fmt.Errorf("results: import %s: it holds no run", file)
		}
		for _, id := range ids {
			out = append(out, RunSelector{sel.Path, id})
		}
	}
	return out, nil
}

func (s *Store) importRun(sel RunSelector) (Imported, error) {
	var r rawRun
	pid, command, err := steady(sel.folder(), func() (err error) {
		r, err = load(sel, s.lock)
		return err
	})
	if err != nil {
		return Imported{}, err
	}
	f := r.file
	got := Imported{ID: f.Run.ID, From: sel.String(), Samples: countsOf(f).Samples}
	if statusNow(f.Run.Status, r.writer, pid) == RunRunning && pid != os.Getpid() {
		return got, fmt.Errorf("it is being written by pid %d (%s): wait for its end", pid, command)
	}
	if err := f.check(); err != nil {
		return got, err
	}
	err = inTx(s.db, func(tx *sql.Tx) error {
		var number int64
		err := tx.QueryRow("SELECT number FROM run NOT INDEXED WHERE id = ?", f.Run.ID).Scan(&number)
		if err == nil {
			return meet(tx, number, r, &got)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		run, cells, err := insertRun(tx, r)
		if err != nil {
			return err
		}
		return settle(tx, run, cells, f)
	})
	return got, err
}
