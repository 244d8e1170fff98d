// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ukprobe/ukprobe/results"
)

// run.json is as docs/run.schema.json says; --json prints the same, and nothing
// else.
func TestRunFile(t *testing.T) {
	needRoot(t)
	schema, err := jsonschema.NewCompiler().Compile("../../docs/run.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	m := matrix(t, "system: reference, app: [hello, http], platform: qemumicrovm",
		"system: reference, app: hello, platform: qemu, kernel: /nonexistent",
		"system: linux, app: hello, platform: qemumicrovm",
		"system: reference, app: hello, platform: qemu1nic, ready: never, timeout: 100ms",
		"system: process, app: [hello, nginx], platform: process")
	c := newRun(t, "--matrix", m, "--samples", "2", "--json").run().want(exitFailed)
	data, err := os.ReadFile(filepath.Join(c.out(), results.FileName))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"run.json": data, "--json": []byte(c.stdout.String())} {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v\n%.300s", name, err, text)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var stored, printed any
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(c.stdout.String()), &printed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stored, printed); diff != "" {
		t.Errorf("run.json and --json (-stored +printed):\n%s", diff)
	}
	checkRecord(t, c)
	if names, err := os.ReadDir(c.out()); err != nil || len(names) != 2 {
		t.Errorf("the results folder holds %v (%v), want run.json and ukprobe.db alone", names, err)
	}
}

