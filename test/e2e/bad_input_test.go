// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/results"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// Mistakes on the command line and in the matrix are told before anything is
// touched: exit status 2, what and where, and no results folder.
func TestUsage(t *testing.T) {
	needRoot(t)
	bad := func(text string) string { return write(t, "bad.yaml", text) }
	cell := "version: 1\ncells:\n  - {system: reference, app: hello, platform: qemu"
	for _, tc := range []struct {
		name string
		args []string
		says []string
	}{
		{"unknown flag", []string{"--frobnicate"}, []string{"frobnicate"}},
		{"a word too much", []string{"fast"}, []string{`"fast"`, "--help"}},
		{"samples 0", []string{"--samples", "0"}, []string{"--samples 0", "1 to 100000"}},
		{"samples not a number", []string{"--samples", "many"}, []string{"--samples", "many", "whole number"}},
		{"warmup below 0", []string{"--warmup", "-1"}, []string{"--warmup -1"}},
		{"timeout without unit", []string{"--timeout", "5"}, []string{"--timeout", "needs a unit: 5s"}},
		{"a flag misspelt", []string{"--sampels", "3"}, []string{"did you mean --samples?", "ukprobe run --help"}},
		{"timeout 0", []string{"--timeout", "0s"}, []string{"--timeout 0s", "10ms to 24h"}},
		{"attach", []string{"--attach", "uprobe"}, []string{`"uprobe"`, "fentry", "kprobe", "tp_btf"}},
		{"strict without a rung", []string{"--strict"}, []string{"--strict", "--attach"}},
		{"accel", []string{"--accel", "xen"}, []string{"--accel xen", "auto, kvm or tcg"}},
		{"linger without listen", []string{"--linger"}, []string{"--linger", "--listen"}},
		{"listen without port", []string{"--listen", "localhost"}, []string{"--listen localhost", "HOST:PORT"}},
		{"only: no such key", []string{"--only", "color=red"}, []string{"color", "system", "platform"}},
		{"only: not key=value", []string{"--only", "reference"}, []string{"reference"}},
		{"only: matches nothing", []string{"--only", "system=process,platform=qemu"}, []string{"system=process", "process"}},
		{"only: no such system", []string{"--only", "system=xinu"}, []string{"xinu", "reference", "linux"}},
		{"matrix missing", []string{"--matrix", "/nonexistent/m.yaml"}, []string{"/nonexistent/m.yaml", "no such file"}},
		{"matrix is a folder", []string{"--matrix", t.TempDir()}, []string{"is a directory"}},
		{"matrix empty", []string{"--matrix", bad("")}, []string{"bad.yaml"}},
		{"matrix not YAML", []string{"--matrix", bad("version: 1\ncells: [}\n")}, []string{"bad.yaml:2:"}},
		{"matrix is a binary", []string{"--matrix", bad(string(reference.Image()[:2048]))}, []string{"bad.yaml"}},
		{"matrix too large", []string{"--matrix", bad("# " + strings.Repeat("x", 2<<20))}, []string{"bad.yaml"}},
		{"unknown key", []string{"--matrix", bad("version: 1\ncells:\n  - system: reference\n    app: hello\n    platfrom: qemu\n")}, []string{"bad.yaml:5:5", "platfrom", `did you mean "platform"`}},
		{"unknown system", []string{"--matrix", bad(strings.Replace(cell, "reference", "refrence", 1) + "}\n")}, []string{"bad.yaml:3:", "refrence", "reference"}},
		{"unknown app", []string{"--matrix", bad(strings.Replace(cell, "hello", "helo", 1) + "}\n")}, []string{"bad.yaml:3:", "helo", "hello"}},
		{"unknown platform", []string{"--matrix", bad(cell + "2}\n")}, []string{"bad.yaml:3:", "qemu2", "qemu1nic"}},
		{"unknown experiment", []string{"--matrix", bad(cell + ", experiment: bot}\n")}, []string{"bad.yaml:3:", "bot", "boot"}},
		{"anchor bomb", []string{"--matrix", bad("version: 1\na: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\ncells: *b\n")}, []string{"bad.yaml:2:"}},
		{"deep nesting", []string{"--matrix", bad("version: 1\ncells: " + strings.Repeat("[", 4000) + "\n")}, []string{"bad.yaml"}},
		{"too many samples", []string{"--matrix", bad(cell + ", samples: 100001}\n")}, []string{"bad.yaml:3:", "100001", "100000"}},
		{"the same cell twice", []string{"--matrix", bad(cell + "}\n  - {system: reference, app: hello, platform: qemu}\n")}, []string{"bad.yaml:4:", "already"}},
		{"a claim of no event", []string{"--dry-run", "--matrix", bad(cell + ", experiment: timing-validation, claims: [{name: a, pattern: '(?P<value>.)', unit: ms, since: vm_exec}]}\n")}, []string{"bad.yaml:3:", `did you mean "vmm_exec"?`}},
		{"a claim named like a built-in one", []string{"--dry-run", "--matrix", bad(cell + ", experiment: timing-validation, claims: [{name: linux_printk, pattern: '(?P<value>.)', unit: ms}]}\n")}, []string{"bad.yaml:3:", `"linux_printk" is built in`}},
		{"claims of experiment boot", []string{"--dry-run", "--matrix", bad(cell + ", claims: [{name: a, pattern: '(?P<value>.)', unit: ms}]}\n")}, []string{"bad.yaml:3:", "timing-validation only"}},
		{"control character in args", []string{"--matrix", bad(cell + `, args: "a\x1b[31mb"}` + "\n")}, []string{"bad.yaml:3:", "control"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newRun(t, tc.args...).run().want(exitUsage).says(tc.says...).noFile()
			if strings.Contains(c.stderr.String(), "goroutine ") || strings.ContainsAny(c.stderr.String(), "\x1b\x00") {
				t.Errorf("a panic, or raw bytes for the terminal:\n%q", c.stderr.String())
			}
			if out := c.stdout.String(); out != "" {
				t.Errorf("standard output is for results, and has:\n%s", out)
			}
		})
	}
}

