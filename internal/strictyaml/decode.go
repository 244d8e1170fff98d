// SPDX-License-Identifier: Apache-2.0

package strictyaml

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"github.com/ukprobe/ukprobe/internal/suggest"
)

// Decoder takes values out of the YAML tree. It is stricter than decoding into a
// struct: nothing is converted, and every mistake has its place. What cannot be
// taken is noted in Errs and left as it was.
type Decoder struct {
	Source *Source
	Errs   ErrorList
}

// Fail notes a mistake at a node.
func (d *Decoder) Fail(n ast.Node, format string, args ...any) {
	if d.Errs.full() { // a quotation from a long line takes its time
		d.Errs.more++
		return
	}
	d.Errs.Add(d.Source.ErrorAt(At(n), format, args...))
}

// Field decodes one key's value.
type Field func(value ast.Node)

// Mapping calls the field of every key that n has, and reports keys that are
// unknown or come twice. It returns the keys that were there.
func (d *Decoder) Mapping(n ast.Node, what string, fields map[string]Field) map[string]bool {
	seen := map[string]bool{}
	values, ok := mappingValues(n)
	if !ok {
		d.Fail(n, "%s is a mapping (key: value), not %s", what, Kind(n))
		return seen
	}
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			d.Fail(v.Key, "a key of %s is a plain word", what)
			continue
		}
		decode, known := fields[key.Value]
		switch {
		case !known:
			hint := ""
			if !d.Errs.full() {
				hint = suggest.DidYouMean(key.Value, slices.Sorted(maps.Keys(fields)))
			}
			d.Fail(key, "unknown key %q in %s%s", key.Value, what, hint)
		case seen[key.Value]:
			d.Fail(key, "the key %q comes twice in %s", key.Value, what)
		default:
			seen[key.Value] = true
			decode(v.Value)
		}
	}
	return seen
}

func mappingValues(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// Kind names a node's type in a person's words.
func Kind(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.SequenceType:
		return "a list"
	case ast.NullType:
		return "nothing"
	case ast.BoolType:
		return "a truth value (put quotes around it if it is a text)"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number (put quotes around it if it is a text)"
	case ast.StringType, ast.LiteralType:
		return "a text"
	}
	return strings.ToLower(n.Type().String())
}

// kindOnly is Kind without the advice for texts.
func kindOnly(n ast.Node) string {
	return strings.ReplaceAll(Kind(n), " (put quotes around it if it is a text)", "")
}

// NamePattern is what a name is.
var NamePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Name decodes a name.
func (d *Decoder) Name(n ast.Node, what string, out *string) bool {
	var s string
	if !d.String(n, what, &s) {
		return false
	}
	if !NamePattern.MatchString(s) {
		d.Fail(n, "%s %q is not a name: lower-case letters, digits, and . _ - after the first, at most 64", what, s)
		return false
	}
	*out = s
	return true
}

// String decodes a text.
func (d *Decoder) String(n ast.Node, what string, out *string) bool {
	switch n := n.(type) {
	case *ast.StringNode:
		*out = n.Value
		return true
	case *ast.LiteralNode:
		*out = n.Value.Value
		return true
	}
	d.Fail(n, "%s is a text, not %s", what, Kind(n))
	return false
}

// Text decodes a text of one line that is passed on to a program or shown.
func (d *Decoder) Text(n ast.Node, what string, longest int, out *string) bool {
	var s string
	if !d.String(n, what, &s) {
		return false
	}
	if len(s) > longest {
		d.Fail(n, "%s has %d bytes, more than %d", what, len(s), longest)
		return false
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		d.Fail(n, "%s has a control character (%q): it is one line of plain text", what, []rune(s[i:])[0])
		return false
	}
	*out = s
	return true
}

// maxPath is PATH_MAX without its zero byte.
const maxPath = 4095

// Path decodes a path, as the file means it: relative to its folder.
func (d *Decoder) Path(n ast.Node, what string, out *string) bool {
	var s string
	if !d.Text(n, what, maxPath, &s) {
		return false
	}
	if s == "" {
		d.Fail(n, "%s is empty: leave it out, or name a file", what)
		return false
	}
	*out = BesideFile(d.Source.Name, s)
	return true
}

// BesideFile is a path that stands in the file: relative to the file's folder.
func BesideFile(file, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(file), path)
}

// Regexp decodes a regular expression of at most so many bytes.
func (d *Decoder) Regexp(n ast.Node, what string, longest int, out *string) {
	var s string
	if !d.Text(n, what, longest, &s) {
		return
	}
	if s == "" {
		d.Fail(n, "%s is empty and would match every line: leave it out", what)
		return
	}
	if _, err := regexp.Compile(s); err != nil {
		d.Fail(n, "%s is not a regular expression: %v", what, err)
		return
	}
	*out = s
}

// OneOf decodes one of a few words.
func (d *Decoder) OneOf(n ast.Node, what string, words []string, out *string) {
	var s string
	if !d.String(n, what, &s) {
		return
	}
	if !slices.Contains(words, s) {
		d.Fail(n, "%s %q is none of %s%s", what, s, strings.Join(words, ", "), suggest.DidYouMean(s, words))
		return
	}
	*out = s
}

// Bool decodes true or false.
func (d *Decoder) Bool(n ast.Node, what string, out *bool) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		d.Fail(n, "%s is true or false, not %s", what, kindOnly(n))
		return
	}
	*out = b.Value
}

// List calls item for each item of a list.
func (d *Decoder) List(n ast.Node, what string, item func(n ast.Node)) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.Fail(n, "%s is a list, not %s", what, kindOnly(n))
		return
	}
	for _, v := range seq.Values {
		item(v)
	}
}

// Items are a list's, or the one value that stands in its place. Of an empty list it fails,
// and says what would come of it.
func (d *Decoder) Items(n ast.Node, what, then string) []ast.Node {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return []ast.Node{n}
	}
	if len(seq.Values) == 0 {
		d.Fail(n, "%s is an empty list: %s", what, then)
	}
	return seq.Values
}

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// Integer decodes a decimal number. YAML's other forms (010 is eight, 1_000)
// are refused: whoever writes them rarely means what YAML reads.
func (d *Decoder) Integer(n ast.Node, what string, least, most int, out *int) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		d.Fail(n, "%s is a whole number, not %s", what, kindOnly(n))
		return
	}
	text := i.GetToken().Value
	if !decimal.MatchString(text) {
		d.Fail(n, "%s %q is not a plain decimal number", what, text)
		return
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < least || v > most {
		if least == most {
			d.Fail(n, "%s %s is not known: this ukprobe reads %s %d", what, text, what, least)
			return
		}
		d.Fail(n, "%s %s is not between %d and %d", what, text, least, most)
		return
	}
	*out = v
}

// Duration decodes a span of time, from 1 ms to 24 hours.
func (d *Decoder) Duration(n ast.Node, what string, out *time.Duration) {
	if _, isNumber := n.(*ast.IntegerNode); isNumber {
		d.Fail(n, "%s has no unit: write %ss for seconds", what, n.GetToken().Value)
		return
	}
	var s string
	if !d.String(n, what, &s) {
		return
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		d.Fail(n, "%s %q is not a span of time such as 30s, 1m30s or 500ms", what, s)
		return
	}
	if v < time.Millisecond || v > 24*time.Hour {
		d.Fail(n, "%s %s is not between 1ms and 24h", what, s)
		return
	}
	*out = v
}
