// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary be ukprobe itself.
func TestMain(m *testing.M) {
	if os.Getenv("UKPROBE_TEST_MAIN") != "" {
		os.Exit(status())
	}
	os.Exit(m.Run())
}

// asNobody runs ukprobe without any privilege.
func asNobody(t *testing.T, args ...string) (out, errText string, code int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to become nobody")
	}
	dir, err := os.MkdirTemp("", "ukprobe-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program := filepath.Join(dir, "ukprobe")
	if err := errors.Join(os.Chmod(dir, 0o755), copyFile("/proc/self/exe", program)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "UKPROBE_TEST_MAIN=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func TestWithoutRoot(t *testing.T) {
	out, text, code := asNobody(t, "run")
	if code != exitFailed || out != "" || !strings.HasPrefix(text, "ukprobe: run: not root: ") || !strings.Contains(text, "sudo") || strings.Count(text, "\n") != 1 {
		t.Errorf("run: status %d, %q, %q", code, out, text)
	}
	// A plan can be made all the same; the hooks could not be tried, and it says so.
	out, text, code = asNobody(t, "run", "--dry-run", "--only", "system=process")
	if code != 0 || text != "" || !strings.Contains(out, "process/hello/process/boot") || !strings.Contains(out, "\nhooks    ") || !strings.Contains(out, "run as root") {
		t.Errorf("dry run: status %d, %q, %q", code, out, text)
	}
}

// TestReaderGone: `ukprobe … | head` ends without a word.
func TestReaderGone(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"systems", "--cache", t.TempDir()}, {"systems", "--json", "--cache", t.TempDir()}, {"image", "inspect", "/proc/self/exe"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/proc/self/exe", args...)
		cmd.Env = append(os.Environ(), "UKPROBE_TEST_MAIN=1")
		var text bytes.Buffer
		cmd.Stdout, cmd.Stderr = w, &text
		if err := errors.Join(r.Close(), cmd.Start(), w.Close()); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its status says more
		if code := cmd.ProcessState.ExitCode(); code != exitReaderGone || text.Len() > 0 {
			t.Errorf("%v: status %d, %q", args, code, text.String())
		}
	}
	gone := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	other := &fs.PathError{Op: "write", Path: "/run/socket", Err: syscall.EPIPE}
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{gone, true}, {fmt.Errorf("table: %w", gone), true}, {errors.Join(gone, gone), true},
		{other, false}, {errors.Join(gone, other), false}, {syscall.EPIPE, false},
	} {
		if got := readerGone(tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}

// TestErrorsArePrintedOnce: by main, after the program's name.
func TestErrorsArePrintedOnce(t *testing.T) {
	out, text, code := asNobody(t, "run", "--samples", "0")
	if code != exitUsage || out != "" || text != "ukprobe: --samples 0: must be 1 to 100000\n" {
		t.Errorf("status %d, %q, %q", code, out, text)
	}
	out, text, code = asNobody(t, "run", "--bogus")
	if code != exitUsage || out != "" || text != "ukprobe: no flag --bogus: see `ukprobe run --help`\n" {
		t.Errorf("status %d, %q, %q", code, out, text)
	}
}

func TestWithoutControls(t *testing.T) {
	if got, want := withoutControls("a\x1b[2J\u202eb\n\tc … é"), "a\uFFFD[2J\uFFFDb\n\tc … é"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
