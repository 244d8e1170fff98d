// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/golden"
)

// manPages writes all pages and returns their files.
func manPages(t *testing.T) []string {
	t.Helper()
	t.Setenv("SOURCE_DATE_EPOCH", "1795470069")
	dir := filepath.Join(t.TempDir(), "man1")
	if _, text, status := ukprobe(t, "man", "--dir", dir); status != 0 {
		t.Fatal(text)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(files) < 15 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	return files
}

// TestManPages: the formatters of man have nothing to say against any of them, and show
// every flag.
func TestManPages(t *testing.T) {
	files := manPages(t)
	for name, argv := range map[string][]string{
		"mandoc": {"mandoc", "-Tlint", "-Wwarning"},
		"groff":  {"groff", "-man", "-ww", "-z", "-Tutf8"},
	} {
		t.Run(name, func(t *testing.T) {
			path, err := exec.LookPath(argv[0])
			if err != nil {
				t.Skipf("needs %s: apt-get install %s", name, name)
			}
			for _, f := range files {
				if out, err := exec.Command(path, append(argv[1:], f)...).CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%s: %v\n%s", filepath.Base(f), err, out)
				}
			}
		})
	}
	t.Run("shown", func(t *testing.T) {
		path, err := exec.LookPath("mandoc")
		if err != nil {
			t.Skip("needs mandoc: apt-get install mandoc")
		}
		everyCommand(app(), func(words []string, c *cli.Command) {
			out, err := exec.Command(path, "-Tascii", "-Owidth=200", filepath.Join(filepath.Dir(files[0]), strings.Join(words, "-")+".1")).Output()
			if err != nil {
				t.Errorf("%v: %v", words, err)
				return
			}
			text := plainText(out)
			for _, f := range c.Flags {
				if !strings.Contains(text, "--"+f.Names()[0]) {
					t.Errorf("%v: no --%s in:\n%s", words, f.Names()[0], text)
				}
			}
		})
	})
}

// plainText takes off what overstrikes for bold and underlined.
func plainText(b []byte) string {
	var out []byte
	for i := 0; i < len(b); i++ {
		if b[i] == '\b' && len(out) > 0 {
			out = out[:len(out)-1]
			continue
		}
		out = append(out, b[i])
	}
	return string(out)
}

// everyCommand goes over the commands that a person sees, help aside.
func everyCommand(a *cli.App, do func(words []string, c *cli.Command)) {
	var walk func(words []string, commands []*cli.Command)
	walk = func(words []string, commands []*cli.Command) {
		for _, c := range commands {
			if c.Hidden || c.Name == "help" {
				continue
			}
			own := append(append([]string{}, words...), c.Name)
			do(own, c)
			walk(own, c.Subcommands)
		}
	}
	walk([]string{a.Name}, a.Commands)
}

// TestDefaultsOnce: a flag's default is told once, in the help and in the manual.
func TestDefaultsOnce(t *testing.T) {
	everyCommand(app(), func(words []string, c *cli.Command) {
		help, _, _ := ukprobe(t, append(words[1:], "--help")...)
		man, _, _ := ukprobe(t, append([]string{"man"}, words[1:]...)...)
		for line := range strings.Lines(help + man) {
			if strings.Count(line, "default") > 1 || strings.Contains(line, "; default:") {
				t.Errorf("%v: %s", words, line)
			}
		}
	})
}

// TestManPage: what a page looks like; made twice it is the same.
func TestManPage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1795470069")
	page := func(words ...string) string {
		t.Helper()
		a := app()
		a.Version = "1.2.3"
		var b bytes.Buffer
		a.Writer = &b
		if err := a.RunContext(t.Context(), append([]string{"ukprobe", "man"}, words...)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	golden.Check(t, "man_ukprobe-image-build.1", page("image", "build"))
	first, second := page(), page()
	if first != second || !strings.Contains(first, `.TH UKPROBE 1 "2026-11-23" "ukprobe 1.2.3" "ukprobe manual"`) {
		t.Errorf("not reproducible, or another head:\n%s", first)
	}
	if _, text, status := ukprobe(t, "man", "rum"); status != exitUsage || !strings.Contains(text, "did you mean run?") {
		t.Errorf("%d, %q", status, text)
	}
}

// TestExamples: every command's help has an example, which is a command line of its own
// that the parser takes.
func TestExamples(t *testing.T) {
	a := app()
	if _, examples := splitDescription(a.Description); examples == "" {
		t.Error("ukprobe's own help has no example")
	}
	everyCommand(a, func(words []string, c *cli.Command) {
		_, examples := splitDescription(c.Description)
		if examples == "" {
			t.Errorf("%v: no example", words)
		}
		for line := range strings.Lines(examples) {
			_, after, found := strings.Cut(strings.TrimSpace(line), strings.Join(words[:1], " ")+" ")
			if !found {
				t.Errorf("%v: an example of something else: %s", words, line)
				continue
			}
			checkExample(t, a, after)
		}
	})
}

// checkExample looks whether all flags of an example are known.
func checkExample(t *testing.T, a *cli.App, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, " #")
	line, _, _ = strings.Cut(line, " |")
	line, _, _ = strings.Cut(line, " >")
	at := position{path: a.Name, flags: a.Flags, commands: a.Commands}
	at.walk(strings.Fields(strings.TrimRight(line, ")")))
	for _, name := range at.given {
		if findFlag(at.flags, name) == nil {
			t.Errorf("%s: %s has no --%s", line, at.path, name)
		}
	}
	if len(at.path) == len(a.Name) {
		t.Errorf("%s: no such command", line)
	}
}
