// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

func TestPrintPlan(t *testing.T) {
	p := orchestrate.Plan{
		Cells: []orchestrate.PlannedCell{
			{Cell: "reference/hello/qemu/boot", Accel: "kvm", Samples: 10, Argv: []string{"/usr/bin/qemu-system-x86_64", "-m", "64", "-append", "pio=3 it's"}},
			{Cell: "process/nginx/process/boot", Accel: "none", Samples: 3, Argv: []string{"<nginx of Debian's package>"}, Device: "ukveth0", Address: "198.18.0.2/24",
				CPUs: &cpu.Plan{VCPU: []int{2}, VMM: []int{3}, Client: []int{0}, Reason: "as the matrix says", Taints: []string{"cpu plan: shared"}}},
			{Cell: "linux/hello/qemu1nic/image-size", Accel: "none", Probes: "none", Samples: 1},
			{Cell: "linux/hello/qemumicrovm/boot", Samples: 10, Status: results.CellUnsupported, Reason: "linux does not run on qemumicrovm"},
		},
		CPUs: cpu.Plan{VCPU: []int{1}, VMM: []int{1}, Client: []int{0, 2, 3}, Reason: "2 CPUs", Taints: []string{"cpu: shared"}},
		Hooks: []probe.HookStatus{
			{Hook: probe.HookExec, Rung: probe.TPBTF},
			{Hook: probe.HookEntry, Rung: probe.TPBTF, Refused: []probe.Refusal{{Rung: probe.Fentry, Reason: "forbidden"}, {Rung: probe.Kprobe, Reason: "no kprobes"}}},
			{Hook: probe.HookTCOut, OnDemand: true},
			{Hook: probe.HookRun, Refused: []probe.Refusal{{Rung: probe.Kprobe, Reason: "no kprobes"}}},
		},
	}
	var out bytes.Buffer
	printPlan(&out, p)
	p.HooksError = "not root"
	out.WriteString("\n==== without hooks ====\n")
	printPlan(&out, p)
	golden.Check(t, "plan.txt", out.String())
}

func TestProgressLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "err")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ns := int64(12_345_678)
	at := orchestrate.Progress{Step: 2, Steps: 9, Cell: "reference/hello/qemu/boot", Accel: "kvm", Sample: 1, Samples: 3, Left: 90 * time.Second}
	for _, quiet := range []bool{true, false} {
		p := newProgress(f, quiet)
		p.Log("building %s", "an image")
		warm := at
		warm.Warmup, warm.Left = true, -1
		p.Begin(warm)
		p.End(warm, results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: &ns}})
		p.End(at, results.Sample{Status: results.SampleOK})
		p.End(at, results.Sample{Status: results.SampleTimeout, Reason: "not ready after 30s"})
		p.Close()
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `building an image
[2/9] reference/hello/qemu/boot (kvm) warm-up: 12.3 ms
[2/9] reference/hello/qemu/boot (kvm) 1/3: ok, about 1m30s left
[2/9] reference/hello/qemu/boot (kvm) 1/3: timeout: not ready after 30s, about 1m30s left
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
