// SPDX-License-Identifier: Apache-2.0

package results

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"

	"modernc.org/sqlite" // the driver "sqlite"
	codes "modernc.org/sqlite/lib"
)

// applicationID marks a SQLite file as a store of ukprobe: "ukpr".
const applicationID = 0x756b7072

//go:embed store.sql
var tables string

//go:embed views.sql
var views string

// migrations bring a store from the version that is their place in the list to the
// next one; version 0 is an empty file. Nothing here is ever changed: what is to be
// different is a further one.
var migrations = []string{tables}

// busyFor is how long a lock of SQLite's is waited for. Writers keep out of each other's
// way by the folder's lock, and with a write-ahead log readers hold nobody up: only the
// change to such a log and back has to wait for readers.
const busyFor = 10 * time.Second

// dsn names a database file for the driver.
func dsn(path, mode string, more url.Values) string {
	q := url.Values{"mode": {mode}, "_busy_timeout": {fmt.Sprint(busyFor.Milliseconds())}, "_dqs": {"0"}}
	for k, v := range more {
		q[k] = v
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// openWriter opens the database for writing, makes its tables if there are none, and
// brings an older one up to date. The caller holds the folder's lock.
//
// While a run is written there is a write-ahead log beside the file: a commit is one
// write and one fsync at the log's end, and readers and the writer do not wait for each
// other, so that no `ukprobe show` disturbs a measurement. closeWriter goes back to a
// plain file: then nothing lies beside it, and it can be read from where nobody may
// write. Where the file system cannot share memory between processes, as network file
// systems cannot, or as long as somebody reads on and on, there is no such log and SQLite
// uses its rollback journal: as safe, with more fsyncs, and a reader may make the writer
// wait.
func openWriter(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, "rwc", url.Values{"_txlock": {"immediate"}, "_sync": {"FULL"}}))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // settings and prepared statements are a connection's
	if err = migrate(db, path); err == nil {
		err = makeViews(db)
	}
	if err == nil {
		useLog(db, busyFor)
		_, err = db.Exec("PRAGMA journal_size_limit = 16777216") // bytes; it can grow while somebody reads
	}
	if err != nil {
		return nil, errors.Join(explain(err), db.Close())
	}
	return db, nil
}

// useLog changes to a write-ahead log, if need be once readers let it, and returns the
// journal's mode then. It stays as it was where the file system cannot, and when somebody
// reads for as long as that.
func useLog(db *sql.DB, patience time.Duration) (mode string) {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := db.QueryRow("PRAGMA journal_mode = WAL").Scan(&mode)
		if err == nil {
			return mode
		}
		if !isCode(err, codes.SQLITE_BUSY) && !isCode(err, codes.SQLITE_LOCKED) || time.Now().After(end) {
			break
		}
	}
	if db.QueryRow("PRAGMA journal_mode").Scan(&mode) != nil {
		return ""
	}
	return mode
}

// closeWriter leaves one plain file, unless somebody reads just now or the disk is full:
// then the log stays beside it and is part of it.
func closeWriter(db *sql.DB) error {
	_, _ = db.Exec("PRAGMA busy_timeout = 100")
	_, _ = db.Exec("PRAGMA journal_mode = DELETE")
	return db.Close()
}

// versionOf reads whose file it is, and of which version. An empty one is of nobody.
func versionOf(db *sql.DB) (application, version int, err error) {
	err = db.QueryRow("SELECT a.application_id, v.user_version FROM pragma_application_id a, pragma_user_version v").Scan(&application, &version)
	return application, version, err
}

// checkVersion refuses a database that is not a store, or a newer one.
func checkVersion(db *sql.DB, path string) (version int, err error) {
	application, version, err := versionOf(db)
	switch {
	case err != nil:
		return 0, err
	case application == 0 && version == 0:
		var n int
		if err := db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, nil
		}
		fallthrough
	case application != applicationID:
		return 0, fmt.Errorf("%s is another program's database: choose another directory, or rename the file", path)
	case version > len(migrations):
		return 0, fmt.Errorf("%s has store version %d and this ukprobe knows up to %d: it was written by a newer ukprobe: use that one (`ukprobe export` with it gives run.json, which older ones may read)",
			path, version, len(migrations))
	}
	return version, nil
}

// migrate makes the tables, or brings them up to date.
func migrate(db *sql.DB, path string) error {
	version, err := checkVersion(db, path)
	if err != nil {
		return err
	}
	if version == len(migrations) {
		return nil
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	for _, m := range migrations[version:] {
		if _, err := tx.Exec(m); err != nil {
			return fmt.Errorf("bring %s from store version %d to %d: %w", path, version, len(migrations), err)
		}
	}
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations))); err != nil {
		return err
	}
	return tx.Commit()
}

// makeViews makes the views that are not as they should be. Whoever only reads does not
// use them, so that a store with other ones needs no bringing up to date.
func makeViews(db *sql.DB) error {
	var change []string
	for rest := views; ; {
		i := strings.Index(rest, "CREATE VIEW ")
		if i < 0 {
			break
		}
		var view string
		view, rest, _ = strings.Cut(rest[i:], ";")
		name := strings.Fields(view)[2]
		var is string
		err := db.QueryRow("SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = ?", name).Scan(&is)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if is != view {
			change = append(change, "DROP VIEW IF EXISTS "+name, view)
		}
	}
	if len(change) == 0 {
		return nil
	}
	return inTx(db, func(tx *sql.Tx) error {
		for _, c := range change {
			if _, err := tx.Exec(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// ErrDamaged says that a store's file is not as SQLite has written it.
var ErrDamaged = errors.New("the database is damaged")

// explain puts SQLite's errors into the system's words, where it has some.
func explain(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EROFS) || errors.Is(err, ErrDamaged) {
		return err
	}
	var why error
	switch e.Code() & 0xff {
	case codes.SQLITE_FULL:
		why = syscall.ENOSPC
	case codes.SQLITE_READONLY:
		why = syscall.EROFS
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		why = ErrDamaged
	default:
		return err
	}
	return fmt.Errorf("%w (%s)", why, printable(err.Error()))
}

// printable is a text that may cite what is in a damaged file.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

func isCode(err error, code int) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == code
}

// inTx does something as a whole or not at all.
func inTx(db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return explain(err)
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // SQLite may have done so itself
		return explain(err)
	}
	return explain(tx.Commit())
}
