// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
)

// HookStatus is what became of one hook.
type HookStatus struct {
	Hook  string
	Tells string // what it is good for
	// Rung is the one that it got, or "" if none could be had.
	Rung Rung
	// OnDemand: it is attached only while a guest needs it.
	OnDemand bool
	// Refused holds, for each better rung that was tried, why it was refused.
	Refused []Refusal
	// Hits is how often it has fired, for whatever process of the host. A hook
	// that never fired has not proven itself alive.
	Hits uint64
	// RunCount and RecursionMisses are the kernel's own counts.
	RecursionMisses uint64
}

// Refusal is one rung that could not be had.
type Refusal struct {
	Rung   Rung
	Reason string
}

// Why puts the refusals into one line.
func (s HookStatus) Why() string {
	parts := make([]string, 0, len(s.Refused))
	for _, r := range s.Refused {
		parts = append(parts, fmt.Sprintf("%s: %s", r.Rung, r.Reason))
	}
	return strings.Join(parts, "; ")
}

// state is a hook at run time.
type state struct {
	hook     *hook
	rung     Rung
	refused  []Refusal
	attached []attached
	users    int // watches that hold an on-demand hook
}

// attachHook climbs the ladder: the first rung on which all the programs of the
// hook go in is the hook's. It returns an error only if none does.
func (l *loader) attachHook(h *hook, want Rung, strict bool) *state {
	s := &state{hook: h}
	for _, rung := range order(h.have(), want, strict) {
		done, err := l.attachAll(h, rung)
		if err == nil {
			s.rung, s.attached = rung, done
			return s
		}
		s.refused = append(s.refused, Refusal{Rung: rung, Reason: explain(err, rung)})
	}
	return s
}

func (l *loader) attachAll(h *hook, rung Rung) ([]attached, error) {
	var done []attached
	for _, p := range h.rungs[rung] {
		a, err := l.attach(h, rung, p)
		if err != nil {
			return nil, errors.Join(err, closeAll(done))
		}
		done = append(done, a)
	}
	return done, nil
}

func closeAll(as []attached) error {
	var errs []error
	for _, a := range as {
		errs = append(errs, a.Close())
	}
	return errors.Join(errs...)
}

func (s *state) detach() error {
	err := closeAll(s.attached)
	s.attached = nil
	return err
}

// explain shortens what the kernel said to one line with its usual cause.
func explain(err error, rung Rung) string {
	var ve *ebpf.VerifierError
	text := err.Error()
	if errors.As(err, &ve) {
		text = ve.Error()
	}
	text, _, _ = strings.Cut(text, "\n")
	const most = 160
	if len(text) > most {
		text = text[:most] + "…"
	}
	switch {
	case rung == Kprobe && strings.Contains(text, "trace_kprobe") || rung == Kprobe && strings.Contains(text, "kprobe_events"):
		return "the kernel has no kprobes (CONFIG_KPROBES): " + text
	case rung == Tracepoint && strings.Contains(text, "tracefs"):
		return "tracefs is not mounted (mount -t tracefs none /sys/kernel/tracing): " + text
	}
	return text
}
