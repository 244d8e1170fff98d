// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/probe"
)

// ukprobe runs a command line in this process and returns what it wrote and the
// exit status that main would give.
func ukprobe(t *testing.T, args ...string) (out, errText string, status int) {
	t.Helper()
	a := app()
	var stdout, stderr bytes.Buffer
	a.Writer, a.ErrWriter = &stdout, &stderr
	err := execute(t.Context(), a, append([]string{"ukprobe"}, args...))
	if err == nil {
		return stdout.String(), stderr.String(), 0
	}
	var coder cli.ExitCoder
	if errors.As(err, &coder) {
		return stdout.String(), err.Error(), coder.ExitCode()
	}
	return stdout.String(), err.Error(), exitFailed
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "matrix.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUsageErrors: the command line is checked before anything is touched, with
// exit status 2 and a text that says what would be right.
func TestUsageErrors(t *testing.T) {
	misspelt := writeFile(t, "version: 1\ncells:\n  - {system: reference, app: hello, platfrom: qemu}\n")
	unknown := writeFile(t, "version: 1\ncells:\n  - {system: plan9, app: hello, platform: qemu}\n")
	tests := []struct {
		args []string
		text string
	}{
		{[]string{"rum"}, `no command "rum": did you mean run?`},
		{[]string{"help", "nosuch"}, "no command \"nosuch\": see `ukprobe --help`"},
		{[]string{"h", "validat"}, `did you mean validate?`},
		{[]string{"image", "help", "biuld"}, "no command \"biuld\": did you mean build? See `ukprobe image --help`"},
		{[]string{"run", "--sampels", "3"}, "no flag --sampels: did you mean --samples? See `ukprobe run --help`"},
		{[]string{"image", "build", "--cahce", "x"}, "did you mean --cache? See `ukprobe image build --help`"},
		{[]string{"run", "--matrix"}, "--matrix needs a value: see `ukprobe run --help`"},
		{[]string{"run", "--json=maybe"}, `--json "maybe": takes no value, or true or false`},
		{[]string{"watch", "--pid", "foo"}, `--pid "foo": must be a whole number`},
		{[]string{"watch", "--duration", "5"}, `--duration "5": needs a unit: 5s`},
		{[]string{"--bogus"}, "bogus"},
		{[]string{"run", "--bogus"}, "no flag --bogus: see `ukprobe run --help`"},
		{[]string{"run", "quick.yaml"}, "run takes no argument \"quick.yaml\": see `ukprobe run --help`"},
		{[]string{"run", "--samples", "0"}, "--samples 0: must be 1 to 100000"},
		{[]string{"run", "--samples", "-3"}, "--samples -3: must be"},
		{[]string{"run", "--samples", "100001"}, "--samples 100001: must be"},
		{[]string{"run", "--samples", "many"}, `--samples "many": must be a whole number`},
		{[]string{"run", "--matrix", "bot"}, `nor is it a built-in one (boot, full, quick, validate); did you mean "boot"?`},
		{[]string{"run", "--matrix", "./boot"}, "./boot: no such file"},
		{[]string{"run", "--set", "sampels=3"}, `--set "sampels=3": unknown key "sampels" in the settings of a cell; did you mean "samples"?`},
		{[]string{"run", "--set", "load.duration=5"}, `--set "load.duration=5": duration has no unit: write 5s for seconds`},
		{[]string{"run", "--set", "samples"}, `--set "samples" is not of the form key=value`},
		{[]string{"run", "--set", "samples=3", "--set", "samples=4"}, `--set "samples=4": samples is set twice`},
		{[]string{"run", "--set", "samples=3", "--samples", "4"}, `--set "samples=3": --samples (or UKPROBE_SAMPLES) sets it too`},
		{[]string{"run", "--set", "until.within_percent=3", "--samples", "101"}, "until.at_most 100 is less than samples 101"},
		{[]string{"run", "--set", "args=x"}, "system process takes no args"},
		{[]string{"run", "--force"}, "--force: is for --resume DIR"},
		{[]string{"run", "--resume", ""}, "--resume: name the results folder of the run"},
		{[]string{"run", "--resume", "x", "y"}, `run takes no argument "y"`},
		{[]string{"run", "--resume", "x", "--samples", "3"}, "--resume goes on with what the run was asked for: leave --samples (or UKPROBE_SAMPLES) out"},
		{[]string{"run", "--resume", "x", "--set", "samples=3"}, "leave --set out"},
		{[]string{"run", "--resume", "x", "--dry-run"}, "leave --dry-run out"},
		{[]string{"run", "--resume", "x", "--linger"}, "--linger: needs --listen ADDR"},
		{[]string{"validate", "--resume", "x"}, "no flag --resume"},
		{[]string{"run", "--warmup", "-1"}, "--warmup -1: must be 0 to 100000"},
		{[]string{"run", "--schema", "6"}, "--schema 6: must be 0 to 5"},
		{[]string{"run", "--timeout", "1ms"}, "--timeout 1ms: must be 10ms to 24h"},
		{[]string{"run", "--timeout", "25h"}, "--timeout 25h0m0s: must be 10ms to 24h"},
		{[]string{"run", "--timeout", "30"}, `--timeout "30": needs a unit: 30s`},
		{[]string{"validate", "--timeout", "soon"}, `--timeout "soon": must be a span of time such as 5s`},
		{[]string{"run", "--seed", "-1"}, `--seed "-1": must be a whole number, 0 or more`},
		{[]string{"run", "--accel", "xen"}, "--accel xen: use auto, kvm or tcg"},
		{[]string{"run", "--attach", "uprobe"}, `attach "uprobe": no such rung: use one of auto, fentry, kprobe, tp_btf, raw_tp, tracepoint`},
		{[]string{"run", "--strict"}, "--strict: name the rung with --attach as well"},
		{[]string{"run", "--strict", "--attach", "auto"}, "--strict: name the rung"},
		{[]string{"run", "--probes", "all"}, "--probes all: use boot, full or none"},
		{[]string{"run", "--probes", "none", "--attach", "kprobe"}, "--probes none: attaches nothing: leave --attach and --strict out"},
		{[]string{"overhead", "fast"}, `overhead takes no argument "fast"`},
		{[]string{"overhead", "--bogus"}, "bogus"},
		{[]string{"overhead", "--rounds", "0"}, "--rounds 0: must be 1 to 1000"},
		{[]string{"overhead", "--rounds", "1001"}, "--rounds 1001: must be 1 to 1000"},
		{[]string{"overhead", "--rounds", "few"}, `--rounds "few": must be a whole number`},
		{[]string{"overhead", "--attach", "uprobe"}, `attach "uprobe": no such rung: use one of auto, fentry, kprobe`},
		{[]string{"run", "--linger"}, "--linger: needs --listen ADDR"},
		{[]string{"run", "--only", "sytem=linux"}, `unknown key "sytem"`},
		{[]string{"run", "--only", "linux"}, "is not of the form key=value"},
		{[]string{"run", "--only", "app=redis"}, "app=redis"},
		{[]string{"run", "--matrix", "/nonexistent.yaml"}, "/nonexistent.yaml: no such file or directory"},
		{[]string{"run", "--matrix", t.TempDir()}, "is a directory"},
		{[]string{"run", "--matrix", misspelt}, "matrix.yaml:3:"},
		{[]string{"run", "--matrix", unknown}, "matrix.yaml:3:"},
		{[]string{"clean", "all"}, `clean takes no argument "all"`},
		{[]string{"clean", "--bogus"}, "bogus"},
		{[]string{"version", "1"}, `version takes no argument "1"`},
		{[]string{"version", "--bogus"}, "bogus"},
		{[]string{"doctor", "now"}, `doctor takes no argument "now"`},
		{[]string{"doctor", "--bogus"}, "bogus"},
		{[]string{"image", "build", "--bogus"}, "bogus"},
		{[]string{"image", "bild"}, "bild"},
		{[]string{"image", "list", "x"}, "list takes no argument \"x\": see `ukprobe image list --help`"},
		{[]string{"image", "inspect", "FILE", "--jsn"}, "no flag --jsn: did you mean --json? See `ukprobe image inspect --help`"},
		{[]string{"image", "pull", "a", "--update=perhaps"}, `--update "perhaps": takes no value, or true or false`},
		{[]string{"image", "verify", "a", "b", "--cache"}, "--cache needs a value: see `ukprobe image verify --help`"},
		{[]string{"report", "DIR", "--fromat", "md"}, "no flag --fromat: did you mean --format? See `ukprobe report --help`"},
		{[]string{"report", "DIR", "--format", "mad"}, `no format "mad"`},
		{[]string{"runs", "DIR", "--jsn"}, "no flag --jsn: did you mean --json?"},
		{[]string{"export", "DIR", "DIR2", "--out", "f"}, "export: name one run"},
		{[]string{"import", "DIR", "--into"}, "--into needs a value"},
		{[]string{"validate", "now", "--samples", "few"}, `--samples "few": must be a whole number`},
		{[]string{"run", "x", "--samples", "2"}, `run takes no argument "x"`},
		{[]string{"systems", "--", "--json"}, `--json`},
	}
	for _, tt := range tests {
		_, text, status := ukprobe(t, tt.args...)
		if status != exitUsage || !strings.Contains(text, tt.text) {
			t.Errorf("ukprobe %s: status %d, %q: want %d and %q", strings.Join(tt.args, " "), status, text, exitUsage, tt.text)
		}
	}
}

// options parses flags as `ukprobe run` does.
func options(t *testing.T, args ...string) orchestrate.Options {
	t.Helper()
	var o orchestrate.Options
	a := app()
	command := runCommand()
	command.Action = func(c *cli.Context) (err error) {
		o, err = runOptions(c)
		return err
	}
	a.Commands = []*cli.Command{command}
	if err := a.RunContext(t.Context(), append([]string{"ukprobe", "run"}, args...)); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return o
}

func TestRunOptions(t *testing.T) {
	t.Chdir(t.TempDir())
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	o := options(t)
	if o.Samples != 0 || o.Warmup != nil || o.Timeout != 0 || o.Accel != "" || o.Attach != probe.Auto || o.Strict || len(o.Only) != 0 {
		t.Errorf("without flags: %+v: nothing of the matrix is overridden", o)
	}
	if !regexp.MustCompile(`^`+regexp.QuoteMeta(wd)+`/results-\d{8}-\d{6}-[0-9a-f]{4}$`).MatchString(o.Out) || o.CacheDir != "/var/cache/ukprobe" || o.JournalDir != "/run/ukprobe" || o.StateDir != "/var/lib/ukprobe" || o.Probes != "" {
		t.Errorf("folders %s, %s, %s", o.Out, o.CacheDir, o.JournalDir)
	}
	if other := options(t); other.Seed == o.Seed {
		t.Errorf("two runs chose the seed %d", o.Seed)
	}
	t.Setenv("UKPROBE_SAMPLES", "4")
	t.Setenv("UKPROBE_ACCEL", "tcg")
	o = options(t, "--accel", "kvm", "--warmup", "0", "--timeout", "1m", "--seed", "7", "--out", "here", "--cache", "there",
		"--attach", "kprobe", "--strict", "--probes", "full", "--state-dir", "/s", "--only", "system=linux,app=nginx", "--only", "system=process", "--journal-dir", "/j")
	if o.Samples != 4 || o.Accel != "kvm" || *o.Warmup != 0 || o.Timeout != time.Minute || o.Seed != 7 || o.Attach != probe.Kprobe || !o.Strict || o.JournalDir != "/j" || o.Probes != "full" || o.StateDir != "/s" {
		t.Errorf("with flags and environment: %+v", o)
	}
	if o.Out != filepath.Join(wd, "here") || o.CacheDir != filepath.Join(wd, "there") {
		t.Errorf("folders %s, %s: want them absolute", o.Out, o.CacheDir)
	}
	var only []string
	for _, s := range o.Only {
		only = append(only, s.String())
	}
	if diff := cmp.Diff([]string{"system=linux,app=nginx", "system=process"}, only); diff != "" {
		t.Errorf("selectors (-want +got):\n%s", diff)
	}
}

func TestVersionAndHelp(t *testing.T) {
	if out, _, status := ukprobe(t, "version"); status != 0 || !strings.HasPrefix(out, "ukprobe "+Version()+" go1.") {
		t.Errorf("version: %d, %q", status, out)
	}
	out, _, status := ukprobe(t)
	if status != 0 {
		t.Errorf("without a command: status %d", status)
	}
	for _, command := range []string{"run", "overhead", "image", "doctor", "clean", "version"} {
		if !strings.Contains(out, "   "+command+" ") && !strings.Contains(out, "   "+command+",") {
			t.Errorf("the help does not list %s:\n%s", command, out)
		}
	}
	help, _, _ := ukprobe(t, "run", "--help")
	for _, name := range []string{"matrix", "only", "samples", "warmup", "seed", "timeout", "out", "listen", "linger", "attach", "strict", "probes", "state-dir", "schema", "accel", "dry-run", "json"} {
		if !strings.Contains(help, "--"+name+" ") && !strings.Contains(help, "--"+name+"\n") {
			t.Errorf("the help of run does not explain --%s:\n%s", name, help)
		}
	}
}

func TestCleanOfNothing(t *testing.T) {
	out, text, status := ukprobe(t, "clean", "--journal-dir", filepath.Join(t.TempDir(), "none"))
	if status != 0 || out != "nothing to clean\n" {
		t.Errorf("status %d, %q, %q", status, out, text)
	}
}

// TestUsageOfTheEnvironment: a variable is told by its name, and what it should be.
func TestUsageOfTheEnvironment(t *testing.T) {
	t.Setenv("UKPROBE_TIMEOUT", "5")
	_, text, status := ukprobe(t, "run")
	if status != exitUsage || !strings.HasPrefix(text, `--timeout "5", from environment variable "UKPROBE_TIMEOUT": needs a unit: 5s`) {
		t.Errorf("status %d, %q", status, text)
	}
}

// TestHelpOfACommand: help shows what --help does.
func TestHelpOfACommand(t *testing.T) {
	for _, tt := range [][2][]string{{{"help"}, {"--help"}}, {{"help", "run"}, {"run", "--help"}}, {{"image", "help", "build"}, {"image", "build", "--help"}}} {
		got, _, status := ukprobe(t, tt[0]...)
		want, _, _ := ukprobe(t, tt[1]...)
		if diff := cmp.Diff(want, got); diff != "" || status != 0 || got == "" {
			t.Errorf("%q: status %d (-want +got):\n%s", tt[0], status, diff)
		}
	}
}
