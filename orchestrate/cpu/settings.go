// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ukprobe/ukprobe/internal/hostfile"
	"github.com/ukprobe/ukprobe/internal/lockfile"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
)

// Settings are wanted of the host while a run lasts. What is empty is not touched.
type Settings struct {
	Governor string         // of cpufreq, for all CPUs
	Turbo    string         // on, off
	SMT      string         // on, off
	CStates  *time.Duration // idle states with a longer exit latency are disabled
	THP      string         // always, madvise, never
	KSM      string         // on, off
	ASLR     string         // full, partial, off
	IRQsAway bool           // see [Host.MoveIRQs]
}

// Words of Settings.
const (
	on  = "on"
	off = "off"
)

// Host is the host as it was set. Each file that was written is in the journal with
// its old value first; the journal's Rollback, or [UndoSetting], puts it back.
type Host struct {
	root    string
	journal *journal.Journal
	set     []*knob
	failed  []string // taints
	dry     bool     // nothing is written: set are those that would be, or are so already
	unlock  func()

	// PutBack is what killed runs had set, and was put back before anything was set.
	PutBack journal.Report
}

// knob is one file that holds a setting.
type knob struct {
	setting string // governor, …
	path    string // without the leading slash
	want    string // as it is written
	was     string
	list    bool // the value is a list of CPUs
}

// lockPath is held (flock) by a run that has changed settings: of two runs each would
// put back what the other has set. It is a file that every kernel has, so that none is
// left behind.
const lockPath = "/proc/sys/kernel/randomize_va_space"

// lockWait is how long the lock is waited for: a `ukprobe clean` has it for a moment, a
// run for hours.
const lockWait = time.Second

// settled is true while this process holds the lock, refused after it could not have it.
var settled, refused atomic.Bool

// takeLock waits so long for the lock. It is this process's until unlock is called.
func takeLock(ctx context.Context, wait time.Duration) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	release, err := lockfile.Take(ctx, lockPath, nil)
	if err != nil {
		return nil, err
	}
	settled.Store(true)
	return func() {
		settled.Store(false)
		release()
	}, nil
}

