// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/probe"
)

// mine lists what a doctor of this process would leave on the host.
func mine(t *testing.T, journals string) []string {
	t.Helper()
	var out []string
	patterns := []string{"/run/netns/ukprobe-doctor-*-" + pid(), filepath.Join(journals, "*")}
	if h, err := cgroup.Find(); err == nil {
		patterns = append(patterns, h.Path+"/ukprobe/doctor-*-"+pid())
	}
	for _, p := range patterns {
		names, err := filepath.Glob(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, names...)
	}
	return out
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for BPF, namespaces and cgroups")
	}
}

// TestThisMachine holds the report against what this machine says itself.
func TestThisMachine(t *testing.T) {
	needRoot(t)
	journals := t.TempDir()
	r, err := Examine(context.Background(), Options{Version: "test", JournalDir: journals})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string(nil), mine(t, journals)); diff != "" {
		t.Errorf("left on the host:\n%s", diff)
	}
	seen := map[string]bool{}
	for _, c := range r.Checks {
		if seen[c.ID] {
			t.Errorf("two checks are called %s", c.ID)
		}
		seen[c.ID] = true
		if (c.Remedy != "") != (c.Status != OK) {
			t.Errorf("%s is %s with the remedy %q", c.ID, c.Status, c.Remedy)
		}
		if c.Found == "" || strings.ContainsAny(c.Found+c.Remedy, "\n\r") || titles[c.Group] == "" {
			t.Errorf("%s would not be one line: %+v", c.ID, c)
		}
	}
	for _, id := range []string{"hooks.alive", "cgroups.clone", "network.lab", "network.veth"} {
		if c := r.Find(id); c == nil || c.Status != OK {
			t.Errorf("%s: %+v", id, c)
		}
	}
	if !r.CanRun {
		t.Errorf("cannot run: %v", r.BlockedBy)
	}
	for _, hook := range []string{probe.HookForeignTask, probe.HookDisk} { // beside those of a Probe
		if c := r.Find("hooks." + hook); c == nil || c.Status != OK || c.Hook == nil || c.Hook.Rung == "" || c.Hook.Tells == "" {
			t.Errorf("hook %s: %+v", hook, c)
		}
	}
	t.Run("kprobes", func(t *testing.T) { checkKprobes(t, r) })
	t.Run("cgroups", func(t *testing.T) { checkCgroups(t, r) })
	t.Run("kvm", func(t *testing.T) { checkKVM(t, r) })
}

// checkKprobes: a kernel with kprobes lists those that are set.
func checkKprobes(t *testing.T, r *Report) {
	pio := r.Find("hooks." + probe.HookPIO)
	if pio == nil || pio.Hook == nil {
		t.Fatal("no check of the hook kvm_pio")
	}
	if _, err := os.Stat("/sys/kernel/tracing/kprobe_events"); err == nil {
		if pio.Hook.Rung != "kprobe" && pio.Hook.Rung != "fentry" {
			t.Errorf("there are kprobes, and kvm_pio got %q: %v", pio.Hook.Rung, pio.Hook.Refused)
		}
		return
	}
	if pio.Hook.Rung != "tp_btf" {
		t.Errorf("kvm_pio got %q, want tp_btf", pio.Hook.Rung)
	}
	refused := ""
	for _, x := range pio.Hook.Refused {
		if x.Rung == "kprobe" {
			refused = x.Reason
		}
	}
	if want := "the kernel has no kprobes (CONFIG_KPROBES)"; refused != want {
		t.Errorf("kprobe was refused for %q, want %q", refused, want)
	}
	if c := r.Find("config.CONFIG_KPROBES"); c != nil && c.Status != Warn {
		t.Errorf("CONFIG_KPROBES: %+v", c)
	}
}

func checkCgroups(t *testing.T, r *Report) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	want := "pure v2, "
	if strings.Contains(string(raw), " - cgroup ") {
		want = "hybrid (v1 controllers beside v2), "
	}
	if c := r.Find("cgroups.v2"); c == nil || !strings.HasPrefix(c.Found, want) {
		t.Errorf("cgroups: %+v, want %s…", c, want)
	}
}

func checkKVM(t *testing.T, r *Report) {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		if c := r.Find("kvm.device"); c == nil || c.Status != Fail {
			t.Errorf("there is no /dev/kvm: %+v", c)
		}
		t.Skip("needs /dev/kvm")
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	hardware := strings.Contains(string(info), " vmx ") || strings.Contains(string(info), " svm ")
	c := r.Find("kvm.hardware")
	if c == nil || hardware != (c.Status == OK) || hardware == strings.HasPrefix(c.Found, "emulated only") {
		t.Errorf("hardware behind KVM is %v: %+v", hardware, c)
	}
}

func TestInterrupted(t *testing.T) {
	needRoot(t)
	journals := t.TempDir()
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("Ctrl-C")
	cancel(why)
	if r, err := Examine(ctx, Options{JournalDir: journals}); !errors.Is(err, why) {
		t.Errorf("got %v, %v, want the cause", r, err)
	}
	if left := mine(t, journals); len(left) > 0 {
		t.Errorf("left on the host: %v", left)
	}
}

func TestNoJournal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Examine(context.Background(), Options{JournalDir: file})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"host.journal", "network.lab", "cgroups.clone"} {
		if c := r.Find(id); c == nil || c.Status != Fail || !c.Needed {
			t.Errorf("without a place for the journal, %s: %+v", id, c)
		}
	}
	if r.CanRun {
		t.Error("can run, though a run could not note what it changes")
	}
}

