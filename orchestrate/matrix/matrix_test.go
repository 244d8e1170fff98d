// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/matrices"
)

func expand(t *testing.T, text string) []Cell {
	t.Helper()
	m, err := Parse("m.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	cells, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	return cells
}

func ids(cells []Cell) []string {
	out := []string{}
	for _, c := range cells {
		out = append(out, c.ID())
	}
	return out
}

func TestExpand(t *testing.T) {
	got := expand(t, `
version: 1
name: everything
defaults: {samples: 3, warmup: 0, timeout: 1m30s, memory_mib: 64, vcpus: 2, accel: tcg}
cells:
  - system: [a, b]
    app: x
    platform: [p, q]
  - {system: c, app: "x", platform: p, experiment: [boot, density], samples: 7, warmup: 2,
     timeout: 500ms, memory_mib: 1, vcpus: 1, accel: kvm, probes: none, address: dhcp, vhost: true, args: "quiet -- 'ä'", kernel: k/vmlinuz,
     initrd: /abs/../initrd, ready: '^ready \d+$', port: 8080,
     claims: [{name: up, pattern: 'up (?P<value>\d+)', unit: ms, since: vmm_exec}, {name: own, pattern: "(?P<value>.)", unit: tsc, since: guest clock}]}
`)
	d := Settings{Samples: 3, Timeout: 90 * time.Second, MemoryMiB: 64, VCPUs: 2, Accel: "tcg", Probes: "boot", Address: "static", Tap: TapNew}
	d.Cache, d.Parallel, d.Load, d.MemorySearch, d.Density = "as-is", 1, DefaultLoad(), DefaultMemorySearch(), DefaultSettings().Density
	d.Scratch = DefaultScratch()
	claims := []Claim{{Name: "up", Pattern: `up (?P<value>\d+)`, Unit: "ms", Since: "vmm_exec"}, {Name: "own", Pattern: "(?P<value>.)", Unit: "tsc"}}
	own := Settings{Claims: claims, Samples: 7, Warmup: 2, Timeout: 500 * time.Millisecond, MemoryMiB: 1, VCPUs: 1, Accel: "kvm", Probes: "none", Address: "dhcp", Tap: TapNew, Vhost: true,
		Args: "quiet -- 'ä'", Kernel: "k/vmlinuz", Initrd: "/initrd", Ready: `^ready \d+$`, Port: 8080}
	own.Cache, own.Parallel, own.Load, own.MemorySearch, own.Density = d.Cache, 1, d.Load, d.MemorySearch, d.Density
	own.Scratch = d.Scratch
	d.Interference, own.Interference = DefaultInterference(), DefaultInterference()
	want := []Cell{
		{"a", "x", "p", "boot", d, "m.yaml:6:5"},
		{"a", "x", "q", "boot", d, "m.yaml:6:5"},
		{"b", "x", "p", "boot", d, "m.yaml:6:5"},
		{"b", "x", "q", "boot", d, "m.yaml:6:5"},
		{"c", "x", "p", "boot", own, "m.yaml:9:5"},
		{"c", "x", "p", "density", own, "m.yaml:9:5"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestDefaults(t *testing.T) {
	for _, text := range []string{
		"version: 1\ncells:\n- system: a\n  app: b\n  platform: c\n",
		"\uFEFFversion: 1\r\ncells:\r\n- system: a\r\n  app: b\r\n  platform: c\r\n",
		`{"version": 1, "cells": [{"system": "a", "app": "b", "platform": "c"}]}`,
		"---\n# a comment\nversion: 1\ncells: # another\n  - platform: c\n    system: [a]\n    app: b\n...\n",
	} {
		cells := expand(t, text)
		if len(cells) != 1 || cells[0].ID() != "a/b/c/boot" {
			t.Fatalf("%q: %v", text, ids(cells))
		}
		if d := cmp.Diff(DefaultSettings(), cells[0].Settings); d != "" {
			t.Errorf("%q, -want +got:\n%s", text, d)
		}
	}
}

func TestPathsAreBesideTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.yaml")
	text := "version: 1\ncells: [{system: a, app: b, platform: c, kernel: ../vmlinuz}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	cells, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(dir), "vmlinuz"); cells[0].Kernel != want {
		t.Errorf("kernel = %s, want %s", cells[0].Kernel, want)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, make([]byte, MaxFileSize+10), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file",
		dir:                             "is a directory",
		big:                             "larger than 1048576 bytes",
		"/dev/zero":                     "not a regular file",
	} {
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	text := "version: 1\ncells:\n  - system: \"ä\"\n    platfrom: qemu\n    app: b\n\n    samples: ten\n"
	_, err := Parse("dir/m.yaml", []byte(text))
	want := `dir/m.yaml:3:13: system "ä" is not a name: lower-case letters, digits, and . _ - after the first, at most 64
   3 |   - system: "ä"
     |             ^
dir/m.yaml:4:5: unknown key "platfrom" in a cell; did you mean "platform"?
   4 |     platfrom: qemu
     |     ^
dir/m.yaml:7:14: samples is a whole number, not a text
   7 |     samples: ten
     |              ^`
	if d := cmp.Diff(want, fmt.Sprint(err)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	var e *Error
	if !errors.As(err, &e) || e.Line != 3 || e.Col != 13 {
		t.Errorf("errors.As gives %+v", e)
	}
}

func TestDuplicates(t *testing.T) {
	text := func(a, b string) string {
		return "version: 1\ncells:\n- {system: [x, a], app: b, platform: c, accel: " + a + "}\n- {system: a, app: b, platform: c, accel: " + b + "}\n"
	}
	for _, tt := range []struct {
		a, b string
		same bool
	}{{"kvm", "kvm", true}, {"auto", "tcg", true}, {"kvm", "auto", true}, {"kvm", "tcg", false},
		{"kvm, probes: none", "kvm", false}, {"kvm, probes: none", "auto, probes: none", true}} {
		m, err := Parse("m.yaml", []byte(text(tt.a, tt.b)))
		if err != nil {
			t.Fatal(err)
		}
		cells, err := m.Expand()
		if !tt.same {
			if err != nil || len(cells) != 3 {
				t.Errorf("%s and %s: %v", tt.a, tt.b, err)
			}
			continue
		}
		for _, want := range []string{"m.yaml:4:3: ", "at m.yaml:3:3", "a/b/c/boot"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s and %s: %v does not contain %q", tt.a, tt.b, err, want)
			}
		}
	}
}

func TestManyDuplicates(t *testing.T) {
	text := "version: 1\ncells:\n" + strings.Repeat("- {system: a, app: b, platform: c}\n", 9_000)
	m, err := Parse("m.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Expand()
	if err == nil || !strings.Contains(err.Error(), "and 8979 more mistakes") {
		t.Errorf("%v", err)
	}
}

func TestCheck(t *testing.T) {
	m, err := Parse("m.yaml", []byte("version: 1\ncells:\n- system: linux\n  app: [hello, ngnix]\n  platform: qmeu\n  experiment: boto\n- {system: zzz, app: hello, platform: qemu}\n"))
	if err != nil {
		t.Fatal(err)
	}
	v := Vocabulary{Systems: []string{"linux", "process"}, Apps: []string{"hello", "nginx"}, Platforms: []string{"qemu", "process"}, Experiments: []string{"boot"}}
	err = m.Check(v)
	for _, want := range []string{
		`m.yaml:4:16: unknown app "ngnix"; did you mean "nginx"? (known: hello, nginx)`,
		`m.yaml:5:13: unknown platform "qmeu"; did you mean "qemu"?`,
		`m.yaml:6:15: unknown experiment "boto"; did you mean "boot"?`,
		`m.yaml:7:12: unknown system "zzz" (known: linux, process)`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not contain %s", err, want)
		}
	}
	ok, err := Parse("m.yaml", []byte("version: 1\ncells: [{system: linux, app: hello, platform: qemu}]"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ok.Check(v); err != nil {
		t.Error(err)
	}
}

// TestBuiltIn holds the built-in matrix against what the issue asks of it.
func TestBuiltIn(t *testing.T) {
	text, err := matrices.FS.ReadFile(matrices.Default)
	if err != nil {
		t.Fatal(err)
	}
	cells := expand(t, string(text))
	want := []string{
		"reference/hello/qemu/boot", "reference/hello/qemu1nic/boot", "reference/hello/qemumicrovm/boot",
		"linux/hello/qemu1nic/boot", "linux/nginx/qemu1nic/boot",
		"process/hello/process/boot", "process/nginx/process/boot",
	}
	if d := cmp.Diff(want, ids(cells)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, c := range cells {
		if c.Samples != 10 || c.Warmup != 1 || c.Accel != AccelAuto {
			t.Errorf("%s: %+v", c.ID(), c.Settings)
		}
	}
}
