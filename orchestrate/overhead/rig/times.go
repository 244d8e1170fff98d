// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/internal/paired"
)

// Times are those of one guest. None comes from a probe.
type Times struct {
	Ticks uint64        `json:"ticks"`   // guest's TSC from its first instruction to its ready line
	Pipe  time.Duration `json:"pipe_ns"` // from the start line's arrival on QEMU's stdout to the ready line's
	Boot  time.Duration `json:"boot_ns"` // from before QEMU's start to the ready line's arrival
}

// calibrations is how many guests the TSC's rate is taken from.
const calibrations = 3

// TicksPerNs measures the rate of the guests' TSC, in ticks per nanosecond: the
// median over a few runs of a guest's ticks over the time between the same two lines
// on the pipe. Runs have to be long because the first line is read late on a busy
// machine, some milliseconds.
func TicksPerNs(run func() (Times, error)) (float64, error) {
	var rates []float64
	for range calibrations {
		t, err := run()
		if err != nil {
			return 0, fmt.Errorf("measure the rate of the guest's TSC: %w", err)
		}
		rates = append(rates, float64(t.Ticks)/float64(t.Pipe))
	}
	return paired.Median(rates), nil
}

var (
	startLine  = regexp.MustCompile(reference.StartPattern)
	countsLine = regexp.MustCompile(reference.CountsPattern)
	readyLine  = regexp.MustCompile(reference.ReadyPattern + ` tsc=([0-9]+)$`)
)

// readLines takes the guest's three lines, and checks that it did its task.
func readLines(console io.Reader, task reference.Cmdline, begin time.Time) (t Times, err error) {
	in := bufio.NewScanner(console)
	var started time.Time
	var from, to uint64
	for in.Scan() {
		at, line := time.Now(), in.Text()
		if m := startLine.FindStringSubmatch(line); m != nil {
			started = at
			from, err = strconv.ParseUint(m[1], 10, 64)
		} else if countsLine.MatchString(line) {
			err = checkTask(task, line)
		} else if m := readyLine.FindStringSubmatch(line); m != nil {
			t.Pipe, t.Boot = at.Sub(started), at.Sub(begin)
			to, err = strconv.ParseUint(m[1], 10, 64)
		}
		if err != nil {
			return t, err
		}
	}
	if err := in.Err(); err != nil {
		return t, fmt.Errorf("read the guest's console: %w", err)
	}
	if from == 0 || to <= from {
		return t, fmt.Errorf("the guest's TSC went from %d to %d: it was not ready", from, to)
	}
	t.Ticks = to - from
	return t, nil
}

func checkTask(task reference.Cmdline, line string) error {
	did, err := reference.ParseCounts(line)
	if err != nil {
		return err
	}
	if did.PIO != uint64(task.PIO) || did.CPUID != uint64(task.CPUID) || did.HLT != uint64(task.HLT) {
		return fmt.Errorf("the guest did not do its task (%s): %s", task.String(), line)
	}
	return nil
}
