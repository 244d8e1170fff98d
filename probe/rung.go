// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"slices"
	"strings"
)

// Rung is an attach mechanism of the kernel. It is part of every result: the
// same hook costs and sees slightly different things on different rungs.
type Rung string

// The rungs, from the cheapest to the dearest per event (KERNEL.md, "What
// things cost"), then those of network devices.
const (
	Fentry     Rung = "fentry"     // BPF trampoline; function's arguments and result by BTF. Linux 5.5, modules 5.11.
	TPBTF      Rung = "tp_btf"     // BTF-typed raw tracepoint. Linux 5.5, modules 5.11.
	RawTP      Rung = "raw_tp"     // Raw tracepoint. Linux 4.17.
	Kprobe     Rung = "kprobe"     // kprobe and kretprobe. CONFIG_KPROBES.
	Tracepoint Rung = "tracepoint" // Classic tracepoint's record; needs tracefs.
	TCX        Rung = "tcx"        // tc express link. Linux 6.6.
	Clsact     Rung = "clsact"     // clsact qdisc with a bpf filter. Linux 4.5.
)

// Auto lets the ladder choose.
const Auto Rung = "auto"

// ladder is the order in which rungs are tried.
var ladder = []Rung{Fentry, Kprobe, TPBTF, RawTP, Tracepoint}

// ParseRung returns the rung that a person named, or an error that lists them.
// Only rungs that can be asked for are accepted: a device's tcx or clsact is
// always chosen by the kernel.
func ParseRung(s string) (Rung, error) {
	if r := Rung(s); r == Auto || slices.Contains(ladder, r) {
		return r, nil
	}
	return "", fmt.Errorf("attach %q: no such rung: use one of %s", s, strings.Join(RungWords(), ", "))
}

// RungWords are the words that [ParseRung] takes.
func RungWords() []string {
	words := []string{string(Auto)}
	for _, r := range ladder {
		words = append(words, string(r))
	}
	return words
}

// order returns the rungs to try for a hook that has the given ones.
//
// With want = auto it is the ladder's order. Otherwise the wanted rung comes
// first and, unless strict, the rest of the ladder after it. A hook that does
// not exist on the wanted rung at all (exec has no kprobe) keeps its own order
// even when strict: strictness forbids falling back, not being without.
func order(have []Rung, want Rung, strict bool) []Rung {
	var out []Rung
	if want != Auto && slices.Contains(have, want) {
		if out = append(out, want); strict {
			return out
		}
	}
	for _, r := range ladder {
		if slices.Contains(have, r) && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}
