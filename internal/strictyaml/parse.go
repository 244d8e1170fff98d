// SPDX-License-Identifier: Apache-2.0

package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// Limits of a file, so that a hostile one cannot exhaust the machine.
const (
	MaxFileSize = 1 << 20 // bytes
	MaxLine     = 8192    // bytes of one line
	maxDepth    = 16      // of nested lists and mappings in [] and {}
	maxFlow     = 50_000  // commas and opening brackets of [] and {} in the file
	maxKeys     = 1000    // of one mapping without braces
	maxMarks    = 16      // "---" and "...": a file has one document, but some may be empty
)

// Format is a kind of file.
type Format struct {
	Name     string // with its article removed: "matrix file"
	Whole    string // what the file is: "a matrix has version and cells", for an empty one
	Instead  string // of anchors and aliases: "use defaults, or a list"
	MaxItems int    // of all lists with dashes together
}

// Load reads and parses the file at path. It waits for nothing: what is no regular file,
// such as a named pipe or a terminal, is refused.
func Load(f Format, path string) (*Decoder, ast.Node, error) {
	file, err := regular.Open(path)
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
// parser runs out of stack. It also bounds list items, what is in brackets and the keys
// of a mapping, and documents: go-yaml 1.19 takes time with the square of their number,
// minutes for a file of dashes, commas, keys or documents.
func (f Format) checkTokens(src *Source, tokens token.Tokens) error {
	var c counts
	for _, t := range tokens {
		p := tokenAt(t)
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return src.ErrorAt(p, "anchors, aliases and merge keys are not part of a %s: %s", f.Name, f.Instead)
		case token.TagType:
			return src.ErrorAt(p, "tags are not part of a %s", f.Name)
		case token.DirectiveType:
			return src.ErrorAt(p, "directives are not part of a %s", f.Name)
		}
		c.add(t)
		switch {
		case c.depth > maxDepth || len(c.blocks) > maxDepth:
			return src.ErrorAt(p, "nested deeper than %d", maxDepth)
		case c.marks > maxMarks:
			return src.ErrorAt(p, "more than %d times --- or ...: a %s has one document", maxMarks, f.Name)
		case c.items > f.MaxItems:
			return src.ErrorAt(p, "more than %d list items", f.MaxItems)
		case c.flow > maxFlow:
			return src.ErrorAt(p, "more than %d commas and brackets of lists and mappings in [] and {}", maxFlow)
		case len(c.blocks) > 0 && c.blocks[len(c.blocks)-1].keys > maxKeys:
			return src.ErrorAt(p, "more than %d keys in one mapping", maxKeys)
		}
	}
	return nil
}

// counts is what checkTokens has seen.
type counts struct {
	depth  int // open [ and {
	flow   int // commas in them, and those ever opened
	items  int // with dashes
	marks  int // of documents: --- and ...
	blocks []block
}

// block is an open list or mapping without brackets.
type block struct{ col, keys int }

func (c *counts) add(t *token.Token) {
	switch t.Type {
	case token.SequenceStartType, token.MappingStartType:
		c.depth++
		c.flow++
	case token.CollectEntryType:
		c.flow++
	case token.SequenceEndType, token.MappingEndType:
		c.depth--
	case token.DocumentHeaderType, token.DocumentEndType:
		c.marks++
	case token.SequenceEntryType:
		c.items++
		fallthrough
	case token.MappingKeyType, token.MappingValueType:
		if c.depth <= 0 {
			c.openBlock(t)
		}
	}
}

// openBlock adds an item to the block in its column: the blocks that began right of it
// have ended.
func (c *counts) openBlock(t *token.Token) {
	b := block{col: tokenAt(t).Col}
	if t.Type == token.MappingValueType && t.Prev != nil {
		b.col = tokenAt(t.Prev).Col // the key's: the colon is behind it
	}
	for n := len(c.blocks); n > 0 && c.blocks[n-1].col >= b.col; n-- {
		if c.blocks[n-1].col == b.col {
			b.keys = c.blocks[n-1].keys // the list of a key may begin in its column
		}
		c.blocks = c.blocks[:n-1]
	}
	if t.Type != token.SequenceEntryType {
		b.keys++
	}
	c.blocks = append(c.blocks, b)
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
