// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ukprobe/ukprobe/internal/lockfile"
	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// isHot says that a reader has met the rollback journal of a writer that was killed: what
// that had changed has to be taken back first, and who only reads cannot.
func isHot(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == codes.SQLITE_READONLY_ROLLBACK
}

// rollBack has SQLite take back what a killed writer had begun to change. Whoever is about
// to write there does so himself: he is waited for.
func rollBack(file string) error {
	dir := filepath.Dir(file)
	if err := writable(dir); err != nil {
		return err
	}
	for end := time.Now().Add(busyFor); ; time.Sleep(20 * time.Millisecond) {
		lock, err := lockDir(dir)
		switch pid, _ := lockfile.Holder(dir); {
		case err == nil:
			return errors.Join(openOnce(file), lock.Close())
		case pid == os.Getpid(): // the reader's own, as it is about to write
			return openOnce(file)
		case !isHot(readOnce(file)):
			return nil
		case time.Now().After(end):
			return err
		}
	}
}

// openOnce opens a database for writing and reads of it, which is when SQLite rolls back.
func openOnce(file string) error { return readAs(file, "rw") }

// readOnce reads of a database without changing it.
func readOnce(file string) error { return readAs(file, "ro") }

func readAs(file, mode string) error {
	db, err := sql.Open("sqlite", dsn(file, mode, nil))
	if err != nil {
		return err
	}
	_, _, err = versionOf(db)
	return errors.Join(err, db.Close())
}

// openHot opens a store that a killed writer has left with its rollback journal: where
// nobody may write, a copy of both.
func (d *DB) openHot() error {
	_ = d.db.Close()
	if rollBack(d.path) == nil {
		return d.open(d.path)
	}
	return d.openUnwritable()
}

// copyStore copies a store with what a killed writer has left beside it.
func copyStore(to, from string) error {
	for _, end := range []string{"", "-wal", "-journal"} {
		err := copyFile(to+end, from+end)
		if end != "" && errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("copy %s to read it: %w", from+end, err)
		}
	}
	if isHot(readOnce(to)) {
		return rollBack(to)
	}
	return nil
}
