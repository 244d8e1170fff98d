// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/docs"
)

// manCommand prints manual pages, made of the commands themselves, so that they say what
// --help says.
func manCommand() *cli.Command {
	return &cli.Command{
		Name: "man", Usage: "print the manual page of ukprobe, or of a command", ArgsUsage: "[COMMAND…]",
		Description: "In the format of man(7). The package installs all of them.\n\n" +
			"Examples:\n" +
			"  ukprobe man run | man -l -\n" +
			"  ukprobe man --dir /usr/local/share/man/man1       # all pages, a file each",
		Flags: []cli.Flag{&cli.StringFlag{Name: "dir", Usage: "write all pages into `DIR`, which is made"}},
		Action: func(c *cli.Context) error {
			if dir := c.String("dir"); dir != "" {
				if err := noArguments(c); err != nil {
					return err
				}
				return writePages(c.App, dir)
			}
			p := manPage{app: c.App, path: []string{c.App.Name}, commands: c.App.Commands, about: c.App.Usage, description: c.App.Description}
			for _, word := range c.Args().Slice() {
				at := slices.IndexFunc(p.commands, func(c *cli.Command) bool { return c.HasName(word) && !c.Hidden })
				if at < 0 {
					return unknownCommand(strings.Join(p.path, " "), word, p.commands)
				}
				p = p.of(p.commands[at])
			}
			return p.write(c.App.Writer)
		},
	}
}

