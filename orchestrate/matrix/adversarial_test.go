// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

const head = "version: 1\ncells:\n"

// cell is a good cell with one more line.
func cell(line string) string {
	return head + "- system: a\n  app: b\n  platform: c\n  " + line + "\n"
}

// TestRefused gives every mistake that a file can hold, and what is said of it.
func TestRefused(t *testing.T) {
	list := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("n%d", i)
		}
		return "[" + strings.Join(names, ", ") + "]"
	}
	bomb := "a: &a [x, x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c]\n", c, c, c-1, c-1, c-1)
	}
	tests := []struct{ name, text, want string }{
		{"empty", "", "1:1: the file is empty"},
		{"only a comment", "# nothing\n", "1:1: the file is empty"},
		{"only a separator", "---\n", "1:1: the file is empty"},
		{"null", "null\n", "the matrix is a mapping (key: value), not nothing"},
		{"a list", "- version: 1\n", "the matrix is a mapping (key: value), not a list"},
		{"a text", "hello\n", "the matrix is a mapping (key: value), not a text"},
		{"two documents", head + "- {system: a, app: b, platform: c}\n---\nversion: 1\n", "5:1: a second document"},
		{"no version", "cells: [{system: a, app: b, platform: c}]", "no version"},
		{"another version", "version: 2\ncells: []", "version 2 is not known"},
		{"version as a text", "version: \"1\"\ncells: []", "version is a whole number, not a text"},
		{"no cells", "version: 1\n", "the matrix has no cells"},
		{"empty cells", "version: 1\ncells: []\n", "2:8: cells is empty"},
		{"null cells", "version: 1\ncells:\n", "cells is a list, not nothing"},
		{"cells as a mapping", "version: 1\ncells: {system: a}\n", "cells is a list, not a mapping"},
		{"a cell as a text", head + "- a\n", "3:3: a cell is a mapping (key: value), not a text"},
		{"a null cell", head + "-\n", "a cell is a mapping (key: value), not nothing"},
		{"unknown top key", "version: 1\nsells: []\n", "2:1: unknown key \"sells\" in the matrix; did you mean \"cells\"?"},
		{"unknown default", "version: 1\ndefaults: {sample: 1}\ncells: []", "2:12: unknown key \"sample\" in defaults; did you mean \"samples\"?"},
		{"a cell's key in defaults", "version: 1\ndefaults: {args: x}\ncells: []", "unknown key \"args\" in defaults"},
		{"unknown cell key", cell("colour: red"), "6:3: unknown key \"colour\" in a cell"},
		{"a key twice", cell("app: x"), "6:3: mapping key \"app\" already defined at [4:3]"},
		{"a key twice, quoted", cell("\"app\": x"), "6:3: "},
		{"a key twice, in braces", "version: 1\ncells: [{system: a, system: b}]", "2:21: "},
		{"a number as a key", cell("5: x"), "6:3: a key of a cell is a plain word"},
		{"a list as a key", cell("? [a]\n  : b"), "7:3: "},
		{"no system", head + "- {app: b, platform: c}", "3:3: the cell has no system"},
		{"no app", head + "- {system: b, platform: c}", "the cell has no app"},
		{"no platform", head + "- {system: b, app: c}", "the cell has no platform"},
		{"an empty list", head + "- {system: [], app: b, platform: c}", "3:12: system is an empty list"},
		{"a name twice", head + "- {system: [a, b, a], app: b, platform: c}", "3:19: system \"a\" is already in the list, at m.yaml:3:13"},
		{"a list in a list", head + "- {system: [[a]], app: b, platform: c}", "system is a text, not a list"},
		{"a number as a name", head + "- {system: 5, app: b, platform: c}", "system is a text, not a number (put quotes"},
		{"yes as a name", head + "- {system: true, app: b, platform: c}", "system is a text, not a truth value"},
		{"null as a name", head + "- {system: , app: b, platform: c}", "system is a text, not nothing"},
		{"an empty name", head + "- {system: '', app: b, platform: c}", "system \"\" is not a name"},
		{"a name with a path", head + "- {system: ../x, app: b, platform: c}", "system \"../x\" is not a name"},
		{"a name with a slash", head + "- {system: a/b, app: b, platform: c}", "is not a name"},
		{"a capital", head + "- {system: Linux, app: b, platform: c}", "is not a name"},
		{"a long name", head + "- {system: " + strings.Repeat("a", 65) + ", app: b, platform: c}", "at most 64"},
		{"samples 0", cell("samples: 0"), "6:12: samples 0 is not between 1 and 100000"},
		{"samples negative", cell("samples: -1"), "samples -1 is not between"},
		{"samples too many", cell("samples: 100001"), "samples 100001 is not between"},
		{"samples beyond 64 bits", cell("samples: 99999999999999999999999"), "samples"},
		{"samples octal", cell("samples: 010"), "samples \"010\" is not a plain decimal number"},
		{"samples hexadecimal", cell("samples: 0x10"), "\"0x10\" is not a plain decimal"},
		{"samples with _", cell("samples: 1_000"), "samples"},
		{"samples as a fraction", cell("samples: 1.5"), "samples is a whole number, not a number"},
		{"samples infinite", cell("samples: .inf"), "samples is a whole number"},
		{"samples null", cell("samples:"), "samples is a whole number, not nothing"},
		{"samples list", cell("samples: [1]"), "samples is a whole number, not a list"},
		{"warmup negative", cell("warmup: -1"), "warmup -1 is not between 0 and"},
		{"timeout without unit", cell("timeout: 30"), "6:12: timeout has no unit: write 30s"},
		{"timeout zero", cell("timeout: 0s"), "timeout 0s is not between 1ms and 24h"},
		{"timeout negative", cell("timeout: -5s"), "timeout -5s is not between"},
		{"timeout too long", cell("timeout: 24h1s"), "timeout 24h1s is not between"},
		{"timeout overflowing", cell("timeout: 99999999999h"), "is not a span of time"},
		{"timeout in words", cell("timeout: soon"), "timeout \"soon\" is not a span of time"},
		{"memory 0", cell("memory_mib: 0"), "memory_mib 0 is not between 1 and 1048576"},
		{"memory too much", cell("memory_mib: 1048577"), "memory_mib 1048577 is not"},
		{"memory with unit", cell("memory_mib: 256M"), "memory_mib is a whole number, not a text"},
		{"vcpus 0", cell("vcpus: 0"), "vcpus 0 is not between 1 and 1024"},
		{"accel", cell("accel: kvn"), "accel \"kvn\" is none of auto, kvm, tcg; did you mean \"kvm\"?"},
		{"probes", cell("probes: ful"), "probes \"ful\" is none of boot, full, none; did you mean \"full\"?"},
		{"accel list", cell("accel: [kvm, tcg]"), "accel is a text, not a list"},
		{"port 0", cell("port: 0"), "port 0 is not between 1 and 65535"},
		{"port too high", cell("port: 65536"), "port 65536 is not"},
		{"ready no regexp", cell("ready: '(['"), "6:10: ready is not a regular expression: "},
		{"ready empty", cell("ready: ''"), "ready is empty"},
		{"ready huge", cell("ready: '" + strings.Repeat("a", 1025) + "'"), "ready has 1025 bytes"},
		{"ready repeating", cell("ready: '((a{100}){100}){100}'"), "ready is not a regular expression"},
		{"args with a newline", cell(`args: "a\nb"`), `args has a control character ('\n')`},
		{"args with a zero byte", cell(`args: "a\0b"`), `args has a control character ('\x00')`},
		{"args with an escape", cell(`args: "\e[2J"`), `args has a control character ('\x1b')`},
		{"args in a block", cell("args: |\n    a\n    b"), "args has a control character"},
		{"args too long", cell("args: " + strings.Repeat("a", 2049)), "args has 2049 bytes, more than 2048"},
		{"args as a number", cell("args: 5"), "args is a text, not a number"},
		{"kernel empty", cell("kernel: ''"), "kernel is empty"},
		{"kernel with a zero byte", cell(`kernel: "a\0"`), "control character"},
		{"initrd mapping", cell("initrd: {a: b}"), "initrd is a text, not a mapping"},
		{"an anchor", "version: &v 1\n", "1:10: anchors, aliases and merge keys"},
		{"an alias", "version: *v\n", "1:10: anchors, aliases and merge keys"},
		{"a merge key", cell("<<: {app: x}"), "6:3: anchors, aliases and merge keys"},
		{"an alias bomb", bomb, "1:4: anchors"},
		{"a tag", cell("args: !!binary aGVsbG8="), "6:9: tags are not part"},
		{"a directive", "%YAML 1.2\n---\n" + head, "1:1: directives"},
		{"not UTF-8", head + "- system: \xff\n", "3:11: byte 0xff is not UTF-8"},
		{"UTF-16", "v\x00e\x00r\x00", "1:2: control character 0x00"},
		{"an escape sequence", head + "# \x1b[2J\n", "3:3: control character 0x1b"},
		{"a tab for indentation", head + "\t- system: a\n", "3:"},
		{"a bracket not closed", "version: 1\ncells: [{system: a\n", "2:"},
		{"a quote not closed", "version: 1\ncells: \"abc\n", "2:8: "},
		{"wrong indentation", head + "- system: a\n app: b\n", "4:"},
		{"an ELF file", "\x7fELF\x02\x01\x01", "1:1: control character 0x7f"},
		{"JSON with a comma too many", `{"version": 1, "cells": [,]}`, "1:"},
		{"deep brackets", strings.Repeat("[", 8000), "nested deeper than 16"},
		{"deep braces", strings.Repeat(strings.Repeat("{a: ", 1000)+"\n", 100), "nested deeper than 16"},
		{"deep lists", strings.Repeat("- ", 4000), "nested deeper than 16"},
		{"deep mappings", func() string {
			var b strings.Builder
			for i := range 1000 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}(), "nested deeper than 16"},
		{"deep keys", strings.Repeat("? ", 4000), "nested deeper than 16"},
		{"a long line", "# " + strings.Repeat("x", MaxLine), "1:1: the line is longer than 8192 bytes"},
		{"too many cells", head + "- {system: " + list(101) + ",\n   app: " + list(100) + ",\n   platform: x}\n", "3:3: the matrix expands to more than 10000 cells"},
		{"too many cells to count", head + "- {system: " + list(1000) + ",\n   app: " + list(1000) + ",\n   platform: " + list(1000) + ",\n   experiment: " + list(1000) + "}\n", "more than 10000 cells"},
		{"too many samples together", head + "- {system: " + list(11) + ", app: a, platform: x, samples: 100000}\n", "3:3: the matrix has more than 1000000 samples"},
	}
	place := regexp.MustCompile(`^m\.yaml:\d+:\d+: `)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			m, err := Parse("m.yaml", []byte(tt.text))
			if err == nil {
				cells, _ := m.Expand()
				t.Fatalf("accepted: %v", cells)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error\n%v\ndoes not contain %q", err, tt.want)
			}
			if !place.MatchString(err.Error()) {
				t.Errorf("error\n%v\nhas no place", err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// TestHuge parses files of the largest size, each made to hit what grows
// faster than the file.
func TestHuge(t *testing.T) {
	fill := func(prefix, unit string) string {
		return prefix + strings.Repeat(unit, (MaxFileSize-len(prefix))/len(unit))
	}
	for name, text := range map[string]string{
		"blank lines":    fill("", "\n"),
		"comments":       fill("", "# x\n"),
		"quotes":         fill("", "\"\n"),
		"colons":         fill("", ": \n"),
		"dashes":         fill("", "-\n"),
		"brackets":       fill("", "[]\n"),
		"documents":      fill("", "---\n"),
		"carriages":      fill("", "\r"),
		"question marks": fill("", "?\n"),
		"block scalars":  fill("", "a: |\n"),
		"bad cells":      fill(head, "- a\n"),
		"bad keys":       fill(head+"- system: a\n", "  x: 1\n"),
		"same cells":     fill(head, "- {system: a, app: b, platform: c, samples: 1}\n"),
		"same names":     fill(head+"- system:\n", "  - a\n"),
		"accents":        fill("", "é: 1\n"),
		"one scalar":     fill("a: b\n", " c\n"),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			m, err := Parse("m.yaml", []byte(text))
			if err == nil {
				_, err = m.Expand()
			}
			if err == nil {
				t.Error("accepted")
			} else if n := len(err.Error()); n > 1<<16 {
				t.Errorf("the error has %d bytes", n)
			}
			if d := time.Since(start); d > 30*time.Second {
				t.Errorf("took %v", d)
			} else {
				t.Logf("%v: %.100s", d.Round(time.Millisecond), err)
			}
		})
	}
}
