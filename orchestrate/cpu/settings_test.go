// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/journal"
)

// fakeHost is a host whose files are in a folder. What begins with -> is a link, to a
// file of the kernel that behaves in a certain way.
func fakeHost(t *testing.T, in map[string]string) *Host {
	t.Helper()
	h := &Host{root: t.TempDir(), journal: openJournal(t, t.TempDir())}
	for path, text := range in {
		file := filepath.Join(h.root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(text, "->"); link {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(text+"\n"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func openJournal(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// content is what the files say.
func (h *Host) content(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.Walk(h.root, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.Mode()&os.ModeType != 0 {
			return err
		}
		raw, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, h.root+"/")] = strings.TrimSpace(string(raw))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// rollback undoes what the journal has.
func (h *Host) rollback(t *testing.T) {
	t.Helper()
	undo := func(_ context.Context, e journal.Entry) error { return undoSetting(h.root, e) }
	if _, err := h.journal.Rollback(t.Context(), map[journal.Kind]journal.Undoer{KindSetting: undo}); err != nil {
		t.Error(err)
	}
}

func us(n int) *time.Duration {
	d := time.Duration(n) * time.Microsecond
	return &d
}

// server is a machine with everything; cpu 1 has only powersave.
func server() map[string]string {
	return map[string]string{
		sysCPU + "online":                                    "0-3",
		sysCPU + "smt/control":                               "on",
		sysCPU + "intel_pstate/no_turbo":                     "0",
		sysCPU + "cpu0/cpufreq/scaling_governor":             "powersave",
		sysCPU + "cpu0/cpufreq/scaling_available_governors":  "performance powersave",
		sysCPU + "cpu1/cpufreq/scaling_governor":             "powersave",
		sysCPU + "cpu1/cpufreq/scaling_available_governors":  "powersave",
		sysCPU + "cpu0/cpuidle/state0/latency":               "0",
		sysCPU + "cpu0/cpuidle/state0/disable":               "0",
		sysCPU + "cpu0/cpuidle/state1/latency":               "2",
		sysCPU + "cpu0/cpuidle/state1/disable":               "1",
		sysCPU + "cpu0/cpuidle/state2/latency":               "133",
		sysCPU + "cpu0/cpuidle/state2/disable":               "0",
		"sys/kernel/mm/transparent_hugepage/enabled":         "always [madvise] never",
		"sys/kernel/mm/ksm/run":                              "1",
		"proc/sys/kernel/randomize_va_space":                 "2",
		"proc/irq/default_smp_affinity":                      "f",
		"proc/irq/9/smp_affinity_list":                       "0-3",
		"proc/irq/10/smp_affinity_list":                      "2",
		"proc/irq/11/smp_affinity_list":                      "0",
		"sys/devices/system/cpu/cpufreq/policy0/unconcerned": "1",
	}
}

// TestSettings: everything that is asked for is written, told with what was there
// before, and put back to the letter.
func TestSettings(t *testing.T) {
	h := fakeHost(t, server())
	before := h.content(t)
	want := Settings{Governor: "performance", Turbo: off, SMT: off, CStates: us(10), THP: "never", KSM: off, ASLR: off}
	if err := h.apply(want); err != nil {
		t.Fatal(err)
	}
	if err := h.MoveIRQs([]int{2, 3}); err != nil {
		t.Fatal(err)
	}
	changed := map[string]string{}
	for path, text := range h.content(t) {
		if text != before[path] {
			changed[path] = text
		}
	}
	wantChanged := map[string]string{
		sysCPU + "smt/control":                       "off",
		sysCPU + "intel_pstate/no_turbo":             "1",
		sysCPU + "cpu0/cpufreq/scaling_governor":     "performance",
		sysCPU + "cpu0/cpuidle/state1/disable":       "0",
		sysCPU + "cpu0/cpuidle/state2/disable":       "1",
		"sys/kernel/mm/transparent_hugepage/enabled": "never",
		"sys/kernel/mm/ksm/run":                      "0",
		"proc/sys/kernel/randomize_va_space":         "0",
		"proc/irq/9/smp_affinity_list":               "0-1",
		"proc/irq/10/smp_affinity_list":              "0-1",
	}
	if diff := cmp.Diff(wantChanged, changed); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"governor not set: cpu 1 has no performance, only powersave"}, h.Taints()); diff != "" {
		t.Errorf("taints (-want +got):\n%s", diff)
	}
	wantFacts := map[string]string{
		"smt": "off, was on", "turbo": "1, was 0", "governor": "performance, was powersave", "thp": "never, was madvise", "ksm": "0, was 1", "aslr": "0, was 2",
		"cstates": "cpu0/cpuidle/state0: 0; cpu0/cpuidle/state1: 0, was 1; cpu0/cpuidle/state2: 1, was 0",
		"irqs":    "proc/irq/9: 0-1, was 0-3; proc/irq/10: 0-1, was 2",
	}
	if diff := cmp.Diff(wantFacts, h.Facts()); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	h.rollback(t)
	before["sys/kernel/mm/transparent_hugepage/enabled"] = "madvise" // a kernel writes the others beside it
	if diff := cmp.Diff(before, h.content(t)); diff != "" {
		t.Errorf("put back (-want +got):\n%s", diff)
	}
	if left := h.journal.Entries(); len(left) != 0 {
		t.Errorf("the journal has %v", left)
	}
}

// TestNothingAskedNothingTouched: not a file is opened for writing, and no lock taken.
func TestNothingAskedNothingTouched(t *testing.T) {
	h, err := SetHost(t.Context(), nil, Settings{}) // a nil journal cannot be written to
	if err != nil || h.unlock != nil || h.Taints() != nil || h.Facts() != nil {
		t.Errorf("%v, %+v", err, h)
	}
}

// TestSettingsThatAreNotThere: a virtual machine without any of it: each is a taint.
func TestSettingsThatAreNotThere(t *testing.T) {
	h := fakeHost(t, map[string]string{sysCPU + "online": "0-1", sysCPU + "smt/control": "notsupported"})
	if err := h.apply(Settings{Governor: "performance", Turbo: off, SMT: on, CStates: us(0), THP: "never", KSM: off, ASLR: off}); err != nil {
		t.Fatal(err)
	}
	if err := h.MoveIRQs([]int{1}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"smt not set: this machine says notsupported",
		"governor not set: no CPU of this machine has cpufreq",
		"turbo not set: this machine has neither /sys/devices/system/cpu/intel_pstate/no_turbo nor /sys/devices/system/cpu/cpufreq/boost",
		"cstates not set: no CPU of this machine has idle states in /sys/devices/system/cpu/cpu*/cpuidle",
		"thp not set: no /sys/kernel/mm/transparent_hugepage/enabled",
		"ksm not set: no /sys/kernel/mm/ksm/run",
		"aslr not set: no /proc/sys/kernel/randomize_va_space",
		"irqs not set: no /proc/irq/*/smp_affinity_list",
	}
	if diff := cmp.Diff(want, h.Taints()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(h.Facts()) != 0 || len(h.journal.Entries()) != 0 {
		t.Errorf("%v, %v", h.Facts(), h.journal.Entries())
	}
	smtOff := fakeHost(t, map[string]string{sysCPU + "smt/control": "notsupported"})
	if err := smtOff.smt(off); err != nil || smtOff.Taints() != nil {
		t.Errorf("a machine without SMT has it off: %v, %v", err, smtOff.Taints())
	}
	all := fakeHost(t, map[string]string{sysCPU + "online": "0-1"})
	if err := all.MoveIRQs([]int{0, 1}); err != nil || cmp.Diff([]string{"irqs not set: every CPU is a guest's"}, all.Taints()) != "" {
		t.Errorf("%v, %v", err, all.Taints())
	}
}

// TestSettingsThatAreRefused: files that the kernel does not let be written (another
// of its own stands for them), or that forget what was written.
func TestSettingsThatAreRefused(t *testing.T) {
	readOnly := "->/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"
	size, err := os.ReadFile(strings.TrimPrefix(readOnly, "->"))
	if err != nil {
		t.Skipf("needs a read-only file of sysfs: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	h := fakeHost(t, map[string]string{
		sysCPU + "online":                        "0-1",
		sysCPU + "cpu0/cpufreq/scaling_governor": readOnly,
		sysCPU + "cpu1/cpufreq/scaling_governor": readOnly,
		"sys/kernel/mm/ksm/run":                  "->/dev/null",
	})
	if err := h.apply(Settings{Governor: "performance", KSM: off}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"governor not set: write performance to /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor: permission denied (and 1 more)",
		"ksm not set: /sys/kernel/mm/ksm/run says nothing after 0 was written",
	}
	if diff := cmp.Diff(want, h.Taints()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left := h.journal.Entries(); len(left) != 0 {
		t.Errorf("nothing has changed, and the journal has %v (size %s)", left, size)
	}
}

// TestSettingInAnotherForm: what the kernel has taken in another form than it was written
// is put back as well.
func TestSettingInAnotherForm(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	const file = "/proc/self/oom_score_adj" // 007 is 7 there
	was, err := readKnob(file)
	if err != nil || was == "7" {
		t.Skipf("%s says %q: %v", file, was, err)
	}
	h := fakeHost(t, map[string]string{"sys/kernel/mm/ksm/run": "->" + file})
	if err := h.write(&knob{setting: "ksm", path: "sys/kernel/mm/ksm/run", want: "007"}); err != nil {
		t.Fatal(err)
	}
	if now, err := readKnob(file); now != "7" || err != nil {
		t.Errorf("says %q, %v", now, err)
	}
	if diff := cmp.Diff([]string{"ksm not set: /sys/kernel/mm/ksm/run says 7 after 007 was written"}, h.Taints()[:1]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	h.rollback(t)
	if now, err := readKnob(file); now != was || err != nil {
		t.Errorf("put back to %q: says %q, %v", was, now, err)
	}
}

// TestSomebodyElse: what somebody changes meanwhile is told, and left to them.
func TestSomebodyElse(t *testing.T) {
	h := fakeHost(t, server())
	if err := h.apply(Settings{THP: "never", ASLR: off}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(h.root, "sys/kernel/mm/transparent_hugepage/enabled")
	if err := os.WriteFile(file, []byte("[always] madvise never\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"thp changed by somebody else meanwhile: /sys/kernel/mm/transparent_hugepage/enabled says always"}, h.Taints()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	h.rollback(t)
	if got := h.content(t); got["sys/kernel/mm/transparent_hugepage/enabled"] != "[always] madvise never" || got["proc/sys/kernel/randomize_va_space"] != "2" {
		t.Errorf("%v", got)
	}
}

// TestUndoIsNotForEveryFile: a journal of somebody else's making writes nowhere else.
func TestUndoIsNotForEveryFile(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"/etc/passwd", "/proc/sys/kernel/core_pattern", "/proc/irq/../sys/kernel/randomize_va_space", "proc/sys/kernel/randomize_va_space", ""} {
		e := journal.Entry{Kind: KindSetting, Name: name, Data: map[string]string{"was": "0", "set": "1"}}
		if err := undoSetting(root, e); err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("%q: %v", name, err)
		}
	}
	e := journal.Entry{Kind: KindSetting, Name: "/proc/sys/kernel/randomize_va_space", Data: map[string]string{"was": "0\n/x", "set": "1"}}
	if err := undoSetting(root, e); err == nil {
		t.Error("a value of two lines")
	}
	e.Data["was"] = "0"
	if err := undoSetting(root, e); err != nil {
		t.Errorf("a file that is gone: %v", err)
	}
}

// TestSettingsHere sets the real kernel and has it back as it was, also after ukprobe
// was killed.
func TestSettingsHere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	const aslr, thp = "/proc/sys/kernel/randomize_va_space", "/sys/kernel/mm/transparent_hugepage/enabled"
	before := map[string]string{}
	for _, file := range []string{aslr, thp} {
		var err error
		if before[file], err = readKnob(file); err != nil {
			t.Skipf("this kernel has no %s", file)
		}
	}
	want, words := Settings{ASLR: "partial", THP: "never"}, map[string]string{aslr: "1", thp: "never"}
	if before[aslr] == "1" || before[thp] == "never" {
		t.Skip("they are as the test would set them")
	}
	dir := t.TempDir()
	j := openJournal(t, dir)
	// A run that was killed had set one of them.
	killed, err := journal.Open(dir, "killed")
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Record(journal.Entry{Kind: KindSetting, Name: thp, Data: map[string]string{"was": before[thp], "set": "never"}}); err != nil {
		t.Fatal(err)
	}
	if err := killed.Record(journal.Entry{Kind: "other", Name: "stays"}); err != nil {
		t.Fatal(err)
	}
	if err := writeKnob(thp, "never"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = writeKnob(thp, before[thp]) })
	if err := killed.Close(); !errors.Is(err, journal.ErrLeft) {
		t.Fatal(err)
	}
	h, err := SetHost(t.Context(), j, want)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	if got := h.PutBack.String(); got != "run killed: put back host-setting "+thp+"\n" {
		t.Errorf("put back first: %q", got)
	}
	// Meanwhile nobody else puts anything back. (Another process's lock is another open file.)
	settled.Store(false)
	if err := UndoSetting(t.Context(), journal.Entry{Kind: KindSetting, Name: thp, Data: map[string]string{"was": "always", "set": "never"}}); err == nil || !strings.Contains(err.Error(), "another run of ukprobe has set the host") {
		t.Errorf("clean while the host is set: %v", err)
	}
	begun := time.Now()
	for range 50 {
		if err := UndoSetting(t.Context(), journal.Entry{Kind: KindSetting, Name: thp, Data: map[string]string{"was": "always", "set": "never"}}); err == nil {
			t.Fatal("put back while the host is set")
		}
	}
	if took := time.Since(begun); took > 50*lockWait/4 {
		t.Errorf("each of 50 settings was waited for: %v", took)
	}
	settled.Store(true)
	for file, word := range words {
		if now, err := readKnob(file); err != nil || now != word {
			t.Errorf("%s says %q, want %q (%v)", file, now, word, err)
		}
	}
	if taints := h.Taints(); len(taints) != 0 {
		t.Error(taints)
	}
	if _, err := SetHost(t.Context(), j, Settings{ASLR: off}); err == nil || !strings.Contains(err.Error(), "another run of ukprobe has set") {
		t.Errorf("a second run: %v", err)
	}
	if _, err := j.Rollback(t.Context(), map[journal.Kind]journal.Undoer{KindSetting: UndoSetting}); err != nil {
		t.Error(err)
	}
	after := map[string]string{}
	for file := range before {
		if after[file], err = readKnob(file); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}
