// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParseStanzas: what was read and is written is read again as the same.
func FuzzParseStanzas(f *testing.F) {
	for _, seed := range []string{
		"", "Package: a\nVersion: 1\n\nPackage: b\n", "Depends: a,\n b,\n c\n", " continued\n", "# comment\nA:\n b\n", "no colon\n", "A: 1\r\n\r\nB: 2",
		"Signed-By:\n -----BEGIN\n .\n x\n", ": nameless\n", "\n\n\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := parseStanzas(text)
		for _, s := range once {
			if len(s) == 0 {
				t.Fatalf("%q has an empty stanza", text)
			}
		}
		twice := parseStanzas(format(once))
		if diff := cmp.Diff(once, twice, cmp.AllowUnexported(field{})); diff != "" {
			t.Fatalf("%q written and read again (-first +second):\n%s", text, diff)
		}
	})
}

// FuzzSources: whatever sources.list says, no panic, and every stanza has what apt
// needs.
func FuzzSources(f *testing.F) {
	for _, seed := range []string{"", "deb URI suite main\n", "deb [arch=amd64 signed-by=/k] URI s main contrib # x\n", "deb [", "deb [] a b c", "deb-src a b c\n", "deb a b\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseOneLine(text) {
			for _, name := range []string{"Types", "URIs", "Suites", "Components"} {
				if s.get(name) == "" || strings.ContainsAny(s.get(name), "\n") {
					t.Fatalf("%q: %s is %q", text, name, s.get(name))
				}
			}
		}
		_ = onlyDebian(parseOneLine(text), "bookworm")
	})
}

// FuzzAptOutput: names out of apt's and dpkg's output are sorted, each once, and
// without blanks.
func FuzzAptOutput(f *testing.F) {
	for _, seed := range []string{"", "Inst a (1 x)\nConf a\nInst b\n", "Inst \n", "linux-image (= 1.2)", "a (= 1), b", "drwx r/r 0 d t ./usr/\n-rw r/r 1 d t ./usr/share/doc/x\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		names := parseInst([]byte(text))
		if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Fatalf("%q", names)
		}
		for _, n := range append(names, pinnedDependency(text)) {
			if strings.Contains(n, " ") {
				t.Fatalf("package %q", n)
			}
		}
		_ = onlyDocumentation(text)
	})
}