// writePages writes every page into a folder.
func writePages(a *cli.App, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	all := manPage{app: a, path: []string{a.Name}, commands: a.Commands, about: a.Usage, description: a.Description}.withBelow()
	for _, p := range all {
		f, err := os.Create(filepath.Join(dir, p.name()+".1"))
		if err != nil {
			return err
		}
		if err := p.write(f); err != nil {
			_ = f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// manPage is the page of a command, or of ukprobe.
type manPage struct {
	app         *cli.App
	path        []string // the command's words
	about       string
	description string
	arguments   string
	flags       []cli.Flag
	commands    []*cli.Command
}

// of is the page of a command below.
func (p manPage) of(c *cli.Command) manPage {
	return manPage{app: p.app, path: append(slices.Clone(p.path), c.Name), about: c.Usage, description: c.Description,
		arguments: c.ArgsUsage, flags: c.Flags, commands: c.Subcommands}
}

// withBelow are the page and those of the commands below.
func (p manPage) withBelow() []manPage {
	out := []manPage{p}
	for _, c := range p.shown() {
		out = append(out, p.of(c).withBelow()...)
	}
	return out
}

// shown are the commands below that have a page.
func (p manPage) shown() []*cli.Command {
	var out []*cli.Command
	for _, c := range p.commands {
		if !c.Hidden && c.Name != "help" {
			out = append(out, c)
		}
	}
	return out
}

func (p manPage) name() string { return strings.Join(p.path, "-") }

// write writes the page.
func (p manPage) write(w io.Writer) error {
	r := &roff{}
	r.line(".\\\" Made by `ukprobe man` of what `ukprobe --help` says.")
	r.line(fmt.Sprintf(".TH %s 1 %s %s %s", strings.ToUpper(p.name()), `"`+pageDate()+`"`, quoted("ukprobe "+p.app.Version), quoted("ukprobe manual")))
	r.section("NAME")
	r.text(p.name() + " \\- " + escaped(p.about))
	r.section("SYNOPSIS")
	p.synopsis(r)
	about, examples := splitDescription(p.description)
	if about != "" {
		r.section("DESCRIPTION")
		r.paragraphs(about)
	}
	if below := p.shown(); len(below) > 0 {
		r.section("COMMANDS")
		for _, c := range below {
			r.item("\\fB"+escaped(c.Name)+"\\fR", escaped(c.Usage))
		}
	}
	if len(p.flags) > 0 {
		r.section("OPTIONS")
		for _, f := range p.flags {
			r.item(flagHead(f), flagText(f))
		}
	}
	if examples != "" {
		r.section("EXAMPLES")
		r.example(examples)
	}
	p.ending(r)
	_, err := io.WriteString(w, r.b.String())
	return err
}

func (p manPage) synopsis(r *roff) {
	words := "\\fB" + escaped(strings.Join(p.path, " ")) + "\\fR"
	if len(p.flags) > 0 {
		words += " [\\fIoptions\\fR]"
	}
	if len(p.shown()) > 0 {
		words += " \\fIcommand\\fR \\&..."
	}
	if p.arguments != "" {
		words += " " + escaped(p.arguments)
	}
	r.text(words)
}

// ending is what stands at the end of the pages; ukprobe's own has all of it.
func (p manPage) ending(r *roff) {
	if len(p.path) == 1 {
		r.section("EXIT STATUS")
		exitStatus(r, docs.ExitStatus)
		r.section("ENVIRONMENT")
		r.paragraphs("Flags have variables, UKPROBE_ and more: the commands' pages name them with each flag. Beside them:")
		for _, v := range otherVariables {
			r.item("\\fB"+escaped(v.name)+"\\fR", escaped(strings.ReplaceAll(v.meaning, "`", "")))
		}
		r.section("FILES")
		r.item("\\fI"+escaped(defaultCache)+"\\fR", "images that ukprobe has built or pulled")
		r.item("\\fI"+escaped(defaultJournalDir)+"\\fR", "what runs have changed on this host, for \\fBukprobe clean\\fR")
	}
	r.section("SEE ALSO")
	var see []string
	if len(p.path) > 1 {
		see = append(see, "\\fB"+escaped(strings.Join(p.path[:len(p.path)-1], "-"))+"\\fR(1)")
	}
	for _, c := range p.shown() {
		see = append(see, "\\fB"+escaped(p.name()+"-"+c.Name)+"\\fR(1)")
	}
	r.text(strings.Join(see, ",\n"))
}

// exitStatus writes the table of docs/exit-status.md, and what follows it.
func exitStatus(r *roff, markdown string) {
	var rest []string
	for line := range strings.Lines(markdown) {
		line = strings.TrimSpace(line)
		switch cells := strings.Split(strings.Trim(line, "|"), " | "); {
		case strings.HasPrefix(line, "#"), strings.HasPrefix(line, "|---"), strings.HasPrefix(line, "| status"):
		case strings.HasPrefix(line, "|") && len(cells) == 2:
			r.item(escaped(strings.TrimSpace(cells[0])), inline(strings.TrimSpace(cells[1])))
		default:
			rest = append(rest, line)
		}
	}
	r.paragraphs(strings.TrimSpace(strings.Join(rest, "\n")))
}

// splitDescription takes the examples off a description.
func splitDescription(text string) (about, examples string) {
	before, after, found := strings.Cut(text, "Examples:\n")
	if !found {
		return text, ""
	}
	return strings.TrimSpace(before), after
}

// flagHead is a flag with what it takes.
func flagHead(f cli.Flag) string {
	var names []string
	for _, n := range f.Names() {
		dashes := "\\-\\-"
		if len(n) == 1 {
			dashes = "\\-"
		}
		names = append(names, "\\fB"+dashes+escaped(n)+"\\fR")
	}
	head := strings.Join(names, ", ")
	if takesValue(f) {
		head += " \\fI" + escaped(flagValue(f)) + "\\fR"
	}
	return head
}

// flagValue is the word that stands for what a flag takes: the help has it in quotes.
func flagValue(f cli.Flag) string {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return "value"
	}
	if parts := strings.Split(d.GetUsage(), "`"); len(parts) > 2 {
		return parts[1]
	}
	return "value"
}

// flagDefault says what holds without the flag, if that needs to be said.
func flagDefault(f cli.DocGenerationFlag) string {
	v := f.GetDefaultText()
	if !f.TakesValue() || v == "" || v == `""` || v == "0" || v == "0s" {
		return ""
	}
	return " (default: " + strings.Trim(v, `"`) + ")"
}

func flagText(f cli.Flag) string {
	text := inline(flagUsage(f))
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return text
	}
	text += escaped(flagDefault(d))
	if vars := d.GetEnvVars(); len(vars) > 0 {
		text += ". Variable: \\fB" + escaped(strings.Join(vars, ", ")) + "\\fR"
	}
	return text
}

// pageDate is SOURCE_DATE_EPOCH's, or that of the commit it was built from, or "".
func pageDate() string {
	if n, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(n, 0).UTC().Format(time.DateOnly)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if date, _, found := strings.Cut(s.Value, "T"); s.Key == "vcs.time" && found {
				return date
			}
		}
	}
	return ""
}
