// SPDX-License-Identifier: Apache-2.0

package strictyaml

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/regular"
)

var format = Format{Name: "test file", Whole: "a test has name", Instead: "write it out", MaxItems: 100}

// TestRefused: what is not plain YAML of one document, or can be made to explode, is
// refused with its place, soon.
func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"empty":              {"", "t.yaml:1:1: the file is empty: a test has name"},
		"comments":           {"# nothing\n---\n", "t.yaml:1:1: the file is empty"},
		"two documents":      {"a: 1\n---\nb: 2\n", "t.yaml:3:1: a second document: a test file has one"},
		"anchor":             {"a: &x 1\nb: 2\n", "t.yaml:1:4: anchors, aliases and merge keys are not part of a test file: write it out"},
		"alias":              {"a: *x\n", "t.yaml:1:4: anchors"},
		"merge":              {"a:\n  <<: {b: 1}\n", "t.yaml:2:3: anchors"},
		"tag":                {"a: !!binary aGk=\n", "t.yaml:1:4: tags are not part"},
		"directive":          {"%YAML 1.2\n---\na: 1\n", "t.yaml:1:1: directives are not part"},
		"no UTF-8":           {"a: 1\nb: \xff\n", "t.yaml:2:4: byte 0xff is not UTF-8"},
		"control character":  {"a: 1\nbé\x1b[31m: 2\n", "t.yaml:2:3: control character 0x1b"},
		"zero byte":          {"a: \x00\n", "t.yaml:1:4: control character 0x00"},
		"long line":          {"a: " + strings.Repeat("x", MaxLine) + "\n", "t.yaml:1:1: the line is longer than 8192 bytes"},
		"large file":         {strings.Repeat("a: 1\n", MaxFileSize/5+1), "the file is larger than"},
		"nested lists":       {"a: " + strings.Repeat("[", 4000), "nested deeper than 16"},
		"nested mappings":    {"a: " + strings.Repeat("{a: ", 2000), "nested deeper than 16"},
		"nested dashes":      {strings.Repeat("- ", 4000) + "a\n", "nested deeper than 16"},
		"nested by indent":   {indented(40), "t.yaml:17:"},
		"many items":         {strings.Repeat("- a\n", 101), "t.yaml:101:1: more than 100 list items"},
		"very many items":    {strings.Repeat("- a\n", 200_000), "more than 100 list items"},
		"many keys":          {keys(1001), "t.yaml:1001:6: more than 1000 keys in one mapping"},
		"very many keys":     {keys(60_000), "more than 1000 keys"},
		"very many ?":        {strings.Repeat("? a\n", 200_000), "more than 1000 keys"},
		"very many colons":   {strings.Repeat(": a\n", 200_000), "more than 1000 keys"},
		"flow list":          {"a: [\n" + strings.Repeat(strings.Repeat("x,", 1000)+"\n ", 480) + "]\n", "t.yaml:51:2001: more than 50000 commas and brackets"},
		"flow mapping":       {"a: {\n" + strings.ReplaceAll(keys(60_000), "\n", ",\n ") + "}\n", "more than 50000 commas"},
		"flow lists in one":  {"a: [" + strings.Repeat("{a},\n", 150_000) + "]\n", "more than 50000 commas"},
		"many documents":     {strings.Repeat("---\na\n", 170_000), "t.yaml:33:1: more than 16 times --- or ...: a test file has one document"},
		"brackets":           {"a: " + strings.Repeat("[]\n", 150_000), "more than 50000 commas"},
		"not closed":         {"a: [1, 2\n", "t.yaml:1:4: "},
		"tab for a blank":    {"a:\n\tb: 1\n", "t.yaml:2:1: "},
		"list as a key":      {"? [x]\n: a\n", "t.yaml:2:1: "},
		"two colons":         {"a: b: c\n", "t.yaml:1:"},
		"quote without end":  {"a: 'b\n", "t.yaml:1:4: "},
		"bad escape":         {"a: \"\\q\"\n", "t.yaml:1:"},
		"explosion by alias": {"a: &a [x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "t.yaml:1:4: anchors"},
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			_, _, err := Parse(format, "t.yaml", []byte(tt.text))
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want an *Error with %q", err, tt.want)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// keys is a mapping.
func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

func indented(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%*sa:\n", i, "")
	}
	return b.String()
}

// TestLargest: a file at its limits is read, within seconds.
func TestLargest(t *testing.T) {
	format := format
	format.MaxItems = 50_000
	for name, text := range map[string]string{
		"keys":                keys(1000),
		"keys with mappings":  strings.ReplaceAll(keys(1000), "1\n", "\n  a: 1\n  b: 2\n  c: 3\n"),
		"lists of many keys":  "x:\n" + strings.Repeat("- "+strings.ReplaceAll(strings.TrimSpace(keys(1000)), "\n", "\n  ")+"\n", 80),
		"cells":               "cells:\n" + strings.Repeat("- app: a\n  system: [b, c]\n  vcpus: 1\n", 15_000),
		"cells in one column": "cells:\n" + strings.Repeat("-\n  app: a\n", 50_000),
		"flow cells":          "cells:\n" + strings.Repeat("- {app: a, system: b, vcpus: 1}\n", 16_000),
		"flow list":           "a: [\n" + strings.Repeat("x,\n ", 49_999) + "]\n",
		"flow lists in one":   "a: [\n" + strings.Repeat("{a},\n ", 24_999) + "]\n",
		"JSON":                `{"cells": [` + strings.Repeat("{\"app\": \"a\", \"system\": \"b\"},\n", 16_000) + "]}\n",
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			d, root, err := Parse(format, "t.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			d.Mapping(root, "a test", nil)
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("it took %v", took)
			} else {
				t.Log(len(text), "bytes:", took)
			}
		})
	}
}

