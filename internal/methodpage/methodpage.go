// SPDX-License-Identifier: Apache-2.0

// Package methodpage reads a page of docs/experiments for the tests that hold it against
// the code. It knows how the pages are written, and no experiment.
package methodpage

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// Values are the names of the values that the page of an experiment promises: those in
// backticks in the first columns of the tables below "What it yields", with {a,b} for
// either.
func Values(t *testing.T, experiment string) map[string]bool {
	t.Helper()
	text := Text(t, experiment)
	_, section, found := strings.Cut(text, "\n## What it yields\n")
	if !found {
		t.Fatalf("the page of %s has no section on what it yields", experiment)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	out := map[string]bool{}
	for line := range strings.Lines(section) {
		columns := strings.SplitN(line, "|", 3)
		if len(columns) < 3 {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(columns[1], -1) {
			for _, name := range expand(m[1]) {
				out[name] = true
			}
		}
	}
	return out
}

// Text is the page of an experiment.
func Text(t *testing.T, experiment string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../docs/experiments", experiment+".md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var (
	quoted = regexp.MustCompile("`([^`]+)`")
	either = regexp.MustCompile(`\{([^{}]*)\}`)
)

// expand writes {a,b}_c as a_c and b_c.
func expand(name string) []string {
	at := either.FindStringSubmatchIndex(name)
	if at == nil {
		return []string{name}
	}
	var out []string
	for word := range strings.SplitSeq(name[at[2]:at[3]], ",") {
		out = append(out, expand(name[:at[0]]+strings.TrimSpace(word)+name[at[1]:])...)
	}
	return out
}
