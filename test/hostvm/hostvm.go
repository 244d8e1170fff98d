// SPDX-License-Identifier: Apache-2.0

// Package hostvm runs a command on a real Debian kernel with kprobes, BTF for
// its modules and a working /dev/kvm, wherever QEMU runs: the whole machine is
// emulated (TCG), its AMD virtualisation included, and the outer machine's
// files are its files.
//
// The outer root file system is seen through 9p under a throw-away overlay:
// everything can be written, nothing reaches the outer machine, except what is
// written below /out when Options.Out is given. The project's own tree is
// read-only.
//
// It knows kernels and QEMU. It knows nothing about what the command tests.
// Times measured inside are emulation's: counts, order and ratios mean
// something, absolute times do not.
package hostvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// EnvKernel is set inside the hostvm to the suite its kernel is from.
const EnvKernel = "UKPROBE_HOSTVM"

// OutDir is where Options.Out appears inside the hostvm.
const OutDir = "/out"

// Inside returns the suite of the kernel if this process runs inside a
// hostvm, else "".
func Inside() string { return os.Getenv(EnvKernel) }

// Options say what to boot and what to run. Zero values mean the defaults.
type Options struct {
	Kernel  string        // Debian suite whose linux-image-amd64 is booted; default "bookworm"
	CPUs    int           // default 2
	MemMiB  int           // default 4096
	Timeout time.Duration // for everything from QEMU's start on; default 20 minutes

	Command []string // argv; the file is found by the PATH inside
	Dir     string   // working directory inside; default the caller's
	Env     []string // "NAME=value", added to the environment inside
	Out     string   // outer folder seen, writable, as /out; "" for none

	// Interactive gives the command a terminal, connected to the caller's
	// standard input and output, in place of Stdout.
	Interactive bool
	Stdout      io.Writer // gets the command's stdout and stderr as they come; default none

	Cache       string // default <project>/.cache
	Refresh     bool   // look for a newer kernel, even if one is in the cache
	KeepConsole string // file that gets the kernel's console; "" for none
	Logf        func(format string, args ...any)
}

// Result tells how a command ended.
type Result struct {
	ExitStatus int           // of the command; 128+n if signal n ended it
	Release    string        // of the kernel, as uname -r prints it
	Boot       time.Duration // outer time from QEMU's start to the command's start
	Command    time.Duration // outer time from the command's start to QEMU's end
}

// ErrNotUp and its like say why there is no exit status; they are wrapped
// with the end of the kernel's console.
var (
	ErrNotUp   = errors.New("the kernel did not come up")
	ErrPanic   = errors.New("the kernel panicked")
	ErrTimeout = errors.New("the command did not end in time")
	ErrDied    = errors.New("the machine stopped before the command ended")
)

// Run boots the kernel and runs the command in it. A command that fails is no
// error: see Result.ExitStatus. QEMU is killed when ctx ends, and also when
// this process dies.
func Run(ctx context.Context, o Options) (Result, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Result{}, fmt.Errorf("hostvm: %w", err)
	}
	k, err := prepareKernel(ctx, o)
	if err != nil {
		return Result{}, fmt.Errorf("hostvm: prepare the kernel of %s: %w", o.Kernel, err)
	}
	res, err := boot(ctx, o, k)
	if err != nil {
		return res, fmt.Errorf("hostvm: %s (%s): %w", k.Release, o.Kernel, err)
	}
	return res, nil
}

func (o Options) withDefaults() (Options, error) {
	if len(o.Command) == 0 {
		return o, errors.New("no command given")
	}
	if o.Kernel == "" {
		o.Kernel = "bookworm"
	}
	if o.CPUs == 0 {
		o.CPUs = 2
	}
	if o.MemMiB == 0 {
		o.MemMiB = 4096
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Minute
	}
	if o.CPUs < 1 || o.MemMiB < 256 || o.Timeout < 0 {
		return o, fmt.Errorf("%d CPUs, %d MiB, timeout %s: at least one CPU, 256 MiB and a positive time are needed", o.CPUs, o.MemMiB, o.Timeout)
	}
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	cwd, err := os.Getwd()
	if err != nil {
		return o, err
	}
	if o.Dir == "" {
		o.Dir = cwd
	}
	if o.Cache == "" {
		root, err := projectRoot(cwd)
		if err != nil {
			return o, err
		}
		o.Cache = filepath.Join(root, ".cache")
	}
	for _, path := range []*string{&o.Dir, &o.Out, &o.Cache} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return o, err
		}
	}
	return o, nil
}

// projectRoot returns the folder at or above dir that holds go.mod.
func projectRoot(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod at or above %s: run it in the project, or give a cache folder", dir)
		}
	}
}
