// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/results/report"
)

// TestVariables: every flag has an environment variable, or there is a reason.
func TestVariables(t *testing.T) {
	used := map[string]bool{}
	meaning := map[string]string{} // of a variable
	everyFlag(app(), func(path string, f cli.Flag) {
		name := f.Names()[0]
		vars := f.(cli.DocGenerationFlag).GetEnvVars()
		command := strings.TrimPrefix(path, "ukprobe ")
		without := reasonWithout(command, name) != ""
		for _, key := range []string{name, command + " " + name} {
			used[key] = used[key] || len(vars) == 0
		}
		if len(vars) == 0 && !without && !hidden(path) {
			t.Errorf("%s --%s: give it a variable, or a reason in withoutVariable", path, name)
		}
		for _, v := range vars {
			if !strings.HasPrefix(v, "UKPROBE_") || !strings.HasSuffix(v, strings.ToUpper(strings.ReplaceAll(name, "-", "_"))) {
				t.Errorf("%s --%s: %s is no name for its variable", path, name, v)
			}
			if m, ok := meaning[v]; ok && m != name {
				t.Errorf("%s is --%s and --%s", v, m, name)
			}
			meaning[v] = name
		}
	})
	for name := range withoutVariable {
		if !used[name] && name != "help" {
			t.Errorf("withoutVariable has --%s, which there is not, or which has one", name)
		}
	}
}

func hidden(path string) bool {
	words := strings.Fields(path)
	return slices.ContainsFunc(app().Commands, func(c *cli.Command) bool { return c.Hidden && c.Name == words[1] })
}

// TestVariableHoldsASelector: with the commas that it has.
func TestVariableHoldsASelector(t *testing.T) {
	t.Setenv("UKPROBE_ONLY", "system=reference,platform=qemumicrovm")
	out, text, status := ukprobe(t, "run", "--dry-run", "--journal-dir", t.TempDir())
	if status != 0 || !strings.Contains(out, "reference/hello/qemumicrovm") || strings.Contains(out, "reference/hello/qemu/") {
		t.Errorf("%d, %s\n%s", status, text, out)
	}
	t.Setenv("UKPROBE_ONLY", "") // as good as none
	if out, text, status := ukprobe(t, "run", "--dry-run", "--journal-dir", t.TempDir()); status != 0 || !strings.Contains(out, "reference/hello/qemu/") {
		t.Errorf("%d, %s\n%s", status, text, out)
	}
}

// TestEnvironmentPage: docs/environment.md is what the flags say.
func TestEnvironmentPage(t *testing.T) {
	type entry struct{ flags, meaning, otherwise string }
	rows := map[string]entry{}
	type bare struct{ name, why string }
	without := map[bare][]string{}
	everyCommand(app(), func(words []string, c *cli.Command) {
		command := strings.Join(words[1:], " ")
		for _, f := range c.Flags {
			name := f.Names()[0]
			vars := f.(cli.DocGenerationFlag).GetEnvVars()
			if len(vars) == 0 {
				key := bare{name, reasonWithout(command, name)}
				without[key] = append(without[key], "`"+command+"`")
			}
			for _, v := range vars {
				e := rows[v]
				switch otherwise := flagDefault(f.(cli.DocGenerationFlag)); {
				case e.meaning == "":
					e.meaning, e.otherwise = flagUsage(f)+otherwise, otherwise
				case otherwise != e.otherwise:
					e.meaning += ", of `" + command + "`" + otherwise
				}
				e.flags += ", `" + command + "`"
				rows[v] = e
			}
		}
	})
	var b strings.Builder
	b.WriteString("# Environment variables\n\nThis page is made of the flags (`go test ./cmd/ukprobe -run EnvironmentPage -update`). A flag on\nthe command line wins over its variable, which wins over the default. A variable of a flag that\nmay be repeated holds one value. Variables that decide what is measured are stored with the run,\nand refused beside `--resume`. A name that begins with `UKPROBE_` and that nothing reads is warned\nof, on standard error.\n\n| variable | of the flag | commands | meaning |\n|---|---|---|---|\n")
	for _, v := range slices.Sorted(maps.Keys(rows)) {
		flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(v, "UKPROBE_"), "WATCH_"), "OVERHEAD_"), "_", "-"))
		fmt.Fprintf(&b, "| `%s` | `--%s` | %s | %s |\n", v, flag, strings.TrimPrefix(rows[v].flags, ", "), inTable(rows[v].meaning))
	}
	b.WriteString("\nBeside them:\n\n| variable | meaning |\n|---|---|\n")
	for _, v := range otherVariables {
		fmt.Fprintf(&b, "| %s | %s |\n", v.name, inTable(v.meaning))
	}
	b.WriteString("\nFlags without a variable:\n\n| flag | commands | why |\n|---|---|---|\n")
	for _, f := range slices.SortedFunc(maps.Keys(without), func(a, b bare) int { return strings.Compare(a.name+a.why, b.name+b.why) }) {
		fmt.Fprintf(&b, "| `--%s` | %s | %s |\n", f.name, strings.Join(without[f], ", "), inTable(f.why))
	}
	golden.Check(t, filepath.Join("..", "..", "..", "docs", "environment.md"), b.String())
}

func inTable(s string) string { return strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(s) }

// TestColours: NO_COLOR, CLICOLOR_FORCE and the rest, in their order.
func TestColours(t *testing.T) {
	for env, want := range map[string][2]bool{ // on a terminal, elsewhere
		"":                            {true, false},
		"NO_COLOR=1":                  {false, false},
		"NO_COLOR=1 CLICOLOR_FORCE=1": {false, false},
		"CLICOLOR_FORCE=1":            {true, true},
		"CLICOLOR_FORCE=0":            {true, false},
		"CLICOLOR=0":                  {false, false},
		"TERM=dumb":                   {false, false},
		"TERM=dumb CLICOLOR_FORCE=1":  {true, true},
	} {
		get := func(name string) string {
			for _, pair := range strings.Fields(env) {
				if n, v, _ := strings.Cut(pair, "="); n == name {
					return v
				}
			}
			return ""
		}
		got := [2]bool{report.OptionsFor(get, true, 80).Color, report.OptionsFor(get, false, 0).Color}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", env, diff)
		}
	}
}

// TestWarnOfVariables: a misspelt one is told, with the one that was meant.
func TestWarnOfVariables(t *testing.T) {
	var out strings.Builder
	warnOfVariables(&out, app(), []string{"UKPROBE_SAMPELS=3", "UKPROBE_SAMPLES=3", "UKPROBE_FIRECRACKER=x", "UKPROBE_TEST_MAIN=1", "UKPROBE_GUESTS=/", "UKPROBEX=1", "HOME=/", "UKPROBE_QQQQ\x1b=1"})
	want := "ukprobe: warning: nothing reads the variable UKPROBE_SAMPELS: did you mean UKPROBE_SAMPLES?\n" +
		"ukprobe: warning: nothing reads the variable UKPROBE_QQQQ\ufffd: `man ukprobe` has a list of those that are read\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

// TestHelpNowhere: a help that could not be written is no success.
func TestHelpNowhere(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs /dev/full: ", err)
	}
	defer full.Close()
	stdout, args := os.Stdout, os.Args
	defer func() { os.Stdout, os.Args = stdout, args }()
	for _, line := range [][]string{{"ukprobe", "--help"}, {"ukprobe", "help"}, {"ukprobe", "run", "--help"}, {"ukprobe", "version"}} {
		os.Stdout, os.Args = full, line
		if got := status(); got != exitFailed {
			t.Errorf("%q: %d", line, got)
		}
	}
}
