// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ukprobe/ukprobe/internal/units"
)

// Style says what the output device can show.
type Style struct {
	Width int  // columns; 0 means 100
	Rows  int  // lines that fit; 0 means no limit
	Color bool // escape sequences for colour
	ASCII bool // nothing but ASCII
	Sort  Sort
	// Details: why something was not counted, not only what. Only: nothing but that.
	Details, Only bool
	// How says how a person gets the details.
	How string
}

// Sort is the order of the VMs.
type Sort string

// The orders.
const (
	SortExits Sort = "exits" // most exits first
	SortUser  Sort = "vmm"   // most exits to the VMM first
	SortTime  Sort = "time"  // longest handling first
	SortName  Sort = "name"
)

// Sorts lists the orders.
var Sorts = []Sort{SortExits, SortUser, SortTime, SortName}

// ParseSort reads an order.
func ParseSort(text string) (Sort, error) {
	if s := Sort(text); slices.Contains(Sorts, s) {
		return s, nil
	}
	return "", fmt.Errorf("--sort %s: use exits, vmm, time or name", text)
}

func (s Style) width() int {
	const least = 30
	if s.Width <= 0 {
		return 100
	}
	return max(s.Width, least)
}

func (s Style) pick(utf8, ascii string) string {
	if s.ASCII {
		return ascii
	}
	return utf8
}

