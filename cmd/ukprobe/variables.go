// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/suggest"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

// withoutVariable are the flags that have no UKPROBE_… variable, by name, or by command
// and name, and why. All others have one: a test sees to it.
var withoutVariable = map[string]string{
	"compare only": "chooses for one look",
	"report out":   "names one file",
	"export out":   "names one file",
	"into":         "names one folder",
	"by":           "chooses for one look",
	"base":         "belongs to --by",
	"threshold":    "is a rule for one comparison: a variable would hide it from who reads the command line",
	"metric":       "chooses for one look",
	"across":       "is an answer to one refusal",
	"correct":      "is a rule for one comparison",
	"fail-on":      "forgotten, it would change what an exit status means",
	"format":       "forgotten, it would change what other scripts read",
	"curves":       "belongs to --format csv and tsv",
	"whole":        "forgotten, it would change what other scripts read",
	"salvage":      "is an answer to one refusal",
	"help":         "asks once",
	"set":          "is given several times, with commas in its values: what is to stay belongs into a matrix file",
	"resume":       "names one run",
	"force":        "is an answer to one refusal; forgotten, it would hide the next",
	"linger":       "belongs to one --listen",
	"dry-run":      "forgotten, a run would do nothing",
	"json":         "forgotten, it would change what other scripts read",
	"pid":          "a process ID is of one moment",
	"once":         "is one look",
	"duration":     "belongs to --once",
	"top":          "is one look",
	"interval":     "belongs to --top",
	"update":       "forgotten, tags would not stay where they are",
	"platform":     "belongs to one REFERENCE",
	"sources":      "is one look",
	"dir":          "is one call",
	// Of the hidden command that experiment http starts.
	"address": "is ukprobe's own", "rate": "is ukprobe's own", "requests": "is ukprobe's own", "connections": "is ukprobe's own",
}

// reasonWithout is why the flag of a command has no variable, "" if nobody says.
func reasonWithout(command, flag string) string {
	if why := withoutVariable[command+" "+flag]; why != "" {
		return why
	}
	return withoutVariable[flag]
}

// variable is one that is no flag's.
type variable struct{ name, meaning string }

// otherVariables are what is read beside the flags' own.
var otherVariables = []variable{
	{platform.EnvFirecracker, "the Firecracker to run: a path, or a name in PATH (default: firecracker); docs/platforms/firecracker.md"},
	{platform.EnvJailer, "the jailer that starts it; none if it is not set"},
	{tempDir, "folder for temporary files: guests' disks and roots are made there"},
	{"NO_COLOR", "not empty: no colours, whatever else is set"},
	{"CLICOLOR_FORCE", "not empty and not 0: colours also where there is no terminal"},
	{"CLICOLOR", "0: no colours"},
	{"TERM", "dumb: no colours, nothing redrawn in place"},
	{"LC_ALL, LC_CTYPE, LANG", "the first that is set: anything but ASCII only if it names UTF-8"},
	{"GOMEMLIMIT", "of `ukprobe watch`: the Go runtime's limit, in place of what --memory leaves for it"},
	{"NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM", "systemd's, of `ukprobe watch` as a service"},
	{"DOCKER_HOST, DOCKER_CONFIG", "Docker's: the engine, and the logins of registries"},
	{"SOURCE_DATE_EPOCH", "of `ukprobe man`: the date of the pages"},
}

// ownVariable is how the names of ukprobe's own variables begin.
const ownVariable = "UKPROBE_"

// testVariables are those of the tests, which a command that one of them runs inherits.
var testVariables = regexp.MustCompile(`^UKPROBE_(TEST_.*|PROBE_TESTS|BENCH_.*|REPORT_.*|GRAFANA_SCHEMAS|GUESTS|IMAGES|GOLDEN|BINARY|HOSTVM|NFPM)$`)

// warnOfVariables tells of variables that nothing reads although their names say so.
func warnOfVariables(w io.Writer, a *cli.App, environ []string) {
	var known []string // without the beginning, which they all have
	everyFlag(a, func(_ string, f cli.Flag) {
		if d, ok := f.(cli.DocGenerationFlag); ok {
			for _, name := range d.GetEnvVars() {
				known = append(known, strings.TrimPrefix(name, ownVariable))
			}
		}
	})
	for _, v := range otherVariables {
		known = append(known, strings.TrimPrefix(v.name, ownVariable))
	}
	for _, line := range environ {
		name, _, _ := strings.Cut(line, "=")
		word, own := strings.CutPrefix(name, ownVariable)
		if !own || slices.Contains(known, word) || testVariables.MatchString(name) {
			continue
		}
		hint := "`man ukprobe` has a list of those that are read"
		if best := suggest.Nearest(word, known); best != "" {
			hint = "did you mean " + ownVariable + best + "?"
		}
		fmt.Fprintf(w, "ukprobe: warning: nothing reads the variable %s: %s\n", withoutControls(name), hint)
	}
}

// withoutEmpty unsets the variables of repeatable flags that are empty, which the library
// takes for one empty value; of all other flags it takes an empty one for none.
func withoutEmpty(c *cli.Context) error {
	var err error
	everyFlag(c.App, func(_ string, f cli.Flag) {
		d, ok := f.(cli.DocGenerationFlag)
		if !ok || !repeatable(f) {
			return
		}
		for _, v := range d.GetEnvVars() {
			if text, set := os.LookupEnv(v); set && text == "" && err == nil {
				err = os.Unsetenv(v)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("unset empty variables: %w", err)
	}
	return nil
}

// everyFlag goes over the flags of all commands, hidden ones too.
func everyFlag(a *cli.App, do func(path string, f cli.Flag)) {
	var walk func(path string, commands []*cli.Command)
	walk = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			for _, f := range c.Flags {
				do(path+" "+c.Name, f)
			}
			walk(path+" "+c.Name, c.Subcommands)
		}
	}
	walk(a.Name, a.Commands)
}
