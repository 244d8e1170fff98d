// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// threads is a Watch that knows threads of vCPUs.
type threads struct {
	*script
	tids []int
}

func (w threads) VCPUs() ([]int, error) { return w.tids, nil }

// sleepers starts processes that stand for threads of vCPUs.
func sleepers(t *testing.T, n int) []int {
	t.Helper()
	var pids []int
	for range n {
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		pids = append(pids, cmd.Process.Pid)
	}
	return pids
}

// allowed is where a process may run, in the kernel's words.
func allowed(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return strings.TrimSpace(list)
		}
	}
	return ""
}

// TestPinsEveryVCPU: each vCPU has the next CPU of the plan as its thread becomes
// known, the first to run first; with too few CPUs they go round, and that is told.
func TestPinsEveryVCPU(t *testing.T) {
	plan, err := cpu.MakePlan(1)
	if err != nil {
		t.Fatal(err)
	}
	here := append(append([]int{}, plan.VCPU...), plan.Client...)
	if len(here) < 2 {
		t.Skip("needs two CPUs")
	}
	a, b := here[0], here[1]
	tests := []struct {
		name   string
		vcpus  int
		cpus   []int
		seen   int // of the threads, in the second round
		want   []string
		taints []string
	}{
		{"each its own", 2, []int{a, b}, 2, []string{strconv.Itoa(a), strconv.Itoa(b)}, nil},
		{"three on two", 3, []int{a, b}, 3, []string{strconv.Itoa(a), strconv.Itoa(b), strconv.Itoa(a)}, []string{"3 vcpus share cpu " + cpu.FormatList([]int{min(a, b), max(a, b)})}},
		{"one does not run", 2, []int{a, b}, 1, []string{strconv.Itoa(a), ""}, []string{"1 of 2 vcpus pinned: the others were not seen in KVM"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pids := sleepers(t, tt.vcpus)
			before := allowed(t, pids[0])
			e := &Boot{Accel: platform.KVM, CPUs: cpu.Plan{VCPU: tt.cpus, VMM: []int{a}}, Settings: matrix.Settings{VCPUs: tt.vcpus, Probes: matrix.ProbesBoot}}
			var p pinning
			var s Sample
			e.pin(&p, &s, probe.Timeline{}, threads{}) // nothing is known yet
			first := probe.Timeline{Events: []probe.Event{{Name: probe.EventFirstRun, NS: 1, TID: pids[0]}}}
			e.pin(&p, &s, first, threads{tids: pids[:1]})
			e.pin(&p, &s, first, threads{tids: pids[:tt.seen]})
			e.pinned(&p, &s)
			for i, want := range tt.want {
				if want == "" {
					want = before
				}
				if got := allowed(t, pids[i]); got != want {
					t.Errorf("vCPU %d may run on %s, want %s", i, got, want)
				}
			}
			if diff := cmp.Diff(tt.taints, s.Taints); diff != "" {
				t.Errorf("taints (-want +got):\n%s", diff)
			}
		})
	}
}
