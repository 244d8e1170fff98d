// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// perfRecord is perf record or perf kvm stat record at work.
type perfRecord struct {
	*process
	dir     string
	events  []string // tracepoints that it records
	control []*os.File
}

// perfKVMEvents are what perf kvm stat record records on x86
// (tools/perf/arch/x86/util/kvm-stat.c: kvm_events_tp).
var perfKVMEvents = []string{"kvm_entry", "kvm_exit", "kvm_mmio", "kvm_pio"}

// perfStat: perf kvm stat record, all guests of the host.
func perfStat(ctx context.Context, t tool, dir string) (session, error) {
	return startPerf(ctx, dir, perfKVMEvents, t.program, "kvm", "stat", "record") // it does not let -B through
}

// perfEvents: perf record of some tracepoints. More arguments are perf record's. Build
// ids are not wanted: perf would read every program's file at its end.
func perfEvents(events []string, args ...string) func(context.Context, tool, string) (session, error) {
	return func(ctx context.Context, t tool, dir string) (session, error) {
		return startPerf(ctx, dir, events, append([]string{t.program, "record", "-B", "-N", "-e", "kvm:" + strings.Join(events, ",kvm:")}, args...)...)
	}
}

// perfData is the file that perf record writes.
const perfData = "perf.data"

// startPerf starts it with its events off, and switches them on by its control
// pipe: its answer says that they are. The pipe stays open: perf 6.1 gives up when it
// is closed ("Thread and evlist pollfd index mismatch").
func startPerf(ctx context.Context, dir string, events []string, argv ...string) (session, error) {
	control, toPerf, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	fromPerf, answer, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), control.Close(), toPerf.Close())
	}
	argv = append(argv, "-a", "-D", "-1", "--control=fd:3,4", "-o", perfData)
	p, err := launch(dir, []*os.File{control, answer}, argv...)
	if err = errors.Join(err, control.Close(), answer.Close()); err != nil {
		return nil, errors.Join(err, toPerf.Close(), fromPerf.Close())
	}
	s := &perfRecord{process: p, dir: dir, events: events, control: []*os.File{toPerf, fromPerf}}
	if err := enablePerf(ctx, p, toPerf, fromPerf); err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// cancel also closes the control pipe.
func (p *perfRecord) cancel() {
	p.process.cancel()
	p.closeControl()
}

func (p *perfRecord) closeControl() {
	for _, f := range p.control {
		_ = f.Close() // of a pipe
	}
	p.control = nil
}

// enablePerf writes the command and waits for the answer (man perf-record, --control).
func enablePerf(ctx context.Context, p *process, to io.Writer, from *os.File) error {
	if _, err := io.WriteString(to, "enable\n"); err != nil {
		return fmt.Errorf("it ended: %s", p.lastWords())
	}
	var got []byte
	return p.wait(ctx, func() (bool, error) {
		if err := from.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			return false, fmt.Errorf("wait for perf: %w", err)
		}
		buf := make([]byte, 16)
		n, _ := from.Read(buf) // its end is the process's, which wait sees
		got = append(got, buf[:n]...)
		return bytes.Contains(got, []byte("ack\n")), nil
	})
}

func (p *perfRecord) stop(ctx context.Context) (account, error) {
	var a account
	if err := p.interrupt(); err != nil {
		return a, err
	}
	p.closeControl()
	a.CPU = p.cpu()
	info, err := os.Stat(filepath.Join(p.dir, perfData))
	if err != nil {
		return a, fmt.Errorf("perf left no data: %w: %s", err, p.lastWords())
	}
	a.Bytes = info.Size()
	text, err := post(ctx, p.dir, "perf", "script", "-i", perfData, "--show-lost-events", "-F", "event,trace")
	if err != nil {
		return a, err
	}
	t := tallyOf(text)
	a.Seen = t.seen(func(tp string) bool { return slices.Contains(p.events, tp) })
	stats, err := post(ctx, p.dir, "perf", "report", "-i", perfData, "--stats")
	if err != nil {
		return a, err
	}
	lost := max(t.lost, lostSamples(stats))
	a.Lost = &lost
	return a, nil
}

var (
	statsOf   = regexp.MustCompile(`^(\S+) stats:$`)
	statsLost = regexp.MustCompile(`^\s*LOST_SAMPLES events:\s+(\d+)`)
)

// lostSamples adds up what the kernel says was lost, by event (Linux 6.0): in the
// part of perf report --stats that is by event. There LOST_SAMPLES is a number of
// samples; above it, of records.
func lostSamples(stats []byte) uint64 {
	var sum uint64
	kvm := false
	for line := range strings.Lines(string(stats)) {
		line = strings.TrimRight(line, "\n")
		if m := statsOf.FindStringSubmatch(line); m != nil {
			kvm = strings.HasPrefix(m[1], "kvm:")
		} else if m := statsLost.FindStringSubmatch(line); m != nil && kvm {
			n, _ := strconv.ParseUint(m[1], 10, 64)
			sum += n
		}
	}
	return sum
}

// perfLive is perf kvm stat live: it prints a table each second.
type perfLive struct{ *process }

// startPerfLive waits for the first table.
func startPerfLive(ctx context.Context, t tool, dir string) (session, error) {
	p, err := launch(dir, nil, t.program, "kvm", "stat", "live", "-d", "1", "-a")
	if err != nil {
		return nil, err
	}
	if err := p.wait(ctx, func() (bool, error) { return strings.Contains(p.text(), "VM-EXIT"), nil }); err != nil {
		p.cancel()
		return nil, err
	}
	return perfLive{p}, nil
}

func (p perfLive) stop(ctx context.Context) (account, error) {
	var a account
	if err := pause(ctx, 2500*time.Millisecond); err != nil { // the last table
		return a, err
	}
	if err := p.interrupt(1, 255); err != nil { // its statuses when it is interrupted
		return a, err
	}
	text := p.text()
	exits := exitTable(text)
	a.CPU, a.Bytes, a.Lost = p.cpu(), int64(len(text)), lostLive(text)
	a.Seen = map[answer]uint64{ioExits: exits["io"], cpuids: exits["cpuid"], halts: exits["hlt"]}
	return a, nil
}

// exitRow is a line of perf kvm stat's table: reason, samples, per cent.
var exitRow = regexp.MustCompile(`^\s*(\S(?:.*\S)?)\s+(\d+)\s+[0-9.]+%`)

// exitTable adds the samples up by reason, over all tables in the text.
func exitTable(text string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.Lines(text) {
		if m := exitRow.FindStringSubmatch(line); m != nil {
			n, _ := strconv.ParseUint(m[2], 10, 64)
			out[strings.ToLower(m[1])] += n
		}
	}
	return out
}

var liveLost = regexp.MustCompile(`Lost events: (\d+)`)

// lostLive: perf kvm stat live tells of lost events only if there were some
// (tools/perf/builtin-kvm.c: print_result).
func lostLive(text string) *uint64 {
	var sum uint64
	for _, m := range liveLost.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.ParseUint(m[1], 10, 64)
		sum += n
	}
	return &sum
}
