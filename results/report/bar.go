// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/results"
)

// segment is one piece of a bar. Its mark tells it apart without colour.
type segment struct {
	name, utf8, ascii string
	color             text.Color
	ns                int64
	columns           int
}

// bar writes the phases as one bar of the whole width, and its key. Where a phase
// has parts, these are drawn in its place. Time of the total that no phase covers
// is drawn too.
func (o Options) bar(b *strings.Builder, p results.Phases, firmware string) {
	segs := pieces(p, o.Clean(firmwareName(firmware)))
	if len(segs) == 0 {
		return
	}
	share(segs, o.width())
	var key []string
	for _, s := range segs {
		glyph := o.Pick(s.utf8, s.ascii)
		b.WriteString(o.Paint(s.color, strings.Repeat(glyph, s.columns)))
		key = append(key, o.Paint(s.color, glyph)+" "+s.name+" "+o.duration(float64(s.ns)))
	}
	b.WriteString("\n" + o.lines(key) + "\n")
}

// lines puts the words of a key beside one another, as many as fit on a line.
func (o Options) lines(words []string) string {
	const gap = "   "
	out, column := "", 0
	for _, w := range words {
		n := text.StringWidthWithoutEscSequences(w)
		switch {
		case out == "":
		case column+len(gap)+n > o.width():
			out, column = out+"\n", 0
		default:
			out, column = out+gap, column+len(gap)
		}
		out, column = out+w, column+n
	}
	return out
}

func firmwareName(name string) string {
	switch name {
	case "":
		return "firmware"
	case "seabios":
		return "SeaBIOS"
	}
	return name
}

// pieces are the phases to draw, in their order.
func pieces(p results.Phases, firmware string) []segment {
	vmm := segment{name: "VMM", utf8: "▒", ascii: "-", color: text.FgBlue}
	bios := segment{name: firmware, utf8: "░", ascii: "+", color: text.FgYellow}
	rom := segment{name: "option ROM", utf8: "▚", ascii: "o", color: text.FgMagenta}
	setup := segment{name: "setup", utf8: "▤", ascii: "s", color: text.FgRed}
	unpack := segment{name: "decompress", utf8: "▓", ascii: "=", color: text.FgCyan}
	guest := segment{name: "guest", utf8: "█", ascii: "#", color: text.FgGreen}
	kernel := guest
	kernel.name = "kernel"
	rest := segment{name: "in no phase", utf8: "·", ascii: ".", color: text.Faint}

	all := []segment{vmm.of(p.VMMNs)}
	all = append(all, split(bios.of(p.FirmwareNs), bios.of(p.BIOSNs), rom.of(p.OptionROMNs))...)
	all = append(all, split(guest.of(p.GuestNs), setup.of(p.SetupNs), unpack.of(p.DecompressNs), kernel.of(p.KernelNs))...)
	var covered int64
	for _, s := range all {
		covered += s.ns
	}
	if p.TotalNs != nil {
		all = append(all, rest.of(new(*p.TotalNs-covered)))
	}
	return slices.DeleteFunc(all, func(s segment) bool { return s.ns <= 0 })
}

// of is the segment with its time, 0 for a phase that is missing.
func (s segment) of(ns *int64) segment {
	if ns != nil {
		s.ns = *ns
	}
	return s
}

// split returns the parts in place of the whole if they add up to it, or if there is
// no whole: of a guest that never became ready.
func split(whole segment, parts ...segment) []segment {
	var sum int64
	for _, p := range parts {
		sum += p.ns
	}
	if sum == whole.ns || whole.ns == 0 {
		return parts
	}
	return []segment{whole}
}

// share divides the columns among the segments in proportion to their time, by
// largest remainder, with at least one column for each.
func share(segs []segment, columns int) {
	var total float64
	for _, s := range segs {
		total += float64(s.ns)
	}
	free := columns - len(segs)
	left := free
	remainders := make([]float64, len(segs))
	order := make([]int, len(segs))
	for i := range segs {
		exact := float64(free) * float64(segs[i].ns) / total
		segs[i].columns = 1 + int(exact)
		left -= int(exact)
		remainders[i], order[i] = exact-float64(int(exact)), i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(remainders[b], remainders[a]) })
	for _, i := range order[:max(0, min(left, len(order)))] {
		segs[i].columns++
	}
}
