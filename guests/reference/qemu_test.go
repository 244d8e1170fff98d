// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bootTimeout is generous: SeaBIOS takes seconds where KVM only emulates.
const bootTimeout = 60 * time.Second

// accelerators are QEMU's arguments for each accelerator under test.
var accelerators = map[string][]string{
	"tcg": {"-accel", "tcg"},
	"kvm": {"-accel", "kvm", "-cpu", "host,-arch-capabilities"},
}

// machines are the machines the guest must run on.
var machines = map[string][]string{
	"pc":      {"-M", "pc"},
	"microvm": {"-M", "microvm,acpi=off,pit=off,pic=off,rtc=off,x-option-roms=off"},
}

func needAccel(t *testing.T, accel string) {
	t.Helper()
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("qemu-system-x86_64 is missing: install the package qemu-system-x86")
	}
	if accel != "kvm" {
		return
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("/dev/kvm is missing: %v", err)
	}
	f.Close()
}

// writeImage puts an image into the test's folder.
func writeImage(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reference.elf")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// qemuArgs returns the command line for a guest with its console on stdio.
func qemuArgs(machine, accel, kernel, cmdline string, extra ...string) []string {
	args := []string{
		"qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
		"-no-reboot", "-m", "16", "-serial", "stdio", "-kernel", kernel, "-append", cmdline,
	}
	args = append(args, machines[machine]...)
	args = append(args, accelerators[accel]...)
	return append(args, extra...)
}

// command runs in a process group of its own, which ends with the context.
func command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// run runs QEMU to its end and returns the console's lines and the exit status.
func run(t *testing.T, args []string) (lines []string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := command(ctx, args)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); ctx.Err() != nil || (err != nil && !errors.As(err, &exit)) {
		t.Fatalf("%s: %v (%v)\nconsole:\n%s\nstderr:\n%s", strings.Join(args, " "), err, ctx.Err(), &stdout, &stderr)
	}
	if stdout.Len() == 0 {
		t.Fatalf("%s: nothing on the console\nstderr:\n%s", strings.Join(args, " "), &stderr)
	}
	return strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n"), cmd.ProcessState.ExitCode()
}

// find returns the one line that matches pattern.
func find(t *testing.T, lines []string, pattern string) string {
	t.Helper()
	var found []string
	for _, line := range lines {
		if regexp.MustCompile(pattern).MatchString(line) {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d lines match %s, want 1, in:\n%s", len(found), pattern, strings.Join(lines, "\n"))
	}
	return found[0]
}

func has(lines []string, pattern string) bool {
	for _, line := range lines {
		if regexp.MustCompile(pattern).MatchString(line) {
			return true
		}
	}
	return false
}