func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	expect := func(st Status, found string) {
		t.Helper()
		if c := leftovers(dir); c.Status != st || c.Found != found {
			t.Errorf("got %s %q, want %s %q", c.Status, c.Found, st, found)
		}
	}
	expect(OK, "none")
	j, err := journal.Open(dir, "live")
	if err != nil {
		t.Fatal(err)
	}
	expect(Warn, "none; runs under way: live")
	if err := os.WriteFile(filepath.Join(dir, "dead.journal"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(Warn, "of runs that are gone: dead")
	if err := errors.Join(j.Close(), os.Remove(filepath.Join(dir, "dead.journal"))); err != nil {
		t.Fatal(err)
	}
	expect(OK, "none")
	dir = filepath.Join(dir, "nowhere")
	expect(OK, "none")
}

func TestProgram(t *testing.T) {
	bin := t.TempDir()
	for name, script := range map[string]string{
		"plain":  "echo 'QEMU emulator version 7.2.22'; echo more 2",
		"banner": "echo Usage; echo 'wrk 4.1.0 [epoll]' >&2; exit 1",
		"parent": "sleep 60 & echo version 8; echo $! >" + filepath.Join(bin, "child"),
		"mute":   "exit 0",
		"broken": "exit 3",
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for name, want := range map[string]brief{
		"plain":        {OK, bin + "/plain, QEMU emulator version 7.2.22"},
		"banner":       {OK, bin + "/banner, wrk 4.1.0 [epoll]"},
		"parent":       {OK, bin + "/parent, version 8"},
		"mute":         {Warn, bin + "/mute, version unknown: it printed no line with a number"},
		"broken":       {Warn, bin + "/broken, version unknown: exit status 3"},
		"uk-not-there": {Fail, "not found. Lost: something"},
	} {
		c := program{name: name, version: []string{"--version"}, use: "something", without: Fail, install: "get it"}.check(context.Background())
		if diff := cmp.Diff(want, brief{c.Status, c.Found}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	childGone(t, filepath.Join(bin, "child"))
}

// childGone tells that the process whose pid is in a file runs no more, soon.
func childGone(t *testing.T, file string) {
	t.Helper()
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("child %s runs on", pid)
}

// TestProgramPlaces: a variable's program comes before PATH's, and what is missing can
// be had by its project's name.
func TestProgramPlaces(t *testing.T) {
	bin := t.TempDir()
	fc := filepath.Join(bin, "my-firecracker")
	for name, script := range map[string]string{fc: "echo Firecracker v1.14.2", filepath.Join(bin, "uhyve"): "# HERMIT_ISLE: HermitCore's"} {
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	t.Setenv("UKPROBE_FIRECRACKER", fc)
	t.Setenv("UKPROBE_QEMU", "no-such-qemu")
	t.Setenv("DOCKER_HOST", "unix://"+bin+"/none.sock")
	found := map[string]Check{}
	for _, c := range programChecks(t.Context()) {
		found[c.Name] = c
	}
	for name, want := range map[string]struct {
		status        Status
		found, remedy string
	}{
		"firecracker":        {OK, fc + ", Firecracker v1.14.2", ""},
		"qemu-system-x86_64": {Fail, `UKPROBE_QEMU: exec: "no-such-qemu": executable file not found`, "qemu-system-x86"},
		"solo5-hvt":          {Warn, "not found. Lost: platform solo5-hvt", "build Solo5/solo5, and put its tender into PATH or beside the image"},
		"uhyve":              {Warn, "is another program", "hermit-os/uhyve"},
		"docker-engine":      {Warn, "no Docker Engine at unix://" + bin + "/none.sock: ", "DOCKER_HOST"},
	} {
		if c := found[name]; c.Status != want.status || !strings.Contains(c.Found, want.found) || !strings.Contains(c.Remedy, want.remedy) {
			t.Errorf("%s: %+v, want %+v", name, c, want)
		}
	}
	t.Setenv("UKPROBE_FIRECRACKER", "")
	if c := programChecks(t.Context())[1]; c.Found != "not found. Lost: platform firecracker" || !strings.Contains(c.Remedy, "firecracker-microvm/firecracker into PATH, or its path into UKPROBE_FIRECRACKER") {
		t.Errorf("%+v", c)
	}
}

func TestHookChecks(t *testing.T) {
	none := []probe.Refusal{{Rung: probe.Kprobe, Reason: "no"}}
	statuses := []probe.HookStatus{
		{Hook: probe.HookExec, Rung: probe.TPBTF, Tells: "exec"},
		{Hook: probe.HookVMIoctl, Refused: none, Tells: "vm"},
		{Hook: probe.HookTapIn, Refused: none, Tells: "frames"},
		{Hook: probe.HookTCIn, OnDemand: true},
	}
	compare(t, hookChecks(statuses, nil, false), map[string]brief{
		"hooks.kvm_dev_ioctl": {Fail, "none. Lost: vm"},
		"hooks.tap_in":        {Fail, "none. Lost: frames"},
		"hooks.tc_in":         {Warn, "not tried"},
	})
	compare(t, hookChecks(append(statuses, probe.HookStatus{Hook: probe.HookSyscall, Rung: probe.RawTP}), nil, true), map[string]brief{
		"hooks.kvm_dev_ioctl": {Warn, "none; its events come from the hook syscall"},
		"hooks.tap_in":        {Fail, "none. Lost: frames"},
		"hooks.tc_in":         {Fail, "none. Lost: "},
	})
	compare(t, hookChecks(nil, errors.Join(errors.New("one"), syscall.EPERM), false), map[string]brief{
		"hooks.probe": {Fail, "one; operation not permitted"},
	})
}

func pid() string { return strconv.Itoa(os.Getpid()) }