// checkRecord checks what a run says of itself, its host and its cells.
func checkRecord(t *testing.T, c *call) {
	t.Helper()
	f := c.file()
	if f.Run.Status != results.RunOK || f.Run.Seed != uint64(c.seed) || len(f.Run.Argv) < 2 || f.Run.Finished == nil || f.Run.Version == "" {
		t.Errorf("run: %+v", f.Run)
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if f.Host.Kernel != strings.TrimSpace(string(release)) || f.Host.CPUs < 1 || len(f.Host.Accelerators) == 0 || f.Host.Versions["qemu-system-x86_64"] == "" {
		t.Errorf("host: %+v", f.Host)
	}
	want := map[string]string{
		"reference/hello on qemumicrovm": results.CellOK, "reference/http on qemumicrovm": results.CellOK,
		"reference/hello on qemu": results.CellFailed, "linux/hello on qemumicrovm": results.CellUnsupported,
		"reference/hello on qemu1nic": results.CellFailed,
		"process/hello on process":    results.CellOK, "process/nginx on process": results.CellOK,
	}
	got := map[string]string{}
	for _, cell := range f.Cells {
		name, _, _ := strings.Cut(cell.Name(), " (")
		got[name] = cell.Status
		if cell.Status == results.CellOK {
			checkSummary(t, cell)
		} else if cell.Reason == "" {
			t.Errorf("%s is %s without a reason", name, cell.Status)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status of the cells (-want +got):\n%s", diff)
	}
}

// checkSummary checks the cell's total time against its samples.
func checkSummary(t *testing.T, cell results.Cell) {
	t.Helper()
	s, ok := cell.Summary["total_ns"]
	if !ok || s.N != 2 || len(cell.Samples) != 2 || cell.Samples[0].Phases.TotalNs == nil || cell.Samples[1].Phases.TotalNs == nil {
		t.Errorf("%s: summary %+v", cell.Name(), cell.Summary)
		return
	}
	a, b := float64(*cell.Samples[0].Phases.TotalNs), float64(*cell.Samples[1].Phases.TotalNs)
	if want := (results.Summary{N: 2, Median: (a + b) / 2, Min: min(a, b), Max: max(a, b), Note: s.Note}); s.Note == "" || cmp.Diff(want, s) != "" {
		t.Errorf("%s: %s", cell.Name(), cmp.Diff(want, s))
	}
	if cell.Image == nil || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(cell.Image.SHA256) || len(cell.Argv) == 0 {
		t.Errorf("%s: image %+v, argv %v", cell.Name(), cell.Image, cell.Argv)
	}
}

// The table and the timelines that a person sees.
func TestTable(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	needKVM(t)
	c := newRun(t, "--matrix", matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: kvm")).run().want(0)
	out := c.stdout.String()
	for _, want := range []string{"boot, accelerator kvm", "reference hello qemumicrovm", "1/1", "VMM", "firmware", "guest", "total",
		"vmm_exec", "guest_entry", "firmware_end", "console_ready", "vmm_exit", "missing", c.out() + "/run.json"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") || strings.Contains(c.stderr.String(), "\x1b") || strings.Contains(c.stderr.String(), "\r") {
		t.Errorf("escape sequences for a terminal, and there is none:\n%q\n%q", out, c.stderr.String())
	}
	c.says("[1/1] reference/hello/qemumicrovm/boot (kvm)")
}

// --dry-run says what would be done and does nothing of it.
func TestDryRun(t *testing.T) {
	needRoot(t)
	c := newRun(t, "--dry-run").run().want(0).noFile()
	if left := leftOf(t, c); len(left) > 0 {
		t.Errorf("made: %v", left)
	}
	if _, err := os.Stat(c.out()); err == nil {
		t.Error("made its results folder")
	}
	out := c.stdout.String()
	for _, want := range []string{
		"reference/hello/qemu/boot", "reference/hello/qemu1nic/boot", "reference/hello/qemumicrovm/boot",
		"linux/hello/qemu1nic/boot", "linux/nginx/qemu1nic/boot", "process/hello/process/boot", "process/nginx/process/boot",
		"-machine microvm,", "ifname=uktap0", "198.18.0.", "ukveth0", "ip=198.18.0.", "cpus ", "vcpu ", "vmm ", "client ",
		"kvm_pio ", "sched_exec ", "tc_out ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	var plan struct {
		Cells []struct {
			Cell, Accel, Device string
			Argv                []string
			Samples             int
		}
		Hooks []struct{ Hook, Rung string }
	}
	if err := json.Unmarshal([]byte(newRun(t, "--dry-run", "--json").run().want(0).stdout.String()), &plan); err != nil {
		t.Fatal(err)
	}
	if len(plan.Cells) != 7 || len(plan.Hooks) < 15 {
		t.Errorf("%d cells and %d hooks, want 7 and all", len(plan.Cells), len(plan.Hooks))
	}
	for _, cell := range plan.Cells {
		if cell.Accel == "" || cell.Samples != 10 || len(cell.Argv) == 0 {
			t.Errorf("planned: %+v", cell)
		}
	}
}

// The argv that --dry-run prints is the one that is run, but for the image's path.
func TestDryRunTellsTheTruth(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	needKVM(t)
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: kvm, args: pio=3, memory_mib: 64")
	var plan struct{ Cells []struct{ Argv []string } }
	if err := json.Unmarshal([]byte(newRun(t, "--matrix", m, "--dry-run", "--json").run().want(0).stdout.String()), &plan); err != nil {
		t.Fatal(err)
	}
	done := newRun(t, "--matrix", m).run().want(0).cell(1).Argv
	planned := plan.Cells[0].Argv
	for i, word := range planned {
		if i > 0 && planned[i-1] == "-kernel" {
			planned[i] = done[i]
		}
		_ = word
	}
	if diff := cmp.Diff(planned, done); diff != "" {
		t.Errorf("argv (-planned +done):\n%s", diff)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, tc := range []struct {
		args []string
		exit int
		want []string // on standard output, or on standard error after a failure
	}{
		{nil, 0, []string{"USAGE", "run", "clean", "version"}},
		{[]string{"--help"}, 0, []string{"USAGE", "run", "clean", "version"}},
		{[]string{"run", "--help"}, 0, []string{"--matrix", "--only", "--samples", "--warmup", "--seed", "--timeout", "--out", "--listen", "--linger", "--attach", "--strict", "--accel", "--dry-run", "--json"}},
		{[]string{"clean", "--help"}, 0, []string{"journal"}},
		{[]string{"version"}, 0, []string{"ukprobe ", " go1."}},
		{[]string{"--version"}, 0, []string{"ukprobe"}},
		{[]string{"frobnicate"}, exitUsage, []string{`"frobnicate"`, "--help"}},
		{[]string{"version", "now"}, exitUsage, []string{`"now"`}},
		{[]string{"clean", "everything"}, exitUsage, []string{`"everything"`}},
	} {
		c := newCall(t, tc.args...).run().want(tc.exit)
		text := c.stdout.String()
		if tc.exit != 0 {
			text = c.stderr.String()
		}
		for _, want := range tc.want {
			if !strings.Contains(text, want) {
				t.Errorf("%v: no %q in:\n%s", tc.args, want, text)
			}
		}
	}
}

func TestCleanWithNothingToClean(t *testing.T) {
	needRoot(t)
	for _, dir := range []string{t.TempDir(), "/nonexistent/journals"} {
		if got := newCall(t, "clean", "--journal-dir", dir).run().want(0).stdout.String(); got != "nothing to clean\n" {
			t.Errorf("clean of %s says %q", dir, got)
		}
	}
}
