// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// completions are the scripts: each asks `ukprobe __complete` and hands its answer to
// the shell, so that what is completed is always what this ukprobe understands.
//
//go:embed all:completions
var completions embed.FS

// scripts are the files of the shells.
var scripts = map[string]string{"bash": "ukprobe.bash", "zsh": "_ukprobe", "fish": "ukprobe.fish"}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a shell's completion script", ArgsUsage: "bash|zsh|fish",
		Description: "It completes commands, flags, and what flags take: matrices, systems, apps,\n" +
			"platforms, experiments, settings. The package installs all three (docs/install.md).\n\n" +
			"Examples:\n" +
			"  source <(ukprobe completion bash)                 # in this shell\n" +
			"  ukprobe completion bash > ~/.local/share/bash-completion/completions/ukprobe\n" +
			"  ukprobe completion zsh > ~/.zfunc/_ukprobe        # a folder of fpath\n" +
			"  ukprobe completion fish > ~/.config/fish/completions/ukprobe.fish",
		Action: func(c *cli.Context) error {
			file := scripts[c.Args().First()]
			if c.NArg() != 1 || file == "" {
				return usage(fmt.Errorf("completion takes bash, zsh or fish, not %q", strings.Join(c.Args().Slice(), " ")))
			}
			text, err := completions.ReadFile("completions/" + file)
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(text)
			return err
		},
	}
}

// completeName is the command that the scripts call.
const completeName = "__complete"

// completeCommand answers the scripts: a line for each candidate, with what it is about
// after a tab, and a last line that says what else the shell may offer.
func completeCommand() *cli.Command {
	return &cli.Command{
		Name: completeName, Hidden: true, SkipFlagParsing: true, HideHelp: true,
		Usage: "say how the last of the words could go on, for a shell's completion script", ArgsUsage: "-- WORD…",
		Action: func(c *cli.Context) error {
			words := c.Args().Slice()
			if len(words) > 0 && words[0] == "--" {
				words = words[1:]
			}
			found, also := complete(c.App, words)
			for _, f := range found {
				if _, err := fmt.Fprintf(c.App.Writer, "%s\t%s\n", f.word, f.about); err != nil {
					return err
				}
			}
			_, err := fmt.Fprintln(c.App.Writer, also)
			return err
		},
	}
}

// candidate is a word that would fit. One that ends with = or , goes on.
type candidate struct{ word, about string }

// What the shell may offer beside the candidates.
const (
	alsoNothing = ":"
	alsoFiles   = ":files"
	alsoDirs    = ":dirs"
)

// complete says how the last of the words, which may be empty, could go on.
func complete(a *cli.App, words []string) (found []candidate, also string) {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	at := position{path: a.Name, flags: a.Flags, commands: a.Commands}
	at.walk(words[:len(words)-1])
	name, typed, assigned := strings.Cut(last, "=")
	switch {
	case at.waiting != nil:
		found, also = valuesOf(at.path, at.waiting, last)
	case at.ended:
		found, also = argumentsOf(a, at)
	case strings.HasPrefix(last, "-") && assigned:
		f := findFlag(at.flags, strings.TrimLeft(name, "-"))
		if f == nil {
			return nil, alsoNothing
		}
		found, also = valuesOf(at.path, f, typed)
		for i := range found {
			found[i].word = name + "=" + found[i].word
		}
	case strings.HasPrefix(last, "-"):
		found, also = at.flagWords(), alsoNothing
	case len(at.commands) > 0 && len(at.arguments) == 0:
		found, also = commandWords(at.commands), alsoNothing
	default:
		found, also = argumentsOf(a, at)
	}
	return slices.DeleteFunc(found, func(c candidate) bool { return !strings.HasPrefix(c.word, last) }), also
}

// position is where a command line has come to.
type position struct {
	path      string
	flags     []cli.Flag
	commands  []*cli.Command
	arguments []string
	waiting   cli.Flag // for its value
	given     []string // flags
	ended     bool     // by --: what follows is an argument
}

// walk goes over whole words.
func (p *position) walk(words []string) {
	for _, w := range words {
		switch {
		case p.waiting != nil:
			p.waiting = nil
		case p.ended:
			p.arguments = append(p.arguments, w)
		case w == "--":
			p.ended = true
		case strings.HasPrefix(w, "-") && w != "-":
			name, _, assigned := strings.Cut(strings.TrimLeft(w, "-"), "=")
			p.given = append(p.given, name)
			if f := findFlag(p.flags, name); f != nil && !assigned && takesValue(f) {
				p.waiting = f
			}
		default:
			p.word(w)
		}
	}
}

// word goes into a command, or takes an argument.
func (p *position) word(w string) {
	i := slices.IndexFunc(p.commands, func(c *cli.Command) bool { return c.HasName(w) })
	if i < 0 || len(p.arguments) > 0 {
		p.arguments = append(p.arguments, w)
		return
	}
	c := p.commands[i]
	*p = position{path: p.path + " " + c.Name, flags: append(slices.Clone(c.Flags), cli.HelpFlag), commands: c.Subcommands}
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	i := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		return nil
	}
	return flags[i]
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// repeatable: the flag may be given more than once.
func repeatable(f cli.Flag) bool {
	s, ok := f.(cli.DocGenerationSliceFlag)
	return ok && s.IsSliceFlag()
}

// flagWords are the flags that are not there yet.
func (p *position) flagWords() []candidate {
	var out []candidate
	for _, f := range p.flags {
		names := f.Names()
		if !repeatable(f) && slices.ContainsFunc(names, func(n string) bool { return slices.Contains(p.given, n) }) {
			continue
		}
		out = append(out, candidate{"--" + names[0], flagUsage(f)})
	}
	return out
}

// flagUsage is a flag's help, without the marks of its value.
func flagUsage(f cli.Flag) string {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	return strings.ReplaceAll(d.GetUsage(), "`", "")
}

func commandWords(commands []*cli.Command) []candidate {
	var out []candidate
	for _, c := range commands {
		if !c.Hidden {
			out = append(out, candidate{c.Name, c.Usage})
		}
	}
	return out
}
