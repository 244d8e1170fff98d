// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Style says what the output device can show.
type Style struct {
	Color bool // escape sequences
	ASCII bool // nothing but ASCII
}

var titles = map[string]string{
	groupPrivileges: "Privileges", groupKernel: "Kernel", groupConfig: "Kernel options", groupHooks: "Hooks",
	groupKVM: "KVM", groupPrograms: "Programs", groupCgroups: "Cgroups", groupNetwork: "Network",
	groupCPUs: "CPUs", groupHost: "Host",
}

// mark is a status in front of a line.
func (s Style) mark(st Status) string {
	marks := map[Status][2]string{OK: {"✓", "ok"}, Warn: {"!", "!!"}, Fail: {"✗", "no"}}
	colors := map[Status]text.Color{OK: text.FgGreen, Warn: text.FgYellow, Fail: text.FgRed}
	m := marks[st][0]
	if s.ASCII {
		m = marks[st][1]
	}
	if s.Color {
		m = colors[st].EscapeSeq() + m + text.Reset.EscapeSeq()
	}
	return m
}

func (s Style) arrow() string {
	if s.ASCII {
		return "->"
	}
	return "→"
}

// plain replaces what an ASCII device cannot show.
func (s Style) plain(t string) string {
	if !s.ASCII {
		return t
	}
	t = strings.ReplaceAll(t, "…", "...")
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, t)
}

// WriteText writes the report for a person: a line per check, with the remedy
// below the ones that are not OK.
func (r *Report) WriteText(w io.Writer, s Style) error {
	var b strings.Builder
	fmt.Fprintf(&b, "ukprobe %s on Linux %s, %s\n", r.Ukprobe, r.Kernel, r.CPU)
	for i, c := range r.Checks {
		if i == 0 || c.Group != r.Checks[i-1].Group {
			fmt.Fprintf(&b, "\n%s\n", titles[c.Group])
			s.writeGroup(&b, r.inGroup(c.Group))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", r.conclusion(s))
	_, err := io.WriteString(w, s.plain(b.String()))
	return err
}

func (r *Report) inGroup(name string) []Check {
	return slices.DeleteFunc(slices.Clone(r.Checks), func(c Check) bool { return c.Group != name })
}

func (s Style) writeGroup(b *strings.Builder, checks []Check) {
	width := 0
	for _, c := range checks {
		width = max(width, len(c.Name))
	}
	var notes []string
	for _, c := range checks {
		found := clean(c.Found)
		if c.Hook != nil {
			found += refusedNotes(c.Hook, &notes)
		}
		fmt.Fprintf(b, "  %s %-*s  %s\n", s.mark(c.Status), width, c.Name, found)
		if c.Remedy != "" {
			fmt.Fprintf(b, "      %s %s\n", s.arrow(), c.Remedy)
		}
	}
	for i, n := range notes {
		fmt.Fprintf(b, "  [%d] %s\n", i+1, n)
	}
}

// clean drops what would control a terminal: some of it was said by programs.
func clean(t string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text.StripEscape(t))
}

// refusedNotes lists the better rungs, each with the number of the note that
// says why it could not be had.
func refusedNotes(h *Hook, notes *[]string) string {
	var parts []string
	for _, r := range h.Refused {
		note := r.Rung + ": " + r.Reason
		i := slices.Index(*notes, note)
		if i < 0 {
			i = len(*notes)
			*notes = append(*notes, note)
		}
		parts = append(parts, fmt.Sprintf("%s [%d]", r.Rung, i+1))
	}
	if len(parts) == 0 {
		return ""
	}
	return "; refused: " + strings.Join(parts, ", ")
}

func (r *Report) conclusion(s Style) string {
	counts := fmt.Sprintf("%d %s  %d %s  %d %s", r.count(OK), s.mark(OK), r.count(Warn), s.mark(Warn), r.count(Fail), s.mark(Fail))
	switch {
	case !r.CanRun:
		return fmt.Sprintf("%s\n`ukprobe run` cannot run here: see %s.", counts, strings.Join(r.BlockedBy, ", "))
	case r.count(Fail) > 0:
		return counts + "\n`ukprobe run` can run here, but not all of its cells or events are to be had."
	}
	return counts + "\n`ukprobe run` can run here."
}
