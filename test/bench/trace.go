// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/guests/reference"
)

// tally counts the events of a trace in text, as perf script and trace-cmd report
// write it: "… kvm:kvm_exit: vcpu 0 reason io rip 0x1018a0 …".
type tally struct {
	events uint64            // all of kvm
	exits  map[string]uint64 // kvm_exit by reason, in small letters
	byName map[string]uint64 // the others by tracepoint
	port   uint64            // kvm_pio: writes to the reference guest's port
	lost   uint64            // as perf's PERF_RECORD_LOST tells
}

var (
	// Reasons: the kernel's own text, or that of libtraceevent's plugin, EXIT_CPUID.
	// eventName finds the tracepoint and the rest of the line. trace-cmd leaves
	// "kvm:" out.
	eventName  = regexp.MustCompile(`(?:^|\s)(?:kvm:)?(kvm_[a-z_]+): +(.*)$`)
	exitReason = regexp.MustCompile(`(?:^|\s)reason (?:EXIT_(?:REASON_)?)?(\S+)`)
	portWrite  = regexp.MustCompile(`^pio_write at 0x([0-9a-f]+) size \d+ count (\d+)`)
	lostRecord = regexp.MustCompile(`PERF_RECORD_LOST lost (\d+)`)
)

func newTally() *tally { return &tally{exits: map[string]uint64{}, byName: map[string]uint64{}} }

// add takes one line; one that is no event of kvm is looked over.
func (t *tally) add(line string) {
	if m := lostRecord.FindStringSubmatch(line); m != nil {
		n, _ := strconv.ParseUint(m[1], 10, 64) // digits; too many mean 2^64-1
		t.lost += n
		return
	}
	m := eventName.FindStringSubmatch(line)
	if m == nil {
		return
	}
	t.events++
	switch m[1] {
	case "kvm_exit":
		if r := exitReason.FindStringSubmatch(m[2]); r != nil {
			t.exits[strings.ToLower(r[1])]++
		}
	case "kvm_pio":
		if w := portWrite.FindStringSubmatch(m[2]); w != nil && w[1] == strconv.FormatUint(reference.PIOPort, 16) {
			n, _ := strconv.ParseUint(w[2], 10, 64)
			t.port += n
		}
		fallthrough
	default:
		t.byName[m[1]]++
	}
}

// seen puts it as known answers. Where exits are seen, their reasons tell; else
// the tracepoints of their handlers do, as far as they were asked for.
func (t *tally) seen(asked func(tracepoint string) bool) map[answer]uint64 {
	out := map[answer]uint64{}
	if asked("kvm_pio") {
		out[portWrites] = t.port
	}
	if len(t.exits) > 0 {
		out[cpuids], out[halts] = t.exits["cpuid"], t.exits["hlt"]
		return out
	}
	if asked("kvm_cpuid") {
		out[cpuids] = t.byName["kvm_cpuid"]
	}
	if asked("kvm_vcpu_wakeup") {
		out[halts] = t.byName["kvm_vcpu_wakeup"]
	}
	return out
}

// tallyOf reads a whole text.
func tallyOf(text []byte) *tally {
	t := newTally()
	in := bufio.NewScanner(bytes.NewReader(text))
	for in.Scan() {
		t.add(in.Text())
	}
	return t
}
