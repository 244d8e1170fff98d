// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/results"
)

// disturb starts a program of that name that counts without end on one CPU, until the
// test ends.
func disturb(t *testing.T, name string, cpu int) {
	t.Helper()
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Skipf("needs a shell: %v", err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, sh, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", "while :; do :; done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(cmd.Process.Pid, &set); err != nil {
		t.Fatal(err)
	}
}

// taken is what of the sample's CPUs tasks of that name had.
func taken(s results.Sample, name string) (ns int64, cpus []int) {
	for _, i := range s.Interference {
		if i.Name == name {
			ns += i.NS
			cpus = append(cpus, i.CPU)
		}
	}
	return ns, cpus
}

// TestInterference: a busy loop on the guest's CPU is caught and named, with a share
// that is its own; the sample is taken again as often as it may, and all are kept.
// Without the loop nothing of that name is there.
func TestInterference(t *testing.T) {
	needRoot(t)
	needKVM(t)
	const cell = "system: reference, app: hello, platform: qemumicrovm, accel: kvm, args: 'pio=2000'"
	f := newRun(t, "--matrix", matrix(t, cell), "--samples", "2").run().want(0).file()
	plan := f.Cells[0].Settings.CPUs
	if plan == nil || len(plan.VMM) == 0 || f.Cells[0].Settings.Interference == nil {
		t.Fatalf("settings: %+v", f.Cells[0].Settings)
	}
	for _, s := range f.Cells[0].Samples {
		checkOK(t, f, s)
		if ns, _ := taken(s, "e2e-hog"); ns != 0 || s.RepeatOf != 0 {
			t.Errorf("without a loop: %+v, repeat of %d", s.Interference, s.RepeatOf)
		}
		checkInterferenceValues(t, s)
	}
	disturb(t, "e2e-hog", plan.VMM[0])
	f = newRun(t, "--matrix", matrix(t, cell+", interference: {at_most_percent: 3, repeat: 2}")).run().want(0).says("was disturbed, most by ").says(": taking it again (2 of at most 2)").file()
	c := f.Cells[0]
	if len(c.Samples) != 3 || c.Summary["total_ns"].N != 1 || c.Summary["total_ns"].Median != float64(*c.Samples[2].Phases.TotalNs) {
		t.Errorf("%d samples, in the summary %+v; want 3, and the last one", len(c.Samples), c.Summary["total_ns"])
	}
	for n, s := range c.Samples {
		checkOK(t, f, s)
		checkInterferenceValues(t, s)
		for _, i := range s.Interference { // what was before the start, or after it was ready, is none
			if i.NS > *s.Phases.TotalNs {
				t.Errorf("sample %d took %d ns, and %s on cpu %d %d ns of that", n+1, *s.Phases.TotalNs, i.Name, i.CPU, i.NS)
			}
		}
		if want := min(n, 1); !s.Disturbed || s.RepeatOf != want {
			t.Errorf("sample %d: disturbed %v, repeat of %d, want %d", n+1, s.Disturbed, s.RepeatOf, want)
		}
		ns, cpus := taken(s, "e2e-hog")
		if !slices.Equal(cpus, plan.VMM[:1]) || ns < *s.Phases.TotalNs/20 || float64(ns) > s.Values["interference_ns"] {
			t.Errorf("sample %d took %d ns: the loop had %d ns on cpus %v of %v: %+v", n+1, *s.Phases.TotalNs, ns, cpus, plan.VMM, s.Interference)
		}
		// The loop, unless three others on this machine had more.
		worst := s.Interference[:min(len(s.Interference), 3)]
		if named := slices.ContainsFunc(worst, func(i results.Interference) bool { return i.Name == "e2e-hog" }); !tainted(s, "foreign task ") || named && !tainted(s, "foreign task e2e-hog ran ") {
			t.Errorf("sample %d: taints %q", n+1, s.Taints)
		}
	}
}

func tainted(s results.Sample, by string) bool {
	return slices.ContainsFunc(s.Taints, func(t string) bool { return strings.HasPrefix(t, by) })
}

// checkInterferenceValues: all that is looked for was seen, on whatever rung.
func checkInterferenceValues(t *testing.T, s results.Sample) {
	t.Helper()
	for _, name := range []string{"interference_ns", "interference_percent", "irq_ns", "softirq_ns", "steal_ns"} {
		if v, ok := s.Values[name]; !ok || v < 0 {
			t.Errorf("%s: %v, %v", name, v, ok)
		}
	}
	if p := s.Values["interference_percent"]; p > 100 {
		t.Errorf("others had %v %% of a CPU", p)
	}
	for _, taint := range s.Taints {
		if strings.Contains(taint, "not measured") || strings.Contains(taint, "not seen") {
			t.Errorf("taint: %s", taint)
		}
	}
}

// TestCPUPlanTooLarge: CPUs that the machine does not have: another plan, and each
// sample says so, a plain process's too.
func TestCPUPlanTooLarge(t *testing.T) {
	needRoot(t)
	f := newRun(t, "--matrix", matrix(t,
		"system: process, app: hello, platform: process, cpu: {vcpu: 1021, vmm: 1022, client: 1023}, interference: off")).run().want(0).file()
	s := f.Cells[0].Samples[0]
	checkOK(t, f, s)
	if !strings.HasPrefix(s.Taints[0], "cpu plan: not as wanted (vcpu 1021, vmm 1022, client 1023): cpus 1021-1023 are not online") {
		t.Errorf("taints %q", s.Taints)
	}
	if plan := f.Cells[0].Settings.CPUs; plan == nil || len(plan.VMM) == 0 || plan.VMM[0] > 1000 || f.Cells[0].Settings.Interference != nil {
		t.Errorf("%+v", f.Cells[0].Settings)
	}
}

// THP is a setting that nearly every kernel has.
const thpFile = "/sys/kernel/mm/transparent_hugepage/enabled"

// thp is the word in brackets.
func thp(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(thpFile)
	if err != nil {
		t.Skipf("this kernel has no transparent huge pages: %v", err)
	}
	_, after, _ := strings.Cut(string(raw), "[")
	word, _, _ := strings.Cut(after, "]")
	return word
}

// TestHostSettings: a setting holds while the run lasts, and is put back by its end or,
// after a SIGKILL, by clean; what the machine does not have is a taint.
func TestHostSettings(t *testing.T) {
	needRoot(t)
	before, want := thp(t), "never"
	if before == want {
		want = "madvise"
	}
	t.Cleanup(func() {
		if now := thp(t); now != before {
			t.Errorf("THP is %s, was %s", now, before)
			_ = os.WriteFile(thpFile, []byte(before), 0o644)
		}
	})
	settings := "version: 1\ndefaults: {samples: 2, warmup: 0, cpu: {thp: " + want + ", governor: e2e-has-none}}\ncells:\n"
	m := write(t, "set.yaml", settings+"- {system: process, app: hello, platform: process}\n")
	f := newRun(t, "--matrix", m).run().want(0).file()
	if got := f.Host.Settings["thp"]; got != want+", was "+before {
		t.Errorf("settings %v", f.Host.Settings)
	}
	if s := f.Cells[0].Samples[1]; !tainted(s, "governor not set: ") {
		t.Errorf("taints %q", s.Taints)
	}
	if now := thp(t); now != before {
		t.Fatalf("THP is %s after the run, was %s", now, before)
	}

	m = write(t, "hold.yaml", settings+"- {system: reference, app: hello, platform: qemumicrovm, ready: 'this never comes', timeout: 10m}\n")
	c := newRun(t, "--matrix", m).start()
	c.waitUntil("a QEMU of the run is there", patience(30*time.Second), func() bool { return len(qemusOf(t, c)) > 0 })
	if now := thp(t); now != want {
		t.Errorf("during the run THP is %s, want %s", now, want)
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.wait(patience(10 * time.Second))
	if now := thp(t); now != want {
		t.Errorf("nobody has put THP back, and it is %s", now)
	}
	clean := newCall(t, "clean", "--journal-dir", c.journal()).run().want(0)
	if want := "put back host-setting " + thpFile + "\n"; !strings.Contains(clean.stdout.String(), want) {
		t.Errorf("clean says %q, want %q", clean.stdout.String(), want)
	}
	if now := thp(t); now != before {
		t.Errorf("after clean THP is %s, was %s", now, before)
	}
}
