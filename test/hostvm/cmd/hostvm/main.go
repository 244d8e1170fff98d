// SPDX-License-Identifier: Apache-2.0

// Command hostvm runs a command on a Debian kernel with kprobes and KVM, in
// an emulated machine that sees this machine's files. See docs/hostvm.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/ukprobe/ukprobe/test/hostvm"
)

// noStatus is the exit status when the command has none: kernel panic,
// timeout, no QEMU. It is what env, timeout and docker use for such cases.
const noStatus = 125

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := app().RunContext(ctx, os.Args)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	stop()
	os.Exit(noStatus)
}

func app() *cli.App {
	return &cli.App{
		Name:      "hostvm",
		Usage:     "run a command on a Debian kernel with kprobes and KVM, under emulation",
		ArgsUsage: "-- COMMAND [ARG...]",
		Description: "Without a command it gives a shell. The exit status is the command's;\n" +
			fmt.Sprintf("%d means that the command has none: kernel panic, timeout, no QEMU.", noStatus),
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "kernel", Value: "bookworm", Usage: "Debian `SUITE` of the kernel: bookworm, bookworm-backports, trixie, bullseye …"},
			&cli.IntFlag{Name: "smp", Value: 2, Usage: "number of CPUs"},
			&cli.IntFlag{Name: "mem", Value: 4096, Usage: "memory in `MiB`"},
			&cli.DurationFlag{Name: "timeout", Value: 20 * time.Minute, Usage: "end it after this time"},
			&cli.StringFlag{Name: "out", Usage: "`DIR` of this machine that is writable inside as " + hostvm.OutDir},
			&cli.StringSliceFlag{Name: "env", Usage: "`NAME=VALUE` to set inside (repeatable)"},
			&cli.StringFlag{Name: "keep-console", Usage: "write the kernel's console to `FILE`"},
			&cli.BoolFlag{Name: "refresh", Usage: "look for a newer kernel, even if one is in the cache"},
			&cli.BoolFlag{Name: "quiet", Usage: "say nothing of one's own"},
		},
		Action: run,
	}
}

func run(c *cli.Context) error {
	o := hostvm.Options{
		Kernel: c.String("kernel"), CPUs: c.Int("smp"), MemMiB: c.Int("mem"), Timeout: c.Duration("timeout"),
		Command: c.Args().Slice(), Env: c.StringSlice("env"), Out: c.String("out"),
		KeepConsole: c.String("keep-console"), Refresh: c.Bool("refresh"), Stdout: os.Stdout,
		Logf: func(format string, args ...any) { fmt.Fprintf(os.Stderr, "hostvm: "+format+"\n", args...) },
	}
	if c.Bool("quiet") {
		o.Logf = nil
	}
	if len(o.Command) == 0 {
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			return errors.New("hostvm: no command given, and no terminal for a shell: hostvm [flags] -- COMMAND [ARG...]")
		}
		o.Interactive, o.Command = true, []string{"/bin/bash", "-l"}
		state, err := term.GetState(int(os.Stdin.Fd()))
		if err == nil { // QEMU may be killed before it puts the terminal back
			defer func() { _ = term.Restore(int(os.Stdin.Fd()), state) }()
		}
	}
	res, err := hostvm.Run(c.Context, o)
	if err != nil {
		return err
	}
	if o.Logf != nil {
		o.Logf("%s: up in %s, command %s, exit status %d", res.Release,
			res.Boot.Round(100*time.Millisecond), res.Command.Round(100*time.Millisecond), res.ExitStatus)
	}
	if res.ExitStatus != 0 {
		return cli.Exit("", res.ExitStatus)
	}
	return nil
}
