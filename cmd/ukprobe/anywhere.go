// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsAnywhere puts the flags of a command before its arguments, wherever they are: what
// is asked about comes to mind before how. The library ends its flags at the first
// argument. After -- everything is an argument. args begins with the program's name.
func flagsAnywhere(a *cli.App, args []string) []string {
	c, at := commandOf(a, args)
	if c == nil || c.SkipFlagParsing {
		return args
	}
	var flags, arguments []string
	for rest := args[at:]; len(rest) > 0; rest = rest[1:] {
		word := rest[0]
		if word == "--" {
			arguments = append(arguments, rest[1:]...)
			break
		}
		if len(word) < 2 || word[0] != '-' {
			arguments = append(arguments, word)
			continue
		}
		flags = append(flags, word)
		if f := findFlag(c.Flags, strings.TrimLeft(word, "-")); f == nil || !takesValue(f) {
			continue
		}
		if len(rest) == 1 { // the library says what is missing
			return slices.Concat(args[:at], flags)
		}
		flags = append(flags, rest[1])
		rest = rest[1:]
	}
	if len(arguments) == 0 || asksForHelp(flags) { // else the library explains the first argument
		return slices.Concat(args[:at], flags)
	}
	return slices.Concat(args[:at], flags, []string{"--"}, arguments)
}

// asksForHelp says whether one of the flags is --help.
func asksForHelp(flags []string) bool {
	names := cli.HelpFlag.Names()
	return slices.ContainsFunc(flags, func(f string) bool { return slices.Contains(names, strings.TrimLeft(f, "-")) })
}

// commandOf is the command that a command line is for, and where its own words begin; nil
// if there is none, or one of those above it is asked for something.
func commandOf(a *cli.App, args []string) (*cli.Command, int) {
	commands := a.Commands
	for i := 1; i < len(args); i++ {
		at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[i]) })
		switch {
		case args[i] == "--":
		case at < 0:
			return nil, 0
		case len(commands[at].Subcommands) == 0:
			return commands[at], i + 1
		default:
			commands = commands[at].Subcommands
		}
	}
	return nil, 0
}
