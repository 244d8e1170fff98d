// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/results"
)

// TestPlanned: each kind of wire, an image that is built later, and a refusal.
func TestPlanned(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("needs qemu-system-x86_64: apt-get install qemu-system-x86")
	}
	o := Options{Matrix: parse(t, `version: 1
cells:
  - {system: reference, app: hello, platform: qemu}
  - {system: linux, app: hello, platform: qemu1nic, args: debug}
  - {system: process, app: nginx, platform: process}
  - {system: linux, app: hello, platform: qemumicrovm}
`)}
	cells, err := o.expand()
	if err != nil {
		t.Fatal(err)
	}
	var got []PlannedCell
	for _, c := range cells {
		got = append(got, resolve(c, system.All(system.Env{}), platform.Host{KVM: true}).planned())
	}
	tests := []struct {
		text, device, address, status string
		argv                          []string // among others
	}{
		{"reference/hello/qemu/boot (kvm, 10 samples)", "", "", "", []string{"pc,accel=kvm", system.Unbuilt}},
		{"linux/hello/qemu1nic/boot (tcg, 10 samples)", "uktap0", "198.18.0.2/24", "", []string{"-initrd", "tap,id=n0,ifname=uktap0,script=no,downscript=no"}},
		{"process/nginx/process/boot (none, 10 samples)", "ukveth0", "198.18.0.2/24", "", []string{"<nginx of Debian's package>"}},
		{"linux/hello/qemumicrovm/boot (10 samples)", "", "", results.CellUnsupported, nil},
	}
	for i, tt := range tests {
		g := got[i]
		if g.String() != tt.text || g.Device != tt.device || g.Address != tt.address || g.Status != tt.status || !strings.HasPrefix(g.Pos, "test.yaml:") {
			t.Errorf("%+v: want %+v", g, tt)
		}
		for _, arg := range tt.argv {
			if !slices.Contains(g.Argv, arg) {
				t.Errorf("%s: %q lacks %q", tt.text, g.Argv, arg)
			}
		}
		if (g.Status == "") == (len(g.Argv) == 0) {
			t.Errorf("%s: status %q with argv %q", tt.text, g.Status, g.Argv)
		}
	}
	if cmdline := got[1].Argv[len(got[1].Argv)-1]; !strings.Contains(cmdline, "debug") || !strings.Contains(cmdline, "ip=198.18.0.2::198.18.0.1:255.255.255.0::eth0:off") {
		t.Errorf("the guest's command line would be %q", cmdline)
	}
}

// TestMakePlan: cells, CPUs, and the hooks or why they could not be tried.
func TestMakePlan(t *testing.T) {
	p, err := MakePlan(Options{Matrix: parse(t, twoCells), Attach: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Cells) != 2 || p.CPUs.Reason == "" || (len(p.Hooks) == 0) == (p.HooksError == "") {
		t.Errorf("plan %+v", p)
	}
	if _, err := MakePlan(Options{Matrix: parse(t, strings.Replace(twoCells, "hello", "helo", 1))}); err == nil {
		t.Error("a matrix with an unknown app gives a plan")
	}
}

// TestMakePlanCPUs: a cell with CPUs of its own has them in the plan.
func TestMakePlanCPUs(t *testing.T) {
	p, err := MakePlan(Options{Matrix: parse(t, `version: 1
cells:
  - {system: process, app: hello, platform: process, probes: none}
  - {system: process, app: nginx, platform: process, probes: none, cpu: {vmm: 0, client: 0}}
  - {system: process, app: redis, platform: process, probes: none}
  - {system: process, app: nginx, platform: process, experiment: image-size, cpu: {vmm: 0}}
`), Attach: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	own := p.Cells[1].CPUs
	if own == nil || !slices.Equal(own.VMM, []int{0}) || !slices.Equal(own.Client, []int{0}) {
		t.Errorf("%+v", own)
	}
	for _, i := range []int{0, 2, 3} {
		if p.Cells[i].CPUs != nil {
			t.Errorf("%s: %+v", p.Cells[i].Cell, p.Cells[i].CPUs)
		}
	}
}
