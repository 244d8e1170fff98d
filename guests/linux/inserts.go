// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"strings"
)

// SQLiteInserts is a variant of the app sqlite, for its throughput: once ready it
// inserts rows for hours, each by a statement and a transaction of its own, and says so
// after every [InsertsPerLine], until it is ended. So all systems do the same, and how
// long it takes is the host's to measure.
const SQLiteInserts = "sqlite-inserts"

// InsertsPerLine is how many rows are inserted between two lines of the console that
// hold InsertsLine.
const (
	InsertsPerLine = 5_000
	InsertsLine    = "ukprobe-sqlite: 5000 inserts"
)

// VariantOf is the app that an app of a recipe of its own is a variant of, "" for none.
func VariantOf(app string) string { return apps[app].variantOf }

// insertScripts are the variant's files, by path. sqlite3 has no loop: each script
// reads the next one ten times, and the last one inserts.
//
// The rows go into a database in memory: the file systems of a guest's memory and of
// the host's disk are not alike, and none takes part. Each InsertsPerLine rows the
// table is emptied, which is one operation (SQLite's truncate optimisation). The lines
// are written by sqlite_log, since the shell flushes after it, also where its output is
// a pipe.
func insertScripts() map[string]string {
	const (
		dir    = "/etc/sqlite-inserts/"
		insert = "insert into t (name, value) values ('ukprobe', 'a row of thirty-two bytes or so');\n"
		rows   = 50 // of the innermost script: 10 × 10 × 50 rows between two lines
		outer  = 7  // 10⁷ lines: it does not come to its end
	)
	tenTimes := func(name string) string { return strings.Repeat(".read "+dir+name+"\n", 10) }
	files := map[string]string{
		"/etc/sqlite.sql": `.log stdout
create table t (id integer primary key, name text, value text);
select 'ukprobe-sqlite: ready';
select 1 where sqlite_log(0, 'ukprobe-sqlite: inserts begin') is not null;
.read ` + dir + fmt.Sprint(outer) + "\n",
		dir + "rows": strings.Repeat(insert, rows),
		dir + "more": tenTimes("rows"),
		dir + "0":    "delete from t;\n" + tenTimes("more") + "select 1 where sqlite_log(0, '" + InsertsLine + "') is not null;\n",
	}
	for i := 1; i <= outer; i++ {
		files[dir+fmt.Sprint(i)] = tenTimes(fmt.Sprint(i - 1))
	}
	return files
}
