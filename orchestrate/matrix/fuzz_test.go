// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
)

// FuzzParse holds what must be true of every file: no panic, errors with a
// place and nothing unprintable in them, and cells within the limits.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "version: 1\n", cell("samples: 3"), cell("timeout: 1s"), cell("args: \"a b\""), cell("ready: '^x$'"), cell("claims: [{name: a, pattern: \"(?P<value>.)\", unit: ms}]"),
		cell("kernel: a/../b"), cell("app: [a, b]"), cell("<<: *a"), cell("? a\n  : b"), cell("args: |\n    a"),
		`{"version": 1, "cells": [{"system": ["a", "b"], "app": "b", "platform": "c"}]}`,
		"[[[[", "- - - -", "a: &a [*a]", "%YAML 1.2\n---\n", "--- |\n x\n", "\uFEFFversion: 1\r\n", "a: 'x", "{", "? ",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<14 {
			return // TestHuge is for size
		}
		m, err := Parse("m.yaml", text)
		if err != nil {
			checkError(t, err)
			return
		}
		cells, err := m.Expand()
		if err != nil {
			checkError(t, err)
			return
		}
		if len(cells) == 0 || len(cells) > MaxCells {
			t.Fatalf("%d cells", len(cells))
		}
		for _, c := range cells {
			checkCell(t, c)
		}
		if len(Order(cells, 1)) > MaxSteps {
			t.Fatal("too many steps")
		}
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Line < 1 || e.Col < 1 {
		t.Fatalf("no place: %#v", err)
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if strings.ContainsFunc(line, unicode.IsControl) {
			t.Fatalf("a control character in %q", line)
		}
	}
}

func checkCell(t *testing.T, c Cell) {
	t.Helper()
	for _, s := range []string{c.System, c.App, c.Platform, c.Experiment} {
		if !strictyaml.NamePattern.MatchString(s) {
			t.Fatalf("name %q", s)
		}
	}
	if strings.ContainsFunc(c.Args+c.Kernel+c.Initrd+c.Ready, unicode.IsControl) {
		t.Fatalf("a control character in %+v", c)
	}
	if c.Samples < 1 || c.Samples > MaxSamples || c.Warmup < 0 || c.Timeout <= 0 || c.Timeout > MaxTimeout ||
		c.MemoryMiB < 1 || c.MemoryMiB > MaxMemoryMiB || c.VCPUs < 1 || c.Port < 0 || c.Port > 65535 {
		t.Fatalf("out of range: %+v", c)
	}
}