// TestManyMistakes: those that are only counted cost little.
func TestManyMistakes(t *testing.T) {
	text := "[\n" + strings.Repeat("{"+strings.ReplaceAll(keys(499), "\n", ",")+"},\n", 95) + "]\n"
	d, root, err := Parse(format, "t.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	d.List(root, "x", func(n ast.Node) { d.Mapping(n, "a test", map[string]Field{"name": nil, "key": nil}) })
	if took := time.Since(begun); took > time.Second {
		t.Errorf("it took %v", took)
	} else {
		t.Log(took)
	}
	if d.Errs.Len() != 95*499 || !strings.Contains(d.Errs.Err().Error(), fmt.Sprintf("and %d more mistakes", 95*499-maxErrors)) {
		t.Errorf("%d mistakes: %v", d.Errs.Len(), d.Errs.Err())
	}
}

// decode parses a mapping with one key x, and has a field decode it.
func decode(t *testing.T, text string, field func(d *Decoder, n ast.Node)) error {
	t.Helper()
	d, root, err := Parse(format, "t.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	d.Mapping(root, "a test", map[string]Field{"x": func(n ast.Node) { field(d, n) }})
	return d.Errs.Err()
}

// TestDecoded: a value is what it looks like, or a mistake with its place. Nothing is
// converted.
func TestDecoded(t *testing.T) {
	str := func(d *Decoder, n ast.Node) (v any) { var s string; d.String(n, "x", &s); return s }
	line := func(d *Decoder, n ast.Node) any { var s string; d.Text(n, "x", 5, &s); return s }
	name := func(d *Decoder, n ast.Node) any { var s string; d.Name(n, "x", &s); return s }
	path := func(d *Decoder, n ast.Node) any { var s string; d.Path(n, "x", &s); return s }
	re := func(d *Decoder, n ast.Node) any { var s string; d.Regexp(n, "x", 9, &s); return s }
	word := func(d *Decoder, n ast.Node) any {
		var s string
		d.OneOf(n, "x", []string{"boot", "full"}, &s)
		return s
	}
	truth := func(d *Decoder, n ast.Node) any { var b bool; d.Bool(n, "x", &b); return b }
	number := func(d *Decoder, n ast.Node) any { i := -7; d.Integer(n, "x", -2, 10, &i); return i }
	version := func(d *Decoder, n ast.Node) any { i := -7; d.Integer(n, "x", 1, 1, &i); return i }
	span := func(d *Decoder, n ast.Node) any { var v time.Duration; d.Duration(n, "x", &v); return v }
	list := func(d *Decoder, n ast.Node) any {
		out := []string{}
		d.List(n, "x", func(n ast.Node) { var s string; d.String(n, "item", &s); out = append(out, s) })
		return out
	}
	for text, tt := range map[string]struct {
		as   func(*Decoder, ast.Node) any
		want any
		err  string
	}{
		"x: yes":                 {str, "yes", ""}, // not a truth value
		"x: '010'":               {str, "010", ""},
		"x: |\n  two\n  lines\n": {str, "two\nlines\n", ""},
		"x: true":                {str, "", "t.yaml:1:4: x is a text, not a truth value (put quotes around it if it is a text)"},
		"x: 1.0":                 {str, "", "not a number (put quotes"},
		"x: ~":                   {str, "", "not nothing"},
		"x: [a]":                 {str, "", "not a list"},
		"x: {a: b}":              {str, "", "not a mapping"},
		"x: abcdef":              {line, "", "x has 6 bytes, more than 5"},
		`x: "a\nb"`:              {line, "", `x has a control character ('\n')`},
		`x: "a\e["`:              {line, "", `x has a control character ('\x1b')`},
		"x: a.b-c_1":             {name, "a.b-c_1", ""},
		"x: Upper":               {name, "", `x "Upper" is not a name`},
		"x: ../a":                {name, "", "is not a name"},
		"x: a/../b":              {path, "b", ""},
		"x: /a//b/.":             {path, "/a/b", ""},
		"x: ''":                  {path, "", "x is empty: leave it out, or name a file"},
		"x: ^a+$":                {re, "^a+$", ""},
		"x: a(":                  {re, "", "x is not a regular expression"},
		"x: \"\"":                {re, "", "x is empty and would match every line"},
		"x: full":                {word, "full", ""},
		"x: ful":                 {word, "", `x "ful" is none of boot, full; did you mean "full"?`},
		"x: false":               {truth, false, ""},
		"x: 'true'":              {truth, false, "x is true or false, not a text"},
		"x: on":                  {truth, false, "x is true or false, not a text"},
		"x: 10":                  {number, 10, ""},
		"x: -2":                  {number, -2, ""},
		"x: 11":                  {number, -7, "x 11 is not between -2 and 10"},
		"x: 010":                 {number, -7, `x "010" is not a plain decimal number`},
		"x: 0x0a":                {number, -7, "is not a plain decimal number"},
		"x: 1_0":                 {number, -7, "is not a plain decimal number"},
		"x: 99999999999999999":   {number, -7, "is not between -2 and 10"},
		"x: 3.0":                 {number, -7, "x is a whole number, not a number"},
		"x: 2":                   {version, -7, "x 2 is not known: this ukprobe reads x 1"},
		"x: 1m30s":               {span, 90 * time.Second, ""},
		"x: 30":                  {span, time.Duration(0), "x has no unit: write 30s for seconds"},
		"x: 25h":                 {span, time.Duration(0), "x 25h is not between 1ms and 24h"},
		"x: -1s":                 {span, time.Duration(0), "is not between"},
		"x: soon":                {span, time.Duration(0), `"soon" is not a span of time`},
		"x:\n- a\n- b":           {list, []string{"a", "b"}, ""},
		"x: [a, 1]":              {list, []string{"a", ""}, "t.yaml:1:8: item is a text, not a number"},
		"x: a":                   {list, []string{}, "x is a list, not a text"},
		"x: a\ny: b":             {str, "a", `t.yaml:2:1: unknown key "y" in a test`},
		"\ufeffx: a":             {str, "a", ""},
		"x: a\r\n":               {str, "a", ""},
		"# é\nx: {a: \"é\", b}":  {str, "", "t.yaml:2:4: x is a text, not a mapping"},
	} {
		var got any
		err := decode(t, text, func(d *Decoder, n ast.Node) { got = tt.as(d, n) })
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %v, want %q", text, err, tt.err)
		}
	}
}

// TestExcerpt: the line with a marker below the place, also of a long one, and nothing of
// it can move a terminal's cursor.
func TestExcerpt(t *testing.T) {
	_, _, err := Parse(format, "t.yaml", []byte("a: 1\nb: {\""+strings.Repeat("é", 60)+"\": *x}\n"))
	if want := "t.yaml:2:69: anchors, aliases and merge keys are not part of a test file: write it out\n" +
		"   2 | " + strings.Repeat("é", 47) + "\": *x}\n     | " + strings.Repeat(" ", 50) + "^"; err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	src := newSource("t", []byte("a\u202eb\u200b\tc"))
	if got := src.excerpt(Pos{1, 1}); strings.ContainsAny(got, "\u202e\u200b\t") {
		t.Errorf("%q", got)
	}
	if got := src.excerpt(Pos{7, 1}); got != "" {
		t.Errorf("of a line that is not there: %q", got)
	}
}

// TestErrorList: of many mistakes some are shown, and how many there are.
func TestErrorList(t *testing.T) {
	var l ErrorList
	if l.Err() != nil {
		t.Error("none is an error")
	}
	for i := range maxErrors + 3 {
		l.Add(fmt.Errorf("mistake %d: x", i))
	}
	if text := l.Err().Error(); l.Len() != maxErrors+3 || !strings.Contains(text, "mistake 19:") || strings.Contains(text, "mistake 20:") || !strings.HasSuffix(text, "and 3 more mistakes") {
		t.Errorf("%d: %s", l.Len(), text)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.yaml")
	if _, _, err := Load(format, path); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "test file: ") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, []byte("x: *a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(format, path); err == nil || !strings.HasPrefix(err.Error(), path+":1:4: ") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, make([]byte, MaxFileSize+2), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(format, path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a large file: %v", err)
	}
	fifo := path + ".fifo" // nobody writes to it: opening it would wait for ever
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/zero", "/dev/ptmx", filepath.Dir(path)} {
		if _, _, err := Load(format, path); !errors.Is(err, regular.ErrNotRegular) || !strings.HasPrefix(err.Error(), "test file: "+path) {
			t.Errorf("%s: %v, want that it is no regular file", path, err)
		}
	}
}

// FuzzParse: whatever a file holds, it is parsed or refused with an *Error whose place
// is in the file, within bounded depth.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: 1", "- a\n- {b: [c]}", "a: &x [*x]", "? a\n: b", "%TAG\n---", "a: |\n  b\n...\n---\n", "\"\\u0000\": '", "a:\n - b:\n    - c", "{{[[\n", "a: b: c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, root, err := Parse(format, "t.yaml", text)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Col < 1 || e.Line > strings.Count(string(text), "\n")+strings.Count(string(text), "\r")+1 {
				t.Errorf("%v: %+v", err, e)
			}
			return
		}
		d.Mapping(root, "a test", map[string]Field{"a": func(n ast.Node) {
			var s string
			d.Text(n, "a", 10, &s)
			d.List(n, "a", func(n ast.Node) { d.Fail(n, "%s", Kind(n)) })
		}})
		_ = d.Errs.Err()
	})
}