// bold marks headings. The text holds no escape sequences of others: all that
// comes from processes was cleaned.
func (s Style) bold(text string) string {
	if !s.Color {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

func (s Style) dim(text string) string {
	if !s.Color {
		return text
	}
	return "\x1b[2m" + text + "\x1b[0m"
}

// Write draws the report: a line for each VM, then each VM's reasons, then what
// is missing.
func (r Report) Write(w io.Writer, s Style) error {
	_, err := io.WriteString(w, strings.Join(r.lines(s), "\n")+"\n")
	return err
}

// lines draws the report, cut to the style's number of lines.
func (r Report) lines(s Style) []string {
	r.sort(s.Sort)
	out := append(s.wrap(r.heading(), 0), "")
	end := r.missing(s)
	if s.Only {
		out = append(out, end...)
	} else {
		out = append(out, r.summary(s)...)
		out = append(r.body(s, out, len(end)), end...)
	}
	if s.ASCII {
		for i := range out {
			out[i] = toASCII(out[i])
		}
	}
	if s.Rows > 0 && len(out) > s.Rows {
		out = out[:s.Rows]
	}
	return out
}

// body appends what is known of each VM, and leaves room for what comes after it:
// that much at most, and no more than half of the lines.
func (r Report) body(s Style, out []string, after int) []string {
	room := s.Rows - min(after+1, s.Rows/2)
	for i := range r.VMs {
		if s.Rows > 0 && len(out)+4 > room { // a heading, and something under it
			break
		}
		out = append(out, "")
		out = append(out, r.VMs[i].lines(s)...)
	}
	if s.Rows > 0 && after > 0 && len(out) > room {
		out = out[:room]
	}
	if after > 0 {
		out = append(out, "")
	}
	return out
}

// missing tells what was not counted in a paragraph, or each with its reason.
func (r Report) missing(s Style) []string {
	var out []string
	if len(r.Missing) == 0 {
		if s.Only {
			out = append(out, "nothing is missing: every hook is attached and has fired")
		}
		return out
	}
	if !s.Details && !s.Only {
		var what []string
		for _, m := range r.Missing {
			what = append(what, m.What)
		}
		text := "not counted here: " + strings.Join(what, ", ")
		if s.How != "" {
			text += " (" + s.How + ")"
		}
		return s.wrap(text, 0)
	}
	for _, m := range r.Missing {
		out = append(out, s.wrap("not counted: "+m.What+": "+m.Why, 0)...)
	}
	return out
}

func (r Report) heading() string {
	ended := 0
	for _, vm := range r.VMs {
		if vm.Ended {
			ended++
		}
	}
	text := fmt.Sprintf("%d VMs in %.3g s", len(r.VMs), r.Seconds)
	if len(r.VMs) == 1 {
		text = fmt.Sprintf("1 VM in %.3g s", r.Seconds)
	}
	if ended > 0 {
		text += fmt.Sprintf(", %d ended", ended)
	}
	if r.Forgotten > 0 {
		text += fmt.Sprintf(", %d more ended and are NOT SHOWN (no more are kept than --max-vms)", r.Forgotten)
	}
	if r.NotWatched > 0 {
		text += fmt.Sprintf(", %d NOT WATCHED for want of room (--max-vms)", r.NotWatched)
	}
	return text
}

func (r Report) sort(by Sort) {
	slices.SortStableFunc(r.VMs, func(a, b VMReport) int {
		n := 0
		switch by {
		case SortUser:
			n = cmp.Compare(sumOf(b.UserExits, Row.count), sumOf(a.UserExits, Row.count))
		case SortTime:
			n = cmp.Compare(sumOf(b.Exits, Row.sum), sumOf(a.Exits, Row.sum))
		case SortExits, "":
			n = cmp.Compare(b.exits(), a.exits())
		}
		return cmp.Or(n, strings.Compare(a.VM, b.VM))
	})
}

// sum is 0 of what is not known.
func (d *Dist) sum() uint64 {
	if d == nil {
		return 0
	}
	return d.SumNS
}

func (r Row) count() uint64 { return r.Count }

func sumOf(rows []Row, f func(Row) uint64) (n uint64) {
	for _, r := range rows {
		n += f(r)
	}
	return n
}

// exits is what a VM is ranked by: its exits, or those to the VMM where exits
// cannot be seen.
func (vm VMReport) exits() uint64 {
	return max(sumOf(vm.Exits, Row.count), sumOf(vm.UserExits, Row.count))
}

// column is a column of a table. The widest priority that fits is shown: columns
// with a high number go first where the terminal is narrow.
type column struct {
	head     string
	left     bool
	priority int
	cells    []string
}

// summary is a line for each VM.
func (r Report) summary(s Style) []string {
	var unmet []string
	for _, u := range r.Unmet {
		unmet = append(unmet, s.wrap(u, 0)...)
	}
	if len(r.VMs) == 0 {
		if len(unmet) == 0 {
			return []string{"no VM was seen"}
		}
		return unmet
	}
	cols := []column{{head: "VM", left: true}, {head: "VMM", left: true, priority: 7}, {head: "PID", priority: 5},
		{head: "EXITS/s"}, {head: "TO VMM/s", priority: 1}, {head: "LOST", priority: 3},
		{head: "GUEST", priority: 2}, {head: "KVM", priority: 3}, {head: "IN VMM", priority: 3}, {head: "HALTED", priority: 4}, {head: "WAITED", priority: 4},
		{head: "PORT IN/s", priority: 8}, {head: "PORT OUT/s", priority: 8}, {head: "FAULTS/s", priority: 8},
		{head: "FRAMES IN/s", priority: 6}, {head: "FRAMES OUT/s", priority: 6}}
	for _, vm := range r.VMs {
		for i, cell := range vm.summary() {
			cols[i].cells = append(cols[i].cells, cell)
		}
	}
	const optional = 6 // from here on
	return append(s.table(withoutEmpty(cols, optional), 0), unmet...)
}

// summary are a VM's cells, in the order of the columns above.
func (vm VMReport) summary() []string {
	name := vm.VM
	if vm.Ended {
		name += " (ended)"
	}
	value := func(key string) string {
		n, ok := vm.Values[key]
		if !ok {
			return "-"
		}
		return compact(rate(n, vm.Seconds))
	}
	share := func(known bool, ns uint64) string {
		if !known {
			return "-"
		}
		return percent(float64(ns)/1e9, vm.Seconds)
	}
	part := func(of func(PartsNS) int64) string {
		var sum int64
		known := false
		for _, row := range vm.Exits {
			if row.Parts != nil {
				known = true
				sum += of(*row.Parts)
			}
		}
		return share(known, uint64(sum))
	}
	lost := uint64(0)
	for _, n := range vm.Lost {
		lost += n
	}
	inGuest := sumOf(vm.Exits, func(row Row) uint64 { return row.InGuest.sum() })
	return []string{name, vm.VMM, fmt.Sprint(vm.PID), value("kvm_exits"), value("kvm_userspace_exits"), fmt.Sprint(lost),
		share(inGuest > 0, inGuest), part(func(p PartsNS) int64 { return p.KVM }), part(func(p PartsNS) int64 { return p.VMM }),
		share(vm.Halted != nil, vm.Halted.sum()), share(vm.Waited != nil, vm.Waited.sum()),
		value("pio_in"), value("pio_out"), value("page_faults"), value("frames_in"), value("frames_out")}
}

// withoutEmpty drops the columns, from the given one on, in which nothing is known.
func withoutEmpty(cols []column, from int) []column {
	return slices.DeleteFunc(cols, func(c column) bool {
		i := slices.IndexFunc(cols, func(o column) bool { return o.head == c.head })
		return i >= from && !slices.ContainsFunc(c.cells, func(cell string) bool { return cell != "-" })
	})
}

// lines are a VM's own tables.
func (vm VMReport) lines(s Style) []string {
	title := fmt.Sprintf("%s: %s, pid %d, %.3g s", vm.VM, vm.VMM, vm.PID, vm.Seconds)
	if vm.ISA != "" && len(vm.Exits) > 0 {
		title += ", reasons of " + strings.ToUpper(vm.ISA)
	}
	out := []string{s.bold(s.cut(title, s.width()))}
	if vm.Error != "" {
		out = append(out, s.wrap("incomplete: "+vm.Error, 2)...)
	}
	if len(vm.Exits)+len(vm.UserExits)+len(vm.Ports)+len(vm.Network) == 0 && vm.Halted == nil && vm.Waited == nil {
		switch {
		case vm.NoEvent && vm.Ended:
			out = append(out, "  no vCPU event until its end")
		case vm.NoEvent:
			out = append(out, "  no vCPU event yet")
		default:
			out = append(out, "  nothing happened")
		}
	}
	if len(vm.Exits) > 0 {
		out = append(out, s.rows("EXIT", vm.Exits, vm.Seconds)...)
	}
	if len(vm.UserExits) > 0 {
		out = append(out, s.rows("TO THE VMM", vm.UserExits, vm.Seconds)...)
	}
	out = append(out, vm.spans(s)...)
	if len(vm.Ports) > 0 {
		cols := []column{{head: "PORT", left: true}, {head: "", left: true}, {head: "COUNT"}, {head: "RATE/s", priority: 1}}
		for _, p := range vm.Ports {
			for i, c := range []string{p.Port, p.Direction, fmt.Sprint(p.Count), compact(p.Rate)} {
				cols[i].cells = append(cols[i].cells, c)
			}
		}
		out = append(out, s.table(cols, 2)...)
	}
	if len(vm.Network) > 0 {
		out = append(out, s.network(vm.Network)...)
	}
	if len(vm.Lost) > 0 {
		var parts []string
		for cause, n := range vm.Lost {
			parts = append(parts, fmt.Sprintf("%s %d", cause, n))
		}
		slices.Sort(parts)
		out = append(out, s.wrap("lost: "+strings.Join(parts, ", "), 2)...)
	}
	return out
}

// rows is the table of reasons.
func (s Style) rows(what string, rows []Row, seconds float64) []string {
	cols := []column{{head: what, left: true}, {head: "COUNT", priority: 2}, {head: "RATE/s"}, {head: "TIME", priority: 1},
		{head: "SHARE", priority: 3}, {head: "P50", priority: 5}, {head: "P99", priority: 4}, {head: "MAX", priority: 8},
		{head: "IN VMM", priority: 6}, {head: "HALTED", priority: 9}, {head: "WAITED", priority: 9}, {head: "IN GUEST", priority: 7}}
	for _, r := range rows {
		cells := []string{r.Reason, fmt.Sprint(r.Count), compact(r.Rate), "-", "-", "-", "-", "-", "-", "-", "-", "-"}
		if d := r.Handling; d != nil {
			cells[3], cells[4] = s.duration(int64(min(d.SumNS, math.MaxInt64))), percent(float64(d.SumNS)/1e9, seconds)
			cells[5], cells[6], cells[7] = s.duration(d.P50NS), s.duration(d.P99NS), s.duration(d.MaxNS)
		}
		if p, d := r.Parts, r.Handling; p != nil && d != nil {
			whole := float64(d.SumNS)
			cells[8], cells[9], cells[10] = percent(float64(p.VMM), whole), percent(float64(p.Halted), whole), percent(float64(p.Waited), whole)
		}
		if d := r.InGuest; d != nil {
			cells[11] = percent(float64(d.SumNS)/1e9, seconds)
		}
		for i, c := range cells {
			cols[i].cells = append(cols[i].cells, c)
		}
	}
	return s.table(withoutEmpty(cols, 3), 2)
}

// network is the table of requests on the network.
func (s Style) network(rows []NetworkRow) []string {
	cols := []column{{head: "REQUEST", left: true}, {head: "ANSWERED BY", left: true}, {head: "ANSWERS"}, {head: "P50", priority: 2}, {head: "P99", priority: 1},
		{head: "MAX", priority: 4}, {head: "UNANSWERED", priority: 3}, {head: "REPEATED", priority: 5}, {head: "REFUSED", priority: 5}}
	for _, r := range rows {
		cells := []string{r.Kind, r.Side, "0", "-", "-", "-", fmt.Sprint(r.Unanswered), fmt.Sprint(r.Repeated), fmt.Sprint(r.Refused)}
		if d := r.Answer; d != nil {
			cells[2], cells[3], cells[4], cells[5] = fmt.Sprint(d.Count), s.duration(d.P50NS), s.duration(d.P99NS), s.duration(d.MaxNS)
		}
		for i, c := range cells {
			cols[i].cells = append(cols[i].cells, c)
		}
	}
	return s.table(cols, 2)
}

// spans is the table of what happened to the vCPUs' threads.
func (vm VMReport) spans(s Style) []string {
	var rows []Row
	for name, d := range map[string]*Dist{"halted": vm.Halted, "waited for a CPU": vm.Waited} {
		if d != nil {
			rows = append(rows, Row{Reason: name, Count: d.Count, Rate: rate(d.Count, vm.Seconds), Handling: d})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.Reason, b.Reason) })
	return s.rows("VCPUS", rows, vm.Seconds)
}

// table lays columns out, leaving out those that do not fit.
func (s Style) table(cols []column, indent int) []string {
	const gap = 2
	widths := func() (ws []int, total int) {
		total = indent - gap
		for _, c := range cols {
			w := utf8.RuneCountInString(c.head)
			for _, cell := range c.cells {
				w = max(w, utf8.RuneCountInString(cell))
			}
			ws = append(ws, w)
			total += w + gap
		}
		return ws, total
	}
	// First a long name gives way, then columns, then the rest of the name.
	const enough = 24
	ws, total := widths()
	shrink := func(least int) {
		if by := min(total-s.width(), ws[0]-least); by > 0 {
			ws[0] -= by
			total -= by
		}
	}
	shrink(enough)
	for total > s.width() {
		last := slices.MaxFunc(cols, func(a, b column) int { return cmp.Compare(a.priority, b.priority) })
		if last.priority == 0 {
			break
		}
		cols = slices.DeleteFunc(slices.Clone(cols), func(c column) bool { return c.head == last.head })
		ws, total = widths()
		shrink(enough)
	}
	shrink(8)
	line := func(cell func(c column) string) string {
		var b strings.Builder
		b.WriteString(strings.Repeat(" ", indent))
		for i, c := range cols {
			text := s.cut(cell(c), ws[i])
			pad := strings.Repeat(" ", ws[i]-utf8.RuneCountInString(text))
			if i > 0 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			if c.left {
				b.WriteString(text + pad)
			} else {
				b.WriteString(pad + text)
			}
		}
		return strings.TrimRight(b.String(), " ")
	}
	out := []string{s.dim(line(func(c column) string { return c.head }))}
	for i := range cols[0].cells {
		out = append(out, line(func(c column) string { return c.cells[i] }))
	}
	return out
}

// cut shortens a text to so many characters.
func (s Style) cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(width-1, 0)]) + s.pick("…", "~")
}

// wrap breaks a text at spaces; the lines after the first are indented further.
func (s Style) wrap(text string, indent int) []string {
	var out []string
	line := strings.Repeat(" ", indent)
	for _, word := range strings.Fields(text) {
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > s.width() && strings.TrimSpace(line) != "" {
			out = append(out, line)
			line = strings.Repeat(" ", indent+2)
		}
		if strings.TrimSpace(line) != "" {
			line += " "
		}
		line += word
	}
	return append(out, line)
}

func toASCII(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 'µ':
			return 'u'
		case r > 0x7e:
			return '?'
		}
		return r
	}, text)
}

// duration writes three digits of a duration in nanoseconds.
func (s Style) duration(ns int64) string { return units.Style{ASCII: s.ASCII}.Duration(float64(ns)) }

// compact writes a rate in three digits and a unit, without a gap: columns are narrow.
func compact(v float64) string {
	if v != 0 && v < 9999.5 {
		return units.Number(v)
	}
	return strings.Replace(units.Count(v), " ", "", 1)
}

// percent of so many seconds. With several vCPUs it can be more than 100.
func percent(part, seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*part/seconds)
}
