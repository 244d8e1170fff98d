// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
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
	// Missed is how often the kernel could not run the hook's programs: recursion,
	// or no room for another return probe.
	Missed uint64
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
	users    int    // watches that hold an on-demand hook
	past     uint64 // runs missed by programs that are detached
}

// attachHook climbs the ladder: the first rung on which all the programs of the
// hook go in is the hook's. It returns an error only if none does.
func (l *loader) attachHook(h *hook, want Rung, strict bool) *state {
	s := &state{hook: h}
	if want == Auto && h.first != "" {
		want = h.first
	}
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

// status is what came of attaching it.
func (s *state) status() HookStatus {
	return HookStatus{Hook: s.hook.name, Tells: s.hook.tells, Rung: s.rung, OnDemand: s.hook.onDemand, Refused: s.refused, Missed: s.missed()}
}

// missed is how often the kernel has not run the hook's programs.
func (s *state) missed() uint64 {
	n := s.past
	for _, a := range s.attached {
		n += a.missed()
	}
	return n
}

func (s *state) detach() error {
	s.past = s.missed()
	err := closeAll(s.attached)
	s.attached = nil
	return err
}

// explain says in a short sentence why a rung could not be had. What is not
// recognised stays the kernel's own words, cut to one line.
func explain(err error, rung Rung) string {
	var reasons, absent []string
	for _, e := range alternatives(err) {
		if name := absentTarget(e); name != "" {
			absent = append(absent, name)
		} else {
			reasons = append(reasons, whyRefused(e, rung))
		}
	}
	// That the other vendor's function is not there is no news if this one's is
	// refused.
	if len(reasons) == 0 && len(absent) > 0 {
		return noTarget(absent, rung)
	}
	slices.Sort(reasons)
	return strings.Join(slices.Compact(reasons), "; ")
}

// alternatives takes apart what errors.Join put together; an error of one text
// that wraps several others stays one.
func alternatives(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	var texts []string
	for _, e := range joined.Unwrap() {
		out = append(out, alternatives(e)...)
		texts = append(texts, e.Error())
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []error{err}
	}
	return out
}

// absentPatterns find the name of what to attach to in the errors of
// cilium/ebpf for one that the kernel does not have: of a program by BTF, of a
// kprobe (first by perf event, then by tracefs), of a raw tracepoint, and of a
// tracepoint's id.
var absentPatterns = []*regexp.Regexp{
	regexp.MustCompile(`(?:fentry|fexit|raw_tp) (\S+) not supported$`),
	regexp.MustCompile(`^(\w+): .*token \S+: not found`),
	regexp.MustCompile(`^(\w+): no such file or directory$`),
	regexp.MustCompile(`^(\w+/\w+): .*/id: no such file or directory$`),
}

// absentTarget is the function or tracepoint that the kernel does not have, or
// "" if that is not what the error is about.
func absentTarget(err error) string {
	text := err.Error()
	for _, re := range absentPatterns {
		if m := re.FindStringSubmatch(text); m != nil {
			return m[1]
		}
	}
	return ""
}

// noTarget names what is not there and the modules that would bring it.
func noTarget(names []string, rung Rung) string {
	var modules []string
	for _, name := range names {
		for prefix, module := range map[string]string{"svm_": "kvm_amd", "vmx_": "kvm_intel", "kvm": "kvm", "tun_": "tun"} {
			if strings.HasPrefix(name, prefix) {
				modules = append(modules, module)
			}
		}
	}
	what := "tracepoint"
	if rung == Fentry || rung == Kprobe {
		what = "function"
	}
	text := fmt.Sprintf("no %s %s in this kernel", what, strings.Join(names, " or "))
	if len(modules) > 0 {
		slices.Sort(modules)
		text += fmt.Sprintf(" (%s not loaded?)", strings.Join(slices.Compact(modules), " or "))
	}
	return text
}

// whyRefused is the sentence for an error that is not about a missing target.
func whyRefused(err error, rung Rung) string {
	text := err.Error()
	var rejected *ebpf.VerifierError
	if errors.As(err, &rejected) {
		if strings.Contains(strings.Join(rejected.Log, "\n"), coreRefused) {
			return "this kernel's type information lacks what the program reads (a module without BTF: Linux before 5.11?)"
		}
		return firstLine("the kernel's verifier rejects the program: " + lastLine(rejected.Log))
	}
	refused := errors.Is(err, os.ErrPermission)
	unsupported := errors.Is(err, ebpf.ErrNotSupported)
	switch {
	case strings.Contains(text, "neither debugfs nor tracefs"):
		return "tracefs is not mounted (mount -t tracefs none /sys/kernel/tracing)"
	case rung == Kprobe && errors.Is(err, os.ErrNotExist) && strings.Contains(text, "/kprobe_events:"):
		return "the kernel has no kprobes (CONFIG_KPROBES)"
	case rung == Fentry && unsupported:
		return "the kernel has no BPF trampolines on functions (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)"
	case rung == TCX && unsupported:
		return "the kernel has no tcx (Linux 6.6)"
	case rung == Fentry && refused:
		return "the kernel forbids BPF trampolines on functions (EPERM: a security policy, or no CAP_BPF and CAP_PERFMON)"
	case refused:
		return "the kernel forbids it (EPERM: a security policy, or no CAP_BPF and CAP_PERFMON)"
	}
	return firstLine(text)
}

// coreRefused is what the verifier says of an instruction that a CO-RE relocation
// has spoilt because the type is not there (0xbad2310).
const coreRefused = "195896080"

// lastLine is the last line of a verifier's log that says something of the program.
func lastLine(log []string) string {
	for _, line := range slices.Backward(log) {
		if line != "" && !strings.HasPrefix(line, "processed ") {
			return line
		}
	}
	return "without a word"
}

// firstLine cuts a message to what fits on a line.
func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if r := []rune(text); len(r) > maxReason {
		return string(r[:maxReason]) + "…"
	}
	return text
}

// maxReason is the length of a reason, in characters, that a person still reads.
const maxReason = 160
