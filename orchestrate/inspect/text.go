// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText prints the report for a person. What a file says may hold anything:
// control characters are shown as such.
func (r *Report) WriteText(w io.Writer) error {
	p := &printer{tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.StripEscape)}
	p.line("%s", clean(r.File))
	p.line("  format\t%s", clean(r.Format))
	p.line("  size\t%d bytes", r.Size)
	if r.SHA256 != "" {
		p.line("  sha256\t%s", r.SHA256)
	}
	if r.Entry != 0 {
		p.line("  entry\t0x%x", uint64(r.Entry))
	}
	if r.PVH != 0 {
		p.line("  PVH entry\t0x%x", uint64(r.PVH))
	}
	if r.Linux != "" {
		p.line("  boot protocol\t%s", r.Linux)
	}
	if s := r.Solo5; s != nil {
		p.line("  Solo5\ttarget %s, ABI version %d, devices: %s", s.Target, s.ABI, orNone(s.Devices))
	}
	p.disk(r.Disk)
	p.layout(r.Layout)
	p.segments(r)
	p.program(r.Program)
	p.line("\nplatforms")
	for _, v := range r.Platforms {
		p.line("  %s\t%s\t%s", v.Platform, v.Can, clean(v.Why))
	}
	return p.Flush()
}

type printer struct{ *tabwriter.Writer }

// line keeps the first error for Flush, as the tabwriter does.
func (p *printer) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xff {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

func (p *printer) disk(d *Disk) {
	if d == nil {
		return
	}
	more := ""
	if d.Contents != "" {
		more = ", " + d.Contents
	}
	if d.Backing {
		more += ", needs its backing file"
	}
	p.line("  disk\t%s, %d bytes for the guest%s", d.Format, d.Virtual, more)
}

func (p *printer) layout(l *Layout) {
	if l == nil {
		return
	}
	for _, i := range l.Images {
		p.line("  image\t%s\t%s/%s\t%s", clean(i.Digest), clean(i.OS), clean(i.Arch), clean(i.Reference))
	}
}

func (p *printer) segments(r *Report) {
	if len(r.Segments) > 0 {
		p.line("\nload segments\tvirtual\tphysical\tin file\tin memory\tflags")
		for i, s := range r.Segments {
			p.line("  %d\t0x%x\t0x%x\t%d\t%d\t%s", i, uint64(s.Virtual), uint64(s.Physical), s.FileSize, s.Memory, s.Flags)
		}
	}
	if len(r.Sections) > 0 {
		p.line("\nsections\taddress\tsize\tflags")
		for _, s := range r.Sections {
			p.line("  %s\t0x%x\t%d\t%s", clean(s.Name), uint64(s.Address), s.Size, s.Flags)
		}
	}
}

func (p *printer) program(prog *Program) {
	if prog == nil {
		return
	}
	p.line("\nprogram for Linux")
	if prog.Interpreter == "" {
		p.line("  static: no loader, no libraries")
	} else {
		p.line("  loader\t%s", clean(prog.Interpreter))
		p.line("  libraries\tbelow %s", clean(prog.Root))
		for _, l := range prog.Libraries {
			at := clean(l.Path)
			if at == "" {
				at = "missing"
			}
			p.line("    %s\t%s", clean(l.Name), at)
		}
	}
	p.calls(prog)
}

// calls prints the system calls, by where they were found.
func (p *printer) calls(prog *Program) {
	heads := []struct{ where, head string }{
		{Own, "in the program itself"},
		{Called, "in libraries, on a path from what the program imports"},
		{Contained, "elsewhere in its libraries"},
	}
	p.line("\nsystem calls")
	for _, h := range heads {
		var names []string
		for _, c := range prog.Calls {
			if c.Where == h.where {
				names = append(names, c.label())
			}
		}
		if len(names) == 0 {
			p.line("  %s: none", h.head)
			continue
		}
		p.line("  %s (%d):", h.head, len(names))
		p.wrapped("    ", names)
	}
	if prog.Unknown > 0 {
		p.line("  %d instructions of the program make a call whose number is not in sight", prog.Unknown)
	}
	p.wrapped("  ", strings.Fields(prog.Limits))
}

// label is a call with the import that leads to it, where that is not its namesake.
func (c Call) label() string {
	name := c.Name
	if name == "" {
		name = fmt.Sprintf("number-%d", c.Number)
	}
	if c.Where != Called || c.By == name {
		return name
	}
	return name + "(" + clean(c.By) + ")"
}

// wrapped prints words in lines of at most 78 characters.
func (p *printer) wrapped(indent string, words []string) {
	const width = 78
	line := indent
	for _, w := range words {
		if len(line)+len(w) > width && line != indent {
			p.line("%s", strings.TrimRight(line, " "))
			line = indent
		}
		line += w + " "
	}
	p.line("%s", strings.TrimRight(line, " "))
}
