// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/suggest"
)

// usage marks an error as the command line's.
func usage(err error) error { return cli.Exit(err.Error(), exitUsage) }

// strictly makes a mistake in the flags of the commands, and of theirs, a usage
// error, which the library asks each command for. The path names the commands above.
func strictly(path string, commands ...*cli.Command) []*cli.Command {
	for _, c := range commands {
		own := path + " " + c.Name
		c.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return usage(flagError(own, c.Flags, err)) }
		if len(c.Subcommands) > 0 {
			c.Subcommands = append(strictly(own, c.Subcommands...), helpCommand())
		}
	}
	return commands
}

// commandPath is the command with those above it.
func commandPath(c *cli.Context) string {
	path := ""
	for _, l := range c.Lineage() {
		if l.Command != nil && l.Command.Name != "" && l.Command.Name != c.App.Name {
			path = " " + l.Command.Name + path
		}
	}
	return "ukprobe" + path
}

// The words of the flag packages, Go's own and urfave's, for what they refuse.
var (
	undefinedFlag = regexp.MustCompile(`^flag provided but not defined: -(.*)$`)
	refusedValue  = regexp.MustCompile(`(?s)^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-([^:]+): `)
	refusedEnv    = regexp.MustCompile(`(?s)^could not parse ("(?:[^"\\]|\\.)*") as .* value from (.+) for flag ([^ :]+): `)
)

// flagError says what would be right where the flag package says what is wrong.
func flagError(command string, flags []cli.Flag, err error) error {
	text := err.Error()
	if m := undefinedFlag.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("no flag --%s: %s", m[1], see(command, "--", m[1], flagNames(flags)))
	}
	if m := refusedValue.FindStringSubmatch(text); m != nil {
		value, _ := strconv.Unquote(m[1])
		return fmt.Errorf("--%s %q: %s", m[2], value, wanted(m[2], value, flags))
	}
	if m := refusedEnv.FindStringSubmatch(text); m != nil {
		value, _ := strconv.Unquote(m[1])
		return fmt.Errorf("--%s %q, from %s: %s", m[3], value, m[2], wanted(m[3], value, flags))
	}
	if strings.HasPrefix(text, "flag needs an argument: -") {
		return fmt.Errorf("--%s needs a value: see `%s --help`", strings.TrimLeft(strings.TrimPrefix(text, "flag needs an argument: "), "-"), command)
	}
	return fmt.Errorf("%w: see `%s --help`", err, command)
}

// see points to the help, and to the word that will have been meant.
func see(command, dashes, word string, words []string) string {
	if best := suggest.Nearest(word, words); best != "" {
		return fmt.Sprintf("did you mean %s%s? See `%s --help`", dashes, best, command)
	}
	return fmt.Sprintf("see `%s --help`", command)
}

func flagNames(flags []cli.Flag) []string {
	var names []string
	for _, f := range flags {
		names = append(names, f.Names()...)
	}
	return names
}

// wanted says what the flag of that name takes in place of the value.
func wanted(name, value string, flags []cli.Flag) string {
	at := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if at < 0 {
		return "is not what it takes"
	}
	switch flags[at].(type) {
	case *cli.DurationFlag:
		if _, err := strconv.ParseFloat(value, 64); err == nil {
			return fmt.Sprintf("needs a unit: %ss", value)
		}
		return "must be a span of time such as 5s, 1m30s or 500ms"
	case *cli.Uint64Flag, *cli.UintFlag:
		return "must be a whole number, 0 or more"
	case *cli.IntFlag, *cli.IntSliceFlag, *cli.Int64Flag:
		return "must be a whole number"
	case *cli.BoolFlag:
		return "takes no value, or true or false"
	}
	return "is not what it takes"
}

// unknownCommand is the error for a word that is no command of those.
func unknownCommand(path, word string, commands []*cli.Command) error {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name)
	}
	return usage(fmt.Errorf("no command %q: %s", word, see(path, "", word, names)))
}

// helpCommand is the library's, with the exit status of a usage error for what is no
// command.
func helpCommand() *cli.Command {
	return &cli.Command{
		Name: "help", Aliases: []string{"h"}, Usage: "show the commands, or the help of one", ArgsUsage: "[COMMAND]", HideHelp: true,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return usage(err) },
		Action: func(c *cli.Context) error {
			lineage := c.Lineage()
			if len(lineage) < 2 || lineage[1].Command == nil {
				return errors.New("help: no command to explain")
			}
			above := lineage[1]
			word, commands := c.Args().First(), above.Command.Subcommands
			switch {
			case word != "" && slices.ContainsFunc(commands, func(c *cli.Command) bool { return c.HasName(word) }):
				return cli.ShowCommandHelp(above, word)
			case word != "":
				return unknownCommand(above.Command.HelpName, word, commands)
			case above.Command.HelpName == c.App.HelpName:
				return cli.ShowAppHelp(above)
			}
			return cli.ShowSubcommandHelp(above)
		},
	}
}
