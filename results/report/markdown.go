// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Markdown writes the document as GitHub Flavored Markdown. What guests and programs
// said is escaped, so that none of it is markup.
func (d *Document) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# ukprobe report\n\n")
	for i := range d.Sources {
		s := &d.Sources[i]
		fmt.Fprintf(&b, "- %s\n", EscapeMarkdown(s.describe()))
	}
	for _, line := range d.Warnings {
		fmt.Fprintf(&b, "\n> **Warning:** %s\n", EscapeMarkdown(line))
	}
	for i := range d.Grids {
		d.Grids[i].markdown(&b)
	}
	if len(d.Images) > 0 {
		b.WriteString("\n## Images\n\n")
		for _, line := range d.Images {
			fmt.Fprintf(&b, "- %s\n", EscapeMarkdown(line))
		}
	}
	d.markdownMethod(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// markdownMethod says how each run was made, and with which command lines.
func (d *Document) markdownMethod(b *strings.Builder) {
	b.WriteString("\n## Method and host\n")
	for i := range d.Sources {
		m := method(&d.Sources[i])
		fmt.Fprintf(b, "\n### Run %s\n\n", EscapeMarkdown(m.Label))
		for _, f := range slices.Concat(m.Run, m.Host, m.Settings) {
			fmt.Fprintf(b, "- %s: %s\n", EscapeMarkdown(f.Name), EscapeMarkdown(f.Text))
		}
		for _, t := range []figureTable{m.Cells, m.Launches} {
			if len(t.Rows) > 0 {
				fmt.Fprintf(b, "\n%s:\n\n", EscapeMarkdown(t.Name))
				t.markdown(b)
			}
		}
	}
}

func (t figureTable) markdown(b *strings.Builder) {
	for i, r := range append([][]string{t.Head}, t.Rows...) {
		words := make([]string, len(r))
		for j := range r {
			words[j] = EscapeMarkdown(r[j])
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(words, " | "))
		if i == 0 {
			b.WriteString("|" + strings.Repeat(" --- |", len(r)) + "\n")
		}
	}
}

func (g *Grid) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", EscapeMarkdown(g.heading()))
	if g.Absent != "" {
		b.WriteString(EscapeMarkdown(g.Absent) + "\n")
		return
	}
	var head, rule []string
	for _, h := range g.Heads {
		head, rule = append(head, EscapeMarkdown(h)), append(rule, "---")
	}
	for _, c := range g.Columns {
		head, rule = append(head, EscapeMarkdown(c.heading())), append(rule, "--:")
		if c.Words() {
			rule[len(rule)-1] = "---"
		}
	}
	fmt.Fprintf(b, "| %s |\n| %s |\n", strings.Join(head, " | "), strings.Join(rule, " | "))
	for _, r := range g.Rows {
		var row []string
		for _, h := range r.Heads {
			row = append(row, EscapeMarkdown(h))
		}
		for _, e := range r.Entries {
			words := EscapeMarkdown(joined(Options{}.entryWords(e)))
			row = append(row, strings.TrimSpace(words+" "+EscapeMarkdown(marks(e.Notes))))
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteByte('\n')
	for i, n := range g.Notes {
		fmt.Fprintf(b, "\\[%d\\] %s  \n", i+1, EscapeMarkdown(n))
	}
	for _, line := range g.Legend {
		fmt.Fprintf(b, "\n%s\n", EscapeMarkdown(line))
	}
}

// markup are the characters that mean something to Markdown inside of a line, and those
// that begin an HTML tag or an entity.
var markup = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "~", `\~`, "<", "&lt;", ">", "&gt;", "&", "&amp;",
	"://", ":&#47;/", "@", "&#64;", "www.", "www&#46;", "$", `\$`)

// EscapeMarkdown makes a text safe inside of a line of Markdown. Addresses in it become no links.
func EscapeMarkdown(s string) string {
	s = markup.Replace(Options{}.Clean(s))
	if s != "" && strings.ContainsRune("#-+=0123456789", rune(s[0])) { // would begin a heading or a list at the start of a line
		if s[0] < '0' || s[0] > '9' {
			return `\` + s
		}
	}
	return s
}
