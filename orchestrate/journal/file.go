// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// formatVersion is raised when an older ukprobe could misread the file.
const formatVersion = 1

type op string

const (
	opOpen  op = "open"  // first line: whose journal this is
	opAdd   op = "add"   // about to be made (again: with newer data)
	opDel   op = "del"   // was undone
	opClose op = "close" // the owner gave it up with entries left
)

// line is one line of the file.
type line struct {
	Op      op     `json:"op"`
	Version int    `json:"version,omitempty"`
	Run     string `json:"run,omitempty"`
	*owner  `json:",omitempty"`
	*Entry  `json:",omitempty"`
}

func (l line) encode() ([]byte, error) {
	b, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// content is what a journal file says.
type content struct {
	run     string
	owner   owner
	closed  bool
	entries []Entry // in the order they were first recorded
	size    int64   // bytes up to the end of the last whole line
	bad     []error // whole lines that cannot be read
}

// parse reads a journal. A last line without its newline was being written when
// the owner was killed: the change it announces was never made, so it is dropped.
func parse(raw []byte) content {
	var c content
	for n := 1; ; n++ {
		text, rest, whole := bytes.Cut(raw, []byte{'\n'})
		if !whole {
			return c
		}
		raw = rest
		c.size += int64(len(text)) + 1
		if err := c.apply(text); err != nil {
			c.bad = append(c.bad, fmt.Errorf("line %d: %w", n, err))
		}
	}
}

func (c *content) apply(text []byte) error {
	l := line{owner: &owner{}, Entry: &Entry{}}
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("unreadable: %w", err)
	}
	switch l.Op {
	case opOpen:
		if l.Version != formatVersion {
			return fmt.Errorf("format version %d, this ukprobe reads %d: use the ukprobe that wrote it", l.Version, formatVersion)
		}
		c.run, c.owner = l.Run, *l.owner
	case opAdd, opDel:
		if l.Kind == "" || l.Name == "" {
			return fmt.Errorf("%s without kind or name", l.Op)
		}
		c.entries = change(c.entries, l.Op, *l.Entry)
	case opClose:
		c.closed = true
	default:
		return fmt.Errorf("unknown op %q", l.Op)
	}
	return nil
}

// change applies an add or a del to entries. An entry added again keeps its
// place and takes the newer data.
func change(entries []Entry, o op, e Entry) []Entry {
	i := slices.IndexFunc(entries, e.is)
	switch {
	case o == opDel && i >= 0:
		return slices.Delete(entries, i, i+1)
	case o == opAdd && i >= 0:
		entries[i] = e
	case o == opAdd:
		return append(entries, e)
	}
	return entries
}