// SetHost sets the host. What this machine does not have, or refuses, is no error but
// one of the Host's Taints. Needs root. The caller calls [Host.Close] once the journal
// has been rolled back.
func SetHost(ctx context.Context, j *journal.Journal, s Settings) (*Host, error) {
	h := &Host{root: "/", journal: j}
	if s == (Settings{}) {
		return h, nil
	}
	var err error
	if h.unlock, err = takeLock(ctx, lockWait); err != nil {
		return nil, fmt.Errorf("set the host's CPUs, which another run of ukprobe has set: wait for its end: %w", err)
	}
	if h.PutBack, err = j.CleanKind(ctx, KindSetting, UndoSetting); err != nil {
		h.Close()
		return nil, fmt.Errorf("put back what a killed run has set, before setting the host's CPUs: %w", err)
	}
	if err := h.apply(s); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Close lets other runs set the host.
func (h *Host) Close() {
	if h != nil && h.unlock != nil {
		h.unlock()
		h.unlock = nil
	}
}

// apply sets everything but the interrupts. SMT is the first: it says which CPUs there
// are.
func (h *Host) apply(s Settings) error {
	return errors.Join(
		h.smt(s.SMT),
		h.governor(s.Governor),
		h.turbo(s.Turbo),
		h.cstates(s.CStates),
		h.one("thp", s.THP, "sys/kernel/mm/transparent_hugepage/enabled", map[string]string{"always": "always", "madvise": "madvise", "never": "never"}),
		h.one("ksm", s.KSM, "sys/kernel/mm/ksm/run", map[string]string{on: "1", off: "0"}),
		h.one("aslr", s.ASLR, "proc/sys/kernel/randomize_va_space", map[string]string{"full": "2", "partial": "1", off: "0"}),
	)
}

// fail notes why a setting is not as it is wanted.
func (h *Host) fail(setting, format string, args ...any) {
	h.failed = append(h.failed, setting+" not set: "+fmt.Sprintf(format, args...))
}

// one is a setting of one file.
func (h *Host) one(setting, word, path string, values map[string]string) error {
	if word == "" {
		return nil
	}
	value, ok := values[word]
	if !ok {
		return fmt.Errorf("set %s: %q is none of %s", setting, word, strings.Join(slices.Sorted(maps.Keys(values)), ", "))
	}
	return h.write(&knob{setting: setting, path: path, want: value})
}

func (h *Host) smt(word string) error {
	if word == "" {
		return nil
	}
	path := sysCPU + "smt/control"
	now, ok := h.have("smt", path)
	switch {
	case !ok:
		return nil
	case word == off && now != on: // off, forceoff, notsupported, notimplemented
		return nil
	case word == on && now != on && now != off:
		h.fail("smt", "this machine says %s", now)
		return nil
	}
	return h.one("smt", word, path, map[string]string{on: on, off: off})
}

func (h *Host) governor(name string) error {
	if name == "" {
		return nil
	}
	cpus, err := onlineCPUs(h.fs())
	if err != nil {
		return err
	}
	had := false
	for _, c := range cpus {
		dir := fmt.Sprintf("%scpu%d/cpufreq/", sysCPU, c)
		if _, err := h.read(dir + "scaling_governor"); err != nil {
			continue
		}
		had = true
		if all, err := h.read(dir + "scaling_available_governors"); err == nil && !slices.Contains(strings.Fields(all), name) {
			h.fail("governor", "cpu %d has no %s, only %s", c, name, all)
			continue
		}
		if err := h.write(&knob{setting: "governor", path: dir + "scaling_governor", want: name}); err != nil {
			return err
		}
	}
	if !had {
		h.fail("governor", "no CPU of this machine has cpufreq")
	}
	return nil
}

func (h *Host) turbo(word string) error {
	if word == "" {
		return nil
	}
	intel, others := sysCPU+"intel_pstate/no_turbo", sysCPU+"cpufreq/boost"
	if _, err := h.read(intel); err == nil {
		return h.one("turbo", word, intel, map[string]string{on: "0", off: "1"})
	}
	if _, err := h.read(others); err == nil {
		return h.one("turbo", word, others, map[string]string{on: "1", off: "0"})
	}
	h.fail("turbo", "this machine has neither /%s nor /%s", intel, others)
	return nil
}

// cstates disables the idle states that take longer to leave, and enables the others.
func (h *Host) cstates(longest *time.Duration) error {
	if longest == nil {
		return nil
	}
	states, _ := fs.Glob(h.fs(), sysCPU+"cpu[0-9]*/cpuidle/state[0-9]*") // the pattern is a good one
	if len(states) == 0 {
		h.fail("cstates", "no CPU of this machine has idle states in /%scpu*/cpuidle", sysCPU)
		return nil
	}
	for _, dir := range states {
		text, err := h.read(dir + "/latency")
		us, numErr := strconv.ParseInt(text, 10, 32)
		if err != nil || numErr != nil {
			h.fail("cstates", "/%s/latency tells no microseconds", dir)
			continue
		}
		want := "0"
		if time.Duration(us)*time.Microsecond > *longest {
			want = "1"
		}
		if err := h.write(&knob{setting: "cstates", path: dir + "/disable", want: want}); err != nil {
			return err
		}
	}
	return nil
}

// MoveIRQs takes the interrupts of devices from some CPUs to the others, as far as
// their drivers let that be done.
func (h *Host) MoveIRQs(from []int) error {
	online, err := onlineCPUs(h.fs())
	if err != nil {
		return err
	}
	others := without(online, from)
	if len(others) == 0 {
		h.fail("irqs", "every CPU is a guest's")
		return nil
	}
	files, _ := fs.Glob(h.fs(), "proc/irq/[0-9]*/smp_affinity_list")
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	if len(files) == 0 {
		h.fail("irqs", "no /proc/irq/*/smp_affinity_list")
	}
	for _, path := range files {
		now, err := readList(h.fs(), path)
		if err != nil || len(now) == len(without(now, from)) {
			continue
		}
		to := without(now, from)
		if to = slices.DeleteFunc(to, func(c int) bool { return !slices.Contains(online, c) }); len(to) == 0 {
			to = others
		}
		if err := h.write(&knob{setting: "irqs", path: path, want: FormatList(to), list: true}); err != nil {
			return err
		}
	}
	return nil
}

func without(cpus, some []int) []int {
	return slices.DeleteFunc(slices.Clone(cpus), func(c int) bool { return slices.Contains(some, c) })
}

func (h *Host) fs() fs.FS { return os.DirFS(h.root) }

// read is the value of a file.
func (h *Host) read(path string) (string, error) { return readKnob(filepath.Join(h.root, path)) }

// have is the value of a setting's file, if it can be read; else that is a taint.
func (h *Host) have(setting, path string) (string, bool) {
	now, err := h.read(path)
	if err != nil {
		h.fail(setting, "%s", hostfile.NotRead(path, err))
	}
	return now, err == nil
}

// write journals the old value, writes the new one and reads it back. Only the journal
// makes an error.
func (h *Host) write(k *knob) error {
	var ok bool
	if k.was, ok = h.have(k.setting, k.path); !ok {
		return nil
	}
	if k.holds(k.was) || h.dry {
		h.set = append(h.set, k)
		return nil
	}
	e := k.entry()
	if err := h.journal.Record(e); err != nil {
		return fmt.Errorf("set %s: %w", k.setting, err)
	}
	err := writeKnob(filepath.Join(h.root, k.path), k.want)
	now, readErr := h.read(k.path)
	if err = errors.Join(err, readErr); err != nil {
		h.fail(k.setting, "write %s to /%s: %v", k.want, k.path, unwrapPath(err))
	} else if !k.holds(now) {
		h.fail(k.setting, "/%s says %s after %s was written", k.path, cmp.Or(now, "nothing"), k.want)
		if e.Data["set"] = now; now != k.was && validValue.MatchString(now) { // by this the undoer knows it again
			if err := h.journal.Record(e); err != nil {
				return fmt.Errorf("set %s: %w", k.setting, err)
			}
		}
	}
	if now == k.was && readErr == nil {
		return h.journal.Forget(e)
	}
	if err == nil {
		h.set = append(h.set, k)
	}
	return nil
}

// unwrapPath is the reason alone.
func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// holds tells whether a value that was read is the one that is wanted.
func (k *knob) holds(value string) bool {
	if !k.list {
		return value == k.want
	}
	a, errA := ParseList(value)
	b, errB := ParseList(k.want)
	return errA == nil && errB == nil && slices.Equal(a, b)
}

// Taints say what is not as it was wanted: what could not be set, and what somebody
// else has changed since.
func (h *Host) Taints() []string {
	if h == nil {
		return nil
	}
	out := h.grouped()
	changed := map[string]bool{}
	for _, k := range h.set {
		if now, err := h.read(k.path); (err != nil || !k.holds(now)) && !changed[k.setting] {
			changed[k.setting] = true
			out = append(out, fmt.Sprintf("%s changed by somebody else meanwhile: /%s says %s", k.setting, k.path, cmp.Or(now, "nothing")))
		}
	}
	return out
}

// grouped are the failures, of many alike only the first and how many there are.
func (h *Host) grouped() []string {
	var out, order []string
	by := map[string][]string{}
	for _, f := range h.failed {
		setting, _, _ := strings.Cut(f, " ")
		if by[setting] == nil {
			order = append(order, setting)
		}
		by[setting] = append(by[setting], f)
	}
	for _, s := range order {
		text := by[s][0]
		if more := len(by[s]) - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more)", more)
		}
		out = append(out, text)
	}
	return out
}

// Facts are the settings that hold, with what was there before: "never, was madvise".
func (h *Host) Facts() map[string]string {
	if h == nil || len(h.set) == 0 {
		return nil
	}
	values := map[string][]string{}
	for _, k := range h.set {
		text := k.want
		if !k.holds(k.was) {
			text += ", was " + k.was
		}
		if k.setting == "cstates" || k.setting == "irqs" {
			text = fmt.Sprintf("%s: %s", strings.TrimPrefix(filepath.Dir(k.path), sysCPU), text)
		}
		if !slices.Contains(values[k.setting], text) {
			values[k.setting] = append(values[k.setting], text)
		}
	}
	out := map[string]string{}
	for setting, texts := range values {
		out[setting] = strings.Join(texts, "; ")
	}
	return out
}
