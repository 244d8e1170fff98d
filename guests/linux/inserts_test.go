// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"slices"
	"strings"
	"testing"
)

// statements is what a script does, in the order in which sqlite3 does it: up to a
// number of them.
func statements(t *testing.T, files map[string]string, path string, most int) []string {
	t.Helper()
	text, ok := files[path]
	if !ok {
		t.Fatalf("a script reads %s, which is not there", path)
	}
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if next, ok := strings.CutPrefix(line, ".read "); ok {
			out = append(out, statements(t, files, next, most-len(out))...)
		} else {
			out = append(out, line)
		}
		if len(out) >= most {
			break
		}
	}
	return out
}

// Between two lines there are exactly as many inserts as the experiment counts.
func TestInsertsPerLine(t *testing.T) {
	inserts, lines := 0, 0
	for _, s := range statements(t, insertScripts(), "/etc/sqlite.sql", 5*InsertsPerLine) {
		switch {
		case strings.HasPrefix(s, "insert into t "):
			inserts++
		case strings.Contains(s, InsertsLine):
			if lines++; inserts != lines*InsertsPerLine {
				t.Fatalf("%d inserts before line %d, want %d", inserts, lines, lines*InsertsPerLine)
			}
		}
	}
	if lines < 4 {
		t.Errorf("%d lines in %d statements", lines, 5*InsertsPerLine)
	}
}

func TestVariants(t *testing.T) {
	if got := VariantOf(SQLiteInserts); got != "sqlite" || VariantOf("sqlite") != "" {
		t.Errorf("%s is a variant of %q, sqlite of %q", SQLiteInserts, got, VariantOf("sqlite"))
	}
	if slices.Contains(Apps(), SQLiteInserts) {
		t.Errorf("%s is among the apps: %v", SQLiteInserts, Apps())
	}
	if ReadyLine(SQLiteInserts) != ReadyLine("sqlite") {
		t.Errorf("ready lines %q, %q", ReadyLine(SQLiteInserts), ReadyLine("sqlite"))
	}
}
