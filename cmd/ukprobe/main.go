// SPDX-License-Identifier: Apache-2.0

// Command ukprobe boots unikernels, microVMs, containers and processes and times
// them from the host kernel with eBPF, without modifying any of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/urfave/cli/v2"
)

// Exit statuses. Documented in docs/exit-status.md.
const (
	exitFailed      = 1   // something did not work; the error says what
	exitUsage       = 2   // the command line or the matrix is wrong
	exitInterrupted = 130 // ended by Ctrl-C, Ctrl-\, SIGTERM or the loss of the terminal
	exitReaderGone  = 141 // as after SIGPIPE, which this is in place of
)

// version is set by the Makefile; otherwise the module's own is used.
var version = ""

func main() { os.Exit(status()) }

// status runs the command line and returns the exit status.
func status() int {
	// A lost terminal ends a run as Ctrl-C does. A lost reader (`| head`) does not:
	// with SIGPIPE taken, writing to it is an error, of which nobody needs be told.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	a, out := app(), &faithful{to: os.Stdout}
	a.Writer = out
	warnOfVariables(os.Stderr, a, os.Environ())
	err := execute(ctx, a, os.Args)
	if err == nil && !readerGone(out.err) { // a run without a reader has its own status
		err = out.err // of what nobody has looked at, such as a help
	}
	switch {
	case err == nil:
		return 0
	case readerGone(err):
		return exitReaderGone
	}
	var coder cli.ExitCoder
	code := exitFailed
	if errors.As(err, &coder) {
		code = coder.ExitCode()
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(os.Stderr, "ukprobe:", withoutControls(text))
	}
	return code
}

// withoutControls is the text of an error, which may cite what is in a file or a name, safe
// for a terminal.
func withoutControls(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// faithful keeps the first error of writing.
type faithful struct {
	to  io.Writer
	err error
}

func (f *faithful) Write(p []byte) (int, error) {
	n, err := f.to.Write(p)
	if f.err == nil {
		f.err = err
	}
	return n, err
}

// readerGone says whether all that went wrong is that nobody reads standard output any
// more.
func readerGone(err error) bool {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(several.Unwrap(), func(e error) bool { return !readerGone(e) })
	}
	var path *fs.PathError
	return errors.Is(err, syscall.EPIPE) && errors.As(err, &path) && path.Path == os.Stdout.Name()
}

// execute does what a command line says. Flags may stand anywhere.
func execute(ctx context.Context, a *cli.App, args []string) error {
	return a.RunContext(ctx, flagsAnywhere(a, args))
}

func app() *cli.App {
	return &cli.App{
		Name:    "ukprobe",
		Usage:   "boot unikernels, microVMs, containers and processes, and time them from the host kernel",
		Version: Version(),
		Suggest: true,
		Description: "Nothing that is booted is modified: the host kernel is asked by eBPF. Flags of a command\n" +
			"stand before or after its arguments; what follows -- is an argument.\n\n" +
			"Examples:\n" +
			"  sudo ukprobe doctor                               # what this machine can do\n" +
			"  sudo ukprobe run                                  # the built-in matrix, three minutes\n" +
			"  sudo ukprobe watch --all --top                    # VMs that run already",
		// A selector holds commas of its own.
		DisableSliceFlagSeparator: true,
		Commands: strictly("ukprobe",
			runCommand(),
			reportCommand(),
			compareCommand(),
			runsCommand(),
			exportCommand(),
			importCommand(),
			watchCommand(),
			validateCommand(),
			overheadCommand(),
			imageCommand(),
			systemsCommand(),
			doctorCommand(),
			cleanCommand(),
			loadHTTPCommand(),
			completionCommand(),
			manCommand(),
			completeCommand(),
			versionCommand(),
			helpCommand(),
		),
		Flags:  []cli.Flag{cli.HelpFlag}, // the library's comes with its help command only
		Before: withoutEmpty,
		// Errors are printed by main, once.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError: func(c *cli.Context, err error, _ bool) error {
			return usage(flagError("ukprobe", c.App.Flags, err))
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand("ukprobe", c.Args().First(), c.App.Commands)
			}
			return cli.ShowAppHelp(c)
		},
	}
}

// noArguments refuses words that nothing would read.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usage(fmt.Errorf("%s takes no argument %q: see `%s --help`", c.Command.Name, c.Args().First(), commandPath(c)))
	}
	return nil
}

// Version is ukprobe's, with the commit if it was built from a checkout.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := strings.TrimPrefix(info.Main.Version, "v")
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	return v
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "print the version",
		Description: "Of ukprobe, with the commit if it was built from a checkout, and of Go.\n\n" +
			"Examples:\n" +
			"  ukprobe version",
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			goVersion := ""
			if info, ok := debug.ReadBuildInfo(); ok {
				goVersion = " " + info.GoVersion
			}
			_, err := fmt.Fprintf(c.App.Writer, "ukprobe %s%s\n", Version(), goVersion)
			return err
		},
	}
}
