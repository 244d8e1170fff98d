// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/overhead"
	"github.com/ukprobe/ukprobe/results"
)

// --probes decides where times come from: user space's clock and nothing else, or
// the kernel. The level is in the results, and its figures stand apart.
func TestProbes(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
	fromKernel := []string{"vmm_exec", "vm_created", "vcpu_created", "first_run", "guest_entry", "console_first", "console_ready", "vmm_exit"}
	for level, events := range map[string][]string{
		results.ProbesNone: {"vmm_exec", "console_first", "console_ready", "vmm_exit"},
		results.ProbesBoot: fromKernel,
		results.ProbesFull: fromKernel,
	} {
		t.Run(level, func(t *testing.T) {
			c := newRun(t, "--probes", level, "--only", "system=reference,app=hello,platform=qemumicrovm", "--samples", "2", "--warmup", "0").run().want(0)
			f, cell := c.file(), c.cell(2)
			if cell.Probes != level {
				t.Errorf("the cell says probes %q", cell.Probes)
			}
			for _, s := range cell.Samples {
				checkOK(t, f, s)
				checkOrder(t, s, events...)
				checkSource(t, s, level == results.ProbesNone)
			}
			if says := strings.Contains(c.stdout.String(), "probes "+level); says != (level != results.ProbesBoot) {
				t.Errorf("the report says probes %s: %v\n%s", level, says, c.stdout.String())
			}
			const line = "Overhead of the probes: not measured on this host: run `ukprobe overhead`."
			if says := strings.Contains(oneLine(c.stdout.String()), line); says != (level != results.ProbesNone) {
				t.Errorf("the report says that the overhead is not known: %v\n%s", says, c.stdout.String())
			}
		})
	}
}

// checkSource: without probes every time is user space's, none of the kernel's
// events is there, nothing was counted; with probes nothing is user space's.
func checkSource(t *testing.T, s results.Sample, none bool) {
	t.Helper()
	for _, e := range s.Events {
		if (e.Rung == "none" && e.Hook == "userspace") != none {
			t.Errorf("event %+v", e)
		}
	}
	_, window := s.Values["start_window_ns"]
	_, pio := s.Values["pio_out"]
	if window != none || pio == none {
		t.Errorf("values %v", s.Values)
	}
	if !none {
		return
	}
	for _, name := range []string{"vm_created", "vcpu_created", "first_run", "guest_entry", "firmware_end", "frame_out", "idle"} {
		checkAbsent(t, s, name, "--probes none")
	}
}

// Services and processes are timed without probes too; a run may hold a cell under
// two levels, in one order, and keeps them apart.
func TestProbesNoneForServices(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	m := matrix(t, "system: reference, app: http, platform: qemumicrovm, accel: kvm, probes: [none]")
	newRun(t, "--matrix", m).run().want(exitUsage).says("probes is a text, not a list")
	m = matrix(t, "system: reference, app: http, platform: qemumicrovm, probes: none",
		"system: process, app: [hello, nginx], platform: process, probes: none",
		"system: process, app: hello, platform: process")
	c := newRun(t, "--matrix", m, "--samples", "2").run().want(0)
	f := c.file()
	if len(f.Cells) != 4 {
		t.Fatalf("%d cells", len(f.Cells))
	}
	for i := range f.Cells {
		cell := &f.Cells[i]
		for _, s := range cell.Samples {
			checkOK(t, f, s)
			last := "console_ready"
			if cell.App != "hello" {
				last = "first_response"
			}
			checkOrder(t, s, "vmm_exec", last)
			for _, e := range s.Events {
				if (e.Hook == "userspace") != (cell.Probes == results.ProbesNone) {
					t.Errorf("%s: %+v", cell.Name(), e)
				}
			}
		}
	}
	for _, heading := range []string{"boot, no accelerator\n", "boot, no accelerator, probes none"} {
		if strings.Count(c.stdout.String(), heading) != 1 {
			t.Errorf("no block %q in\n%s", heading, c.stdout.String())
		}
	}
}

// Where BPF cannot be used, here because the kernel's types cannot be read, a run
// says so and names the way out, which works.
func TestProbesNoneWithoutBPF(t *testing.T) {
	needRoot(t)
	needKVM(t)
	notOnTheKernel(t)
	const hide = "mount -t tmpfs none /sys/kernel/btf"
	args := []string{"--only", "system=reference,app=hello,platform=qemumicrovm", "--samples", "1", "--warmup", "0"}
	newRun(t, args...).inPrivateMounts(hide).run().want(exitFailed).says("/sys/kernel/btf/vmlinux", "`--probes none`")
	c := newRun(t, append(args, "--probes", "none")...).inPrivateMounts(hide).run().want(0)
	checkOK(t, c.file(), c.cell(1).Samples[0])
	if !strings.Contains(c.dryRun(args), "hooks    none: --probes none") {
		t.Error("the plan does not say that there are no hooks")
	}
}

// dryRun is the plan of a run without probes.
func (c *call) dryRun(args []string) string {
	c.t.Helper()
	return newRun(c.t, append(args, "--probes", "none", "--dry-run")...).run().want(0).stdout.String()
}