// An image that cannot be booted makes its cell fail with a reason that names the
// file, and no other cell.
func TestBadImages(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	image := string(reference.Image())
	arm := []byte(image)
	binary.LittleEndian.PutUint16(arm[0x12:], 183) // e_machine: EM_AARCH64
	for _, tc := range []struct{ name, path, want string }{
		{"missing", "/nonexistent/kernel", "no such file"},
		{"empty", write(t, "kernel", ""), "is empty"},
		{"a folder", t.TempDir(), "is a directory"},
		{"a device", "/dev/zero", "not a regular file"},
		{"a pipe", pipe(t), "not a regular file"},
		{"a text", write(t, "kernel", "#!/bin/sh\nexit 0\n"), "neither an ELF file nor a bzImage"},
		{"a truncated ELF", write(t, "kernel", image[:40]), "damaged ELF file"},
		{"an ELF without its segments", write(t, "kernel", image[:64]), "damaged ELF file"},
		{"an ELF for another machine", write(t, "kernel", string(arm)), "EM_AARCH64"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, kernel: "+tc.path,
				"system: process, app: hello, platform: process")
			c := newRun(t, "--matrix", m).run().want(exitFailed)
			f := c.file()
			if len(f.Cells) != 2 {
				t.Fatalf("%d cells, want 2", len(f.Cells))
			}
			bad, good := f.Cells[0], f.Cells[1]
			if bad.Status != results.CellFailed || len(bad.Samples) != 0 || !strings.Contains(bad.Reason, tc.want) || !strings.Contains(bad.Reason, tc.path) {
				t.Errorf("status %s, %d samples, reason %q: want failed, 0, %q and the path", bad.Status, len(bad.Samples), bad.Reason, tc.want)
			}
			if good.Status != results.CellOK || len(good.Samples) != 1 {
				t.Errorf("the good cell is %s with %d samples: %s", good.Status, len(good.Samples), good.Reason)
			}
			c.says("1 of 2 cells failed")
			if !strings.Contains(oneLine(c.stdout.String()), tc.want) {
				t.Errorf("the table does not give the reason %q:\n%s", tc.want, c.stdout.String())
			}
		})
	}
}

// pipe makes a named pipe that nobody writes to.
func pipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// What cannot be written to, listened on or attached is told at once.
func TestRefusals(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm")
	full := t.TempDir()
	keep := filepath.Join(full, "mine")
	if err := os.WriteFile(keep, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, tc := range []struct {
		name string
		args []string
		says []string
	}{
		{"out not empty", []string{"--out", full}, []string{full, "not empty", "choose another"}},
		{"out is a file", []string{"--out", keep}, []string{keep, "choose another"}},
		{"out below a file", []string{"--out", keep + "/x/y"}, []string{keep, "choose another"}},
		{"out not writable", []string{"--out", "/proc/ukprobe-out"}, []string{"/proc/ukprobe-out", "choose another"}},
		{"port busy", []string{"--listen", busy.Addr().String()}, []string{busy.Addr().String(), "in use", "choose another port"}},
		{"address not here", []string{"--listen", "192.0.2.1:9435"}, []string{"192.0.2.1:9435"}},
		{"journal not writable", []string{"--journal-dir", "/proc/ukprobe-journal"}, []string{"/proc/ukprobe-journal", "another journal directory"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newRun(t, append([]string{"--matrix", m}, tc.args...)...).run().want(exitFailed).says(tc.says...).noFile()
			if strings.Contains(c.stderr.String(), "[1/") {
				t.Errorf("a sample was taken first:\n%s", c.stderr.String())
			}
		})
	}
	names, err := os.ReadDir(full)
	if text, e := os.ReadFile(keep); err != nil || e != nil || len(names) != 1 || string(text) != "precious" {
		t.Errorf("the folder that was not empty has changed: %v, %q (%v, %v)", names, text, err, e)
	}
}

// --strict fails where the kernel lacks the rung, with each hook's reason.
func TestStrictRefused(t *testing.T) {
	needRoot(t)
	needNative(t, "its kernels have kprobes and fentry: TestKnownAnswers attaches by them there")
	if _, err := os.Stat("/sys/kernel/tracing/kprobe_events"); err == nil {
		t.Skip("this kernel has kprobes")
	}
	for _, rung := range []string{"kprobe", "fentry"} {
		c := newRun(t, "--attach", rung, "--strict", "--only", "system=process").run().want(exitFailed).noFile()
		c.says("attach by "+rung, "strictly", "kvm_entry", "kvm_exit: "+rung+": ", "run without --strict")
		// Without --strict the ladder finds another rung, and says so.
		c = newRun(t, "--attach", rung, "--only", "system=process,app=hello", "--samples", "1", "--warmup", "0").run().want(0)
		if r := c.file().Host.Rungs["kvm_pio"]; r.Rung != "tp_btf" || !strings.Contains(r.Reason, rung+": ") {
			t.Errorf("--attach %s: kvm_pio got %+v, want tp_btf and why not %s", rung, r, rung)
		}
	}
}
