// SPDX-License-Identifier: Apache-2.0

package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of a file, so that a hostile one cannot exhaust the machine.
const (
	MaxFileSize = 1 << 20 // bytes
	MaxLine     = 8192    // bytes of one line
	maxDepth    = 16      // of nested lists and mappings in [] and {}
)

// Format is a kind of file.
type Format struct {
	Name     string // with its article removed: "matrix file"
	Whole    string // what the file is: "a matrix has version and cells", for an empty one
	Instead  string // of anchors and aliases: "use defaults, or a list"
	MaxItems int    // of all lists with dashes together
}

// Load reads and parses the file at path.
func Load(f Format, path string) (*Decoder, ast.Node, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	return Parse(f, path, text)
}

// Parse returns a decoder and the root of a file's only document. The name is for errors; each is
// an *Error.
func Parse(f Format, name string, text []byte) (*Decoder, ast.Node, error) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // byte order mark
	src := newSource(name, text)
	if err := checkText(src, text); err != nil {
		return nil, nil, err
	}
	root, err := f.parse(src, text)
	if err != nil {
		return nil, nil, err
	}
	return &Decoder{Source: src}, root, nil
}

// checkText refuses what must not reach the YAML parser, or an excerpt.
func checkText(src *Source, text []byte) error {
	if len(text) > MaxFileSize {
		return src.ErrorAt(Pos{1, 1}, "the file is larger than %d bytes", MaxFileSize)
	}
	for i, line := range bytes.Split(text, []byte("\n")) {
		if len(line) > MaxLine {
			return src.ErrorAt(Pos{i + 1, 1}, "the line is longer than %d bytes", MaxLine)
		}
		col := 0
		for off := 0; off < len(line); {
			r, n := utf8.DecodeRune(line[off:])
			col++
			if r == utf8.RuneError && n == 1 {
				return src.ErrorAt(Pos{i + 1, col}, "byte %#02x is not UTF-8", line[off])
			}
			if r < ' ' && r != '\t' && r != '\r' || r == 0x7f {
				return src.ErrorAt(Pos{i + 1, col}, "control character %#02x", r)
			}
			off += n
		}
	}
	return nil
}

// parse returns the only document's root.
func (f Format) parse(src *Source, text []byte) (ast.Node, error) {
	tokens := lexer.Tokenize(string(text))
	if err := f.checkTokens(src, tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, yamlError(src, err)
	}
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			return nil, src.ErrorAt(At(doc.Body), "a second document: a %s has one", f.Name)
		}
		root = doc.Body
	}
	if root == nil {
		return nil, src.ErrorAt(Pos{1, 1}, "the file is empty: %s", f.Whole)
	}
	return root, nil
}

// checkTokens refuses the parts of YAML that are not needed and that can be made to
// explode: aliases, tags, directives, and nesting without end, on which a recursive
// parser runs out of stack. It also bounds the list items: go-yaml 1.19 takes time
// with the square of their number, minutes for a file of dashes.
func (f Format) checkTokens(src *Source, tokens token.Tokens) error {
	flow := 0 // open [ and {
	items := 0
	var blocks []int // columns of the open block lists and mappings
	for _, t := range tokens {
		p := tokenAt(t)
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return src.ErrorAt(p, "anchors, aliases and merge keys are not part of a %s: %s", f.Name, f.Instead)
		case token.TagType:
			return src.ErrorAt(p, "tags are not part of a %s", f.Name)
		case token.DirectiveType:
			return src.ErrorAt(p, "directives are not part of a %s", f.Name)
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType:
			items++
			fallthrough
		case token.MappingKeyType, token.MappingValueType:
			if flow <= 0 {
				blocks = openBlock(blocks, t)
			}
		}
		if flow > maxDepth || len(blocks) > maxDepth {
			return src.ErrorAt(p, "nested deeper than %d", maxDepth)
		}
		if items > f.MaxItems {
			return src.ErrorAt(p, "more than %d list items", f.MaxItems)
		}
	}
	return nil
}

// openBlock adds the column of an item to those of the blocks around it: the
// blocks that began at its column or right of it have ended.
func openBlock(blocks []int, t *token.Token) []int {
	col := tokenAt(t).Col
	if t.Type == token.MappingValueType && t.Prev != nil {
		col = tokenAt(t.Prev).Col // the key's: the colon is behind it
	}
	for len(blocks) > 0 && blocks[len(blocks)-1] >= col {
		blocks = blocks[:len(blocks)-1]
	}
	return append(blocks, col)
}

// yamlError turns the parser's error into one of ours.
func yamlError(src *Source, err error) error {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		return src.ErrorAt(tokenAt(y.GetToken()), "%s", clean(y.GetMessage()))
	}
	return src.ErrorAt(Pos{1, 1}, "%s", clean(err.Error()))
}

// clean: the parser quotes what it found as it is.
func clean(message string) string {
	return strings.Map(printable, strings.ReplaceAll(message, "\t", `\t`))
}

func tokenAt(t *token.Token) Pos {
	if t == nil || t.Position == nil {
		return Pos{1, 1}
	}
	return Pos{t.Position.Line, t.Position.Column}
}

// At is where a node begins.
func At(n ast.Node) Pos {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		return tokenAt(m.Values[0].Key.GetToken()) // its own token is the first colon
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		return tokenAt(m.Key.GetToken())
	}
	return tokenAt(n.GetToken())
}
