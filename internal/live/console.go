// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// Escape sequences of ECMA-48, and xterm's for a frame that is shown as a whole, which
// terminals that do not know it ignore.
const (
	beginFrame  = "\x1b[?2026h"
	endFrame    = "\x1b[?2026l"
	toEnd       = "\x1b[J"     // erase from the cursor to the end of the screen
	endOfLine   = "\x1b[K\r\n" // and of the line, and go on to the next
	upFormat    = "\x1b[%dA"
	startOfLine = "\r"
)

// console is mpb's way to the terminal (mpb.ConsoleWriter). mpb writes what goes above
// the area, then the area's lines, then calls Flush.
type console struct {
	out   *os.File
	above bytes.Buffer // what was printed since the last frame
	area  bytes.Buffer
	last  []string // the lines that are on the terminal
	drawn chan<- struct{}
}

// Write implements io.Writer: of what goes above.
func (c *console) Write(p []byte) (int, error) { return c.above.Write(p) }

// ReadFrom implements io.ReaderFrom: of the area's lines.
func (c *console) ReadFrom(r io.Reader) (int64, error) { return c.area.ReadFrom(r) }

// IsTerminal implements mpb.ConsoleWriter: who makes an area has asked.
func (c *console) IsTerminal() bool { return true }

// GetTermSize implements mpb.ConsoleWriter. mpb leaves out the first of the rows that
// do not fit, empty ones too: what fits the height is the area's matter.
func (c *console) GetTermSize() (width, height int, err error) {
	width, _ = size(c.out)
	return width, maxLines + 1, nil
}

// size is the terminal's. One that does not know it, such as a serial line, has the usual
// one.
func size(out *os.File) (width, height int) {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil || width < 1 || height < 1 {
		return 80, 24
	}
	return width, height
}

// Flush implements mpb.ConsoleWriter: it puts the frame in the place of the last one, in
// one write. The old one is erased line by line: tmux takes it for worth keeping if all of
// the screen from its first line on is erased at once. A terminal in raw mode needs the
// carriage returns too.
func (c *console) Flush(int) error {
	var b strings.Builder
	b.WriteString(beginFrame + startOfLine)
	if n := c.rows(); n > 0 {
		up := fmt.Sprintf(upFormat, n)
		b.WriteString(up + strings.Repeat(endOfLine, n) + toEnd + up)
	}
	b.WriteString(strings.ReplaceAll(c.above.String()+c.area.String(), "\n", "\r\n"))
	b.WriteString(endFrame)
	c.last = strings.Split(strings.TrimSuffix(c.area.String(), "\n"), "\n")
	if c.area.Len() == 0 {
		c.last = nil
	}
	c.above.Reset()
	c.area.Reset()
	_, err := io.WriteString(c.out, b.String())
	select {
	case c.drawn <- struct{}{}:
	default:
	}
	return err
}

// rows is how many rows of the terminal the last frame takes now: one that was made
// narrower since has wrapped its lines.
func (c *console) rows() int {
	width, height := size(c.out)
	n := 0
	for _, line := range c.last {
		n += max(1, (text.StringWidthWithoutEscSequences(line)+width-1)/width)
	}
	return min(n, height-1)
}
