// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const tracefs = "/sys/kernel/tracing"

// traceCmdData is the file that trace-cmd record writes.
const traceCmdData = "trace.dat"

// traceCmd is trace-cmd record at work.
type traceCmd struct {
	*process
	dir string
}

// startTraceCmd records all events of kvm. What it says when it is ready stays in
// its buffer as long as it writes to no terminal; tracefs tells too: the events are
// on, and after them the ring buffer.
func startTraceCmd(ctx context.Context, t tool, dir string) (session, error) {
	p, err := launch(dir, nil, t.program, "record", "-C", "mono", "-e", "kvm", "-o", traceCmdData)
	if err != nil {
		return nil, err
	}
	seenOff := false // it switches the buffer off first
	err = p.wait(ctx, func() (bool, error) {
		on := tracefsIs("events/kvm/enable", "1") && tracefsIs("tracing_on", "1")
		seenOff = seenOff || !on
		return seenOff && on, nil
	})
	s := &traceCmd{process: p, dir: dir}
	if err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

func tracefsIs(file, want string) bool {
	text, err := os.ReadFile(filepath.Join(tracefs, file))
	return err == nil && strings.TrimSpace(string(text)) == want
}

// cancel also switches the events off: a trace-cmd that is killed leaves them on.
func (p *traceCmd) cancel() {
	p.process.cancel()
	_ = os.WriteFile(filepath.Join(tracefs, "events/kvm/enable"), []byte("0"), 0)
}

func (p *traceCmd) stop(ctx context.Context) (account, error) {
	var a account
	if err := p.interrupt(); err != nil {
		return a, err
	}
	a.CPU = p.cpu()
	info, err := os.Stat(filepath.Join(p.dir, traceCmdData))
	if err != nil {
		return a, fmt.Errorf("trace-cmd left no data: %w: %s", err, p.lastWords())
	}
	a.Bytes = info.Size()
	text, err := post(ctx, p.dir, "trace-cmd", "report", "-i", traceCmdData)
	if err != nil {
		return a, err
	}
	a.Seen = tallyOf(text).seen(func(string) bool { return true }) // it asked for all
	stats, err := post(ctx, p.dir, "trace-cmd", "report", "-i", traceCmdData, "--stat")
	if err != nil {
		return a, err
	}
	lost := overruns(string(stats))
	a.Lost = &lost
	return a, nil
}

// overrun finds what the kernel's ring buffer says of each CPU, as it is at the end
// of trace.dat: events overwritten, and events that found no place.
var overrun = regexp.MustCompile(`(?m)^\s*(?:overrun|commit overrun|dropped events): (\d+)`)

func overruns(stats string) uint64 {
	var sum uint64
	for _, m := range overrun.FindAllStringSubmatch(stats, -1) {
		n, _ := strconv.ParseUint(m[1], 10, 64)
		sum += n
	}
	return sum
}