// ukprobe overhead measures every condition that the machine has; of fewer than six
// rounds it keeps nothing for runs.
func TestOverhead(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
	notOnTheKernel(t)
	c := newCall(t)
	c.cmd.Args = append(c.cmd.Args, "overhead", "--rounds", "3", "--journal-dir", c.journal(), "--state-dir", c.state(), "--seed", fmt.Sprint(c.seed), "--json")
	leaveNothing(t, c)
	c.start().wait(patience(4 * time.Minute)).want(0)
	var r overhead.Report
	if err := json.Unmarshal([]byte(c.stdout.String()), &r); err != nil {
		t.Fatalf("%v\n%s", err, c.output())
	}
	checkOverhead(t, &r)

	if _, err := os.Stat(filepath.Join(c.state(), "overhead.json")); !os.IsNotExist(err) {
		t.Errorf("a figure of 3 rounds was kept: %v", err)
	}
}

// The figure of enough rounds is kept, and the next run stores it: with an estimate
// only where it can be told from none.
func TestOverheadIsKept(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
	notOnTheKernel(t)
	c := newCall(t)
	c.cmd.Args = append(c.cmd.Args, "overhead", "--rounds", "6", "--attach", "raw_tp", "--journal-dir", c.journal(), "--state-dir", c.state(), "--seed", fmt.Sprint(c.seed), "--json")
	leaveNothing(t, c)
	c.start().wait(patience(5 * time.Minute)).want(0)
	var r overhead.Report
	if err := json.Unmarshal([]byte(c.stdout.String()), &r); err != nil {
		t.Fatalf("%v\n%s", err, c.output())
	}
	run := newRun(t, "--only", "system=reference,app=hello,platform=qemumicrovm", "--samples", "1", "--warmup", "0", "--state-dir", c.state()).run().want(0)
	if diff := cmp.Diff(&r.Overhead, run.file().Host.Overhead); diff != "" {
		t.Errorf("measured and stored with the run (-want +got):\n%s", diff)
	}
	boot, _ := r.Overhead.Condition(results.OverheadBoot)
	noise, _ := r.Overhead.Noise(results.OverheadBootWall)
	cost, text := boot.Cost[results.OverheadBootWall], oneLine(run.stdout.String())
	told := cost.Told() && math.Abs(*cost.Ratio-1) > noise && !r.Overhead.Restless()
	if got := strings.Contains(text, "in 6 rounds: a boot with probes boot takes "); got != told || strings.Contains(text, "takes longer could not be told") == told {
		t.Errorf("told is %t, cost %+v, noise %v; the report:\n%s", told, cost, noise, run.stdout.String())
	}
}

// checkOverhead: no condition is forgotten, each has every workload in every round,
// and times are those of a guest that did something.
func checkOverhead(t *testing.T, r *overhead.Report) {
	t.Helper()
	o := &r.Overhead
	if o.Rounds != 3 || o.Measured == nil || r.Host.Kernel == "" || r.TicksPerNs <= 0 || len(o.Programs) == 0 {
		t.Errorf("rounds %d, measured %v, host %+v, %v ticks per ns, %d programs", o.Rounds, o.Measured, r.Host, r.TicksPerNs, len(o.Programs))
	}
	var names []string
	for _, c := range o.Conditions {
		names = append(names, c.Name)
		if c.Missing != "" {
			continue
		}
		for workload, cost := range c.Cost {
			if cost.MedianNs <= 0 || (cost.Ratio == nil) != (c.Name == "none") || cost.RatioCI95 != nil || len(r.Samples[workload][c.Name]) != 3 {
				t.Errorf("%s, %s: %+v, %d samples", c.Name, workload, cost, len(r.Samples[workload][c.Name]))
			}
		}
		if len(c.Cost) != 4 {
			t.Errorf("%s has %d workloads", c.Name, len(c.Cost))
		}
	}
	for _, name := range []string{"none", "none again", "bystander", "boot", "full", "fentry", "kprobe", "tp_btf", "raw_tp", "tracepoint"} {
		if !slices.Contains(names, name) {
			t.Errorf("no condition %q in %q", name, names)
		}
	}
	for _, p := range o.Programs {
		if p.Runs == 0 || p.NsRun <= 0 {
			t.Errorf("program %+v", p)
		}
	}
}

// Ctrl-C in the middle of a measurement keeps nothing and leaves nothing.
func TestOverheadInterrupt(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
	c := newCall(t)
	c.cmd.Args = append(c.cmd.Args, "overhead", "--journal-dir", c.journal(), "--state-dir", c.state(), "--seed", fmt.Sprint(c.seed))
	leaveNothing(t, c)
	c.start().waitUntil("a QEMU is there", patience(30*time.Second), func() bool { return len(qemusOf(t, c)) > 0 })
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	c.wait(patience(20 * time.Second)).want(exitInterrupted).says("interrupted: nothing was kept")
	if _, err := os.Stat(filepath.Join(c.state(), "overhead.json")); !os.IsNotExist(err) {
		t.Errorf("a figure was kept: %v", err)
	}
}

// What is missing is told in words, before anything runs.
func TestOverheadErrors(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	c := newCall(t, "overhead", "--journal-dir", "/nonexistent/j", "--rounds", "3").inPrivateMounts("mount -t tmpfs none /dev").run().want(exitFailed)
	c.says("the reference guest must run under KVM", "/dev/kvm")
	newCall(t, "overhead", "--rounds", "0").run().want(exitUsage).says("--rounds 0: must be 1 to 1000")
	newCall(t, "overhead", "--attach", "auto").run().want(exitUsage).says("--attach auto", "name a rung")
}
