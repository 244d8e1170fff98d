// SPDX-License-Identifier: Apache-2.0

package main

import "strings"

// roff is a manual page that is being written, in the macros of man(7).
type roff struct{ b strings.Builder }

func (r *roff) line(s string) { r.b.WriteString(s + "\n") }

func (r *roff) section(name string) { r.line(".SH " + name) }

// text writes escaped text; a line must not begin like a macro.
func (r *roff) text(s string) {
	for line := range strings.SplitSeq(s, "\n") {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = "\\&" + line
		}
		r.line(line)
	}
}

// item is a tagged paragraph: a flag, a variable.
func (r *roff) item(head, body string) {
	r.line(".TP")
	r.text(head)
	r.text(body)
}

// paragraphs writes plain text of the help: empty lines are between paragraphs.
func (r *roff) paragraphs(s string) {
	for i, p := range strings.Split(s, "\n\n") {
		if i > 0 {
			r.line(".PP")
		}
		r.text(inline(strings.TrimSpace(p)))
	}
}

// example writes lines as they are.
func (r *roff) example(s string) {
	r.line(".EX")
	r.text(escaped(strings.TrimRight(s, "\n")))
	r.line(".EE")
}

// escaped makes text safe: it means what it says.
func escaped(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", `\&...`, "’", `\(cq`, "–", `\(en`, "µ", `\(mc`, "±", `\(+-`).Replace(s)
}

// inline is escaped, with what stands between backquotes in bold.
func inline(s string) string {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		if i%2 == 1 {
			b.WriteString(`\fB` + escaped(part) + `\fR`)
			continue
		}
		b.WriteString(escaped(part))
	}
	return b.String()
}

// quoted is an argument of a macro.
func quoted(s string) string { return `"` + strings.ReplaceAll(escaped(s), `"`, `\(dq`) + `"` }
