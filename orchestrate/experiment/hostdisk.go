// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
)

// HostDisk looks at the disks of a guest that is not told to do anything: from its start
// until so long after it was ready.
func HostDisk(w matrix.Workload, timeout time.Duration) *During {
	return &During{Limit: w.Duration + timeout, Do: func(ctx context.Context, l *Live) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(w.Duration):
		}
		if l.Disk == nil { // there is nothing else to tell
			return errors.New(l.Sample.noDisk)
		}
		return l.hostFigures(probe.DiskIO{}, false)
	}}
}

// readDisk is what was seen so far of the guest's disks.
func (l *Live) readDisk() (probe.DiskIO, error) {
	if l.Disk == nil {
		return probe.DiskIO{}, nil
	}
	return l.Disk.Read()
}

// sinceReady is how long ago the guest was ready.
func (l *Live) sinceReady() time.Duration {
	t := l.Watch.Events()
	at, ok := t.At(t.ReadyEvent)
	if !ok {
		return 0
	}
	return time.Duration(monotonicNs() - at.NS)
}

// hostKinds are the kinds of calls, with what they are in values' names.
var hostKinds = []struct {
	name, count string
	of          func(probe.DiskIO) probe.DiskCalls
}{
	{"read", "reads", func(d probe.DiskIO) probe.DiskCalls { return d.Reads }},
	{"write", "writes", func(d probe.DiskIO) probe.DiskCalls { return d.Writes }},
	{"flush", "flushes", func(d probe.DiskIO) probe.DiskCalls { return d.Flushes }},
}

// hostFigures notes what the host did with the guest's disks since an earlier reading.
// busy: the guest says that it has used them.
func (l *Live) hostFigures(before probe.DiskIO, busy bool) error {
	if l.Disk == nil {
		l.hostLacks(l.Sample.noDisk)
		return nil
	}
	now, err := l.Disk.Read()
	if err != nil {
		return err
	}
	l.hostDid(now, now.Since(before), busy)
	return nil
}

// hostDid notes what was seen since an earlier reading, d. now is all that was seen since
// the guest's start: zeros count only if something was.
func (l *Live) hostDid(now, d probe.DiskIO, busy bool) {
	switch none := d.Reads.Count+d.Writes.Count+d.Flushes.Count+d.Unseen == 0; {
	case now.Calls+now.Unseen == 0:
		l.hostLacks("not one read or write of the guest's processes was seen, of whatever file: the host's hook has not shown that it works")
		return
	case none && busy:
		l.hostLacks("the guest has used its disk, and no system call on the disk's files was seen: the VMM reads and writes them in another way, or the hook does not know them")
		return
	}
	if d.Lost > 0 {
		l.Sample.Taint("%d system calls were not seen by the host's hook: its figures of the disk are too low", d.Lost)
	}
	if d.Unseen > 0 {
		l.Value("host_unseen_calls", float64(d.Unseen))
	}
	for _, k := range hostKinds {
		c := k.of(d)
		if d.Unseen > 0 && c.Count == 0 {
			l.Sample.Lacks("host_"+k.count, "the VMM asks by io_submit or io_uring, many at once: they are not looked into")
			continue
		}
		l.Value("host_"+k.count, float64(c.Count))
		if k.name != "flush" {
			l.Value("host_"+k.name+"_bytes", float64(c.Bytes))
		}
		if c.Errors > 0 {
			l.Sample.Taint("%d of the host's %s of the disk failed", c.Errors, k.count)
		}
		if c.Count == 0 {
			continue
		}
		prefix := "host_" + k.name + "_latency_"
		l.Value(prefix+"mean_ns", float64(c.Latency.Mean().Nanoseconds()))
		l.Value(prefix+"p50_ns", float64(c.Latency.Quantile(0.5).Nanoseconds()))
		l.Value(prefix+"p99_ns", float64(c.Latency.Quantile(0.99).Nanoseconds()))
		for class, n := range c.Sizes {
			if n > 0 {
				l.Value(fmt.Sprintf("host_%s_from_%d_bytes", k.count, 1<<class), float64(n))
			}
		}
	}
}

// hostLacks says why there is nothing of the host's.
func (l *Live) hostLacks(why string) {
	for _, k := range hostKinds {
		l.Sample.Lacks("host_"+k.count, why)
	}
}
