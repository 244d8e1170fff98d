// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Parse parses a matrix file. The name is for errors, and paths in the file
// are relative to its folder. All mistakes found are returned at once, each an
// *Error; names are not looked up, that is Check's.
func Parse(name string, text []byte) (*Matrix, error) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // byte order mark
	src := newSource(name, text)
	if err := checkText(src, text); err != nil {
		return nil, err
	}
	root, err := parseYAML(src, text)
	if err != nil {
		return nil, err
	}
	d := &decoder{src: src}
	m := d.file(root)
	if err := d.errs.err(); err != nil {
		return nil, err
	}
	return m, nil
}

// checkText refuses what must not reach the YAML parser, or an excerpt.
func checkText(src *source, text []byte) error {
	if len(text) > MaxFileSize {
		return src.errorAt(pos{1, 1}, "the file is larger than %d bytes", MaxFileSize)
	}
	for i, line := range bytes.Split(text, []byte("\n")) {
		if len(line) > MaxLine {
			return src.errorAt(pos{i + 1, 1}, "the line is longer than %d bytes", MaxLine)
		}
		col := 0
		for off := 0; off < len(line); {
			r, n := utf8.DecodeRune(line[off:])
			col++
			if r == utf8.RuneError && n == 1 {
				return src.errorAt(pos{i + 1, col}, "byte %#02x is not UTF-8", line[off])
			}
			if r < ' ' && r != '\t' && r != '\r' || r == 0x7f {
				return src.errorAt(pos{i + 1, col}, "control character %#02x", r)
			}
			off += n
		}
	}
	return nil
}

// parseYAML returns the only document's root.
func parseYAML(src *source, text []byte) (ast.Node, error) {
	tokens := lexer.Tokenize(string(text))
	if err := checkTokens(src, tokens); err != nil {
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
			return nil, src.errorAt(at(doc.Body), "a second document: a matrix file has one")
		}
		root = doc.Body
	}
	if root == nil {
		return nil, src.errorAt(pos{1, 1}, "the file is empty: a matrix has version and cells")
	}
	return root, nil
}

// checkTokens refuses the parts of YAML that a matrix does not need and that
// can be made to explode: aliases, tags, directives, and nesting without end,
// on which a recursive parser runs out of stack. It also bounds the list items:
// go-yaml 1.19 takes time with the square of their number, minutes for a file
// of dashes.
func checkTokens(src *source, tokens token.Tokens) error {
	flow := 0 // open [ and {
	items := 0
	var blocks []int // columns of the open block lists and mappings
	for _, t := range tokens {
		p := tokenAt(t)
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return src.errorAt(p, "anchors, aliases and merge keys are not part of a matrix file: use defaults, or a list")
		case token.TagType:
			return src.errorAt(p, "tags are not part of a matrix file")
		case token.DirectiveType:
			return src.errorAt(p, "directives are not part of a matrix file")
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
			return src.errorAt(p, "nested deeper than %d", maxDepth)
		}
		if items > maxItems {
			return src.errorAt(p, "more than %d list items", maxItems)
		}
	}
	return nil
}

// openBlock adds the column of an item to those of the blocks around it: the
// blocks that began at its column or right of it have ended.
func openBlock(blocks []int, t *token.Token) []int {
	col := tokenAt(t).col
	if t.Type == token.MappingValueType && t.Prev != nil {
		col = tokenAt(t.Prev).col // the key's: the colon is behind it
	}
	for len(blocks) > 0 && blocks[len(blocks)-1] >= col {
		blocks = blocks[:len(blocks)-1]
	}
	return append(blocks, col)
}

// yamlError turns the parser's error into one of ours.
func yamlError(src *source, err error) error {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		return src.errorAt(tokenAt(y.GetToken()), "%s", y.GetMessage())
	}
	return src.errorAt(pos{1, 1}, "%v", err)
}

func tokenAt(t *token.Token) pos {
	if t == nil || t.Position == nil {
		return pos{1, 1}
	}
	return pos{t.Position.Line, t.Position.Column}
}

func at(n ast.Node) pos {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		return tokenAt(m.Values[0].Key.GetToken()) // its own token is the first colon
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		return tokenAt(m.Key.GetToken())
	}
	return tokenAt(n.GetToken())
}
