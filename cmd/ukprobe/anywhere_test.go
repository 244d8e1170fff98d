// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestFlagsAnywhere: of every command, and nothing is lost.
func TestFlagsAnywhere(t *testing.T) {
	for in, want := range map[string]string{
		"ukprobe":                                    "ukprobe",
		"ukprobe --help run x":                       "ukprobe --help run x",
		"ukprobe nosuch x --json":                    "ukprobe nosuch x --json",
		"ukprobe image --help":                       "ukprobe image --help",
		"ukprobe image nosuch --json":                "ukprobe image nosuch --json",
		"ukprobe run --samples 3 --dry-run":          "ukprobe run --samples 3 --dry-run",
		"ukprobe run x --samples -1":                 "ukprobe run --samples -1 -- x",
		"ukprobe compare A B --threshold 5%":         "ukprobe compare --threshold 5% -- A B",
		"ukprobe compare A --by=host B":              "ukprobe compare --by=host -- A B",
		"ukprobe compare --only app=x A --bogus B":   "ukprobe compare --only app=x --bogus -- A B",
		"ukprobe compare --by system -- -A":          "ukprobe compare --by system -- -A",
		"ukprobe compare A --by":                     "ukprobe compare --by",
		"ukprobe compare --by -- A":                  "ukprobe compare --by -- -- A", // the library's way: its value is --
		"ukprobe -- compare A --by host":             "ukprobe -- compare --by host -- A",
		"ukprobe report A --format md B -format=csv": "ukprobe report --format md -format=csv -- A B",
		"ukprobe report A -- --format md":            "ukprobe report -- A --format md",
		"ukprobe runs A --json B":                    "ukprobe runs --json -- A B",
		"ukprobe runs - --json":                      "ukprobe runs --json -- -",
		"ukprobe export A --salvage --out f":         "ukprobe export --salvage --out f -- A",
		"ukprobe image inspect f --json":             "ukprobe image inspect --json -- f",
		"ukprobe image inspect f --help":             "ukprobe image inspect --help",
		"ukprobe __complete -- run --only":           "ukprobe __complete -- run --only",
		"ukprobe man run --dir d":                    "ukprobe man --dir d -- run",
		"ukprobe h run":                              "ukprobe h -- run",
	} {
		if got := strings.Join(flagsAnywhere(app(), strings.Fields(in)), " "); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestEveryCommandTakesFlagsLast asks every command that has arguments for its help, after
// them: a flag that nothing read would be taken for an argument.
func TestEveryCommandTakesFlagsLast(t *testing.T) {
	asked := 0
	var ask func(path []string, commands []*cli.Command)
	ask = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			own := append(append([]string(nil), path...), c.Name)
			ask(own, c.Subcommands)
			if c.SkipFlagParsing || c.Name == "help" || len(c.Subcommands) > 0 {
				continue
			}
			asked++
			out, text, status := ukprobe(t, append(own, "x", "y", "--help")...)
			if status != 0 || !strings.Contains(out, "ukprobe "+strings.Join(own, " ")+" - ") {
				t.Errorf("%v x y --help: %d, %q, %q", own, status, out, text)
			}
		}
	}
	ask(nil, app().Commands)
	if asked < 15 {
		t.Errorf("%d commands", asked)
	}
}

// TestFlagsLast: they do what they do first, and -- ends them.
func TestFlagsLast(t *testing.T) {
	dir := nightly(t)
	for _, tt := range [][2][]string{
		{{"report", dir, "--format", "md"}, {"report", "--format", "md", dir}},
		{{"runs", dir, "--json"}, {"runs", "--json", dir}},
		{{"image", "inspect", "/proc/self/exe", "--json"}, {"image", "inspect", "--json", "/proc/self/exe"}},
		{{"systems", "linux", "--json", "--cache", dir}, {"systems", "--json", "--cache", dir, "linux"}},
	} {
		last, text, status := ukprobe(t, tt[0]...)
		first, _, _ := ukprobe(t, tt[1]...)
		if status != 0 || last != first || first == "" {
			t.Errorf("%v: %d, %q, %q; with the flags first %q", tt[0], status, last, text, first)
		}
	}
	t.Chdir(t.TempDir())
	if err := os.Rename(dir, "--json"); err != nil {
		t.Fatal(err)
	}
	out, text, status := ukprobe(t, "runs", "--", "--json")
	if status != 0 || !strings.Contains(out, "interrupted") || strings.HasPrefix(out, "[") {
		t.Errorf("a folder called --json: %d, %q, %q", status, out, text)
	}
	into := filepath.Join(t.TempDir(), "all")
	if out, text, status := ukprobe(t, "import", "./--json", "--into", into); status != 0 || strings.Count(out, "imported: run") != 2 {
		t.Errorf("import: %d, %q, %q", status, out, text)
	}
}
