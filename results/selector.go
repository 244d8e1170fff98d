// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// RunSelector names one run: where it is, and which one of those that are there.
type RunSelector struct {
	Path string // of a results folder, its ukprobe.db, or a run.json
	// Run is "latest" (as is ""), "-1", "-2" … for the runs before the latest one, or the
	// beginning of an id, as much of it as tells it from the others.
	Run string
}

// String is the selector as it is written.
func (s RunSelector) String() string {
	if s.Run == "" {
		return s.Path
	}
	return s.Path + "@" + s.Run
}

// ParseRunSelector reads DIR, DIR@RUN or FILE. Everything that takes a run takes it as this
// function reads it. A name that is there as a whole is a folder or file, also if it has
// an @; otherwise what follows the last @ is the run.
func ParseRunSelector(text string) (RunSelector, error) {
	if text == "" {
		return RunSelector{}, fmt.Errorf("results: which run? Name a results folder, or DIR@RUN of one that holds several")
	}
	if _, err := os.Stat(text); err == nil {
		return RunSelector{Path: text}, nil
	}
	i := strings.LastIndexByte(text, '@')
	if i < 0 {
		return RunSelector{Path: text}, nil // whoever opens it says that it is not there
	}
	s := RunSelector{Path: text[:i], Run: text[i+1:]}
	switch {
	case s.Path == "":
		s.Path = "."
	case s.Run == "":
		return s, fmt.Errorf("results: %s: no run after the @: write %s@latest, %s@-1 for the one before, or the beginning of a run's id (`ukprobe runs %s` lists them)", text, s.Path, s.Path, s.Path)
	}
	return s, nil
}

// folder is the one that the run is in.
func (s RunSelector) folder() string {
	if st, err := os.Stat(s.Path); err == nil && !st.IsDir() {
		return filepath.Dir(s.Path)
	}
	return s.Path
}

// databaseOf is the path of the store's file at the selector's path. ok says that
// something is there, which is the store or keeps one from being there ([checkKind]).
func (s RunSelector) databaseOf() (path string, ok bool) {
	if st, err := os.Stat(s.Path); err != nil || !st.IsDir() {
		_, err := os.Lstat(s.Path)
		return s.Path, err == nil && filepath.Base(s.Path) == DatabaseName
	}
	path = filepath.Join(s.Path, DatabaseName)
	st, err := os.Lstat(path)
	switch {
	case err != nil:
		return path, false
	case !st.Mode().IsRegular():
		return path, true
	case st.Size() == 0: // of one that was killed before it began
		return path, false
	}
	// A folder from before there was a store may have got no further than to an empty one.
	_, err = os.Stat(filepath.Join(s.Path, FileName))
	return path, err != nil || !holdsNone(path)
}

// holdsNone says that a store has no run, and can be read.
func holdsNone(path string) bool {
	if isHot(readOnce(path)) && rollBack(path) != nil {
		return false
	}
	db, err := sql.Open("sqlite", dsn(path, "ro", nil))
	if err != nil {
		return false
	}
	defer db.Close()
	if version, err := checkVersion(db, path); err != nil || version == 0 {
		return err == nil
	}
	n := 1
	return db.QueryRow("SELECT count(*) FROM run").Scan(&n) == nil && n == 0
}

// pick finds the run that a selector means; ids are in the order of their start.
func pick(ids []string, want string) (int, error) {
	if len(ids) == 0 {
		return 0, fmt.Errorf("it holds no run")
	}
	if want == "" || want == "latest" {
		return len(ids) - 1, nil
	}
	if n, err := strconv.Atoi(want); err == nil && n < 0 {
		if i := len(ids) - 1 + n; i >= 0 {
			return i, nil
		}
		return 0, fmt.Errorf("there are only %d runs before the latest one", len(ids)-1)
	}
	var found []int
	for i, id := range ids {
		switch {
		case id == want:
			return i, nil
		case strings.HasPrefix(id, want):
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("it holds no run %s, of %d from %s to %s", want, len(ids), ids[0], ids[len(ids)-1])
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("%d runs begin with %s, the first of them %s and %s: write more of the id", len(found), want, ids[found[0]], ids[found[1]])
}
