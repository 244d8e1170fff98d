// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/results"
)

// tempDir is the variable with the folder for temporary files, where guests' disks and
// roots are made.
const tempDir = "TMPDIR"

// environ are the environment's variables that decide what runs and where, beside that of
// --qemu, with their places in what is stored of a run.
func environ(a *results.Asked) map[string]*string {
	return map[string]*string{platform.EnvFirecracker: &a.Firecracker, platform.EnvJailer: &a.Jailer, tempDir: &a.TempDir}
}

// askEnviron notes the variables.
func askEnviron(a *results.Asked) (err error) {
	for name, value := range environ(a) {
		if *value, err = wherever(name, os.Getenv(name)); err != nil {
			return err
		}
	}
	return nil
}

// restoreEnviron sets the variables as they were. A program that is named now has to be
// the one from then.
func restoreEnviron(a results.Asked) error {
	for name, value := range environ(&a) {
		now, err := wherever(name, os.Getenv(name))
		if err != nil {
			return err
		}
		if now != "" && now != *value && name != tempDir {
			return usage(fmt.Errorf("--resume goes on with what the run was asked for: leave %s out", name))
		}
		if *value == "" {
			err = os.Unsetenv(name)
		} else {
			err = os.Setenv(name, *value)
		}
		if err != nil {
			return fmt.Errorf("set %s to %q: %w", name, *value, err)
		}
	}
	return nil
}

// wherever is a variable's value for every folder: a path is made a whole one, the name of
// a program in PATH stays.
func wherever(name, value string) (string, error) {
	if value == "" || name != tempDir && !strings.Contains(value, "/") {
		return value, nil
	}
	return filepath.Abs(value)
}
