// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// machine makes the part of /sys that a plan depends on. cores are lists of
// sibling CPUs; every second half of them is on package 1 if packages is 2.
func machine(isolated string, packages int, cores ...string) fstest.MapFS {
	m := fstest.MapFS{}
	put := func(path, text string) { m[sysCPU+path] = &fstest.MapFile{Data: []byte(text + "\n")} }
	var all []int
	for i, list := range cores {
		cpus, err := ParseList(list)
		if err != nil {
			panic(err)
		}
		all = append(all, cpus...)
		for _, c := range cpus {
			put(fmt.Sprintf("cpu%d/topology/core_cpus_list", c), list)
			put(fmt.Sprintf("cpu%d/topology/physical_package_id", c), fmt.Sprint(i*packages/len(cores)))
		}
	}
	slices.Sort(all)
	put("online", FormatList(all))
	put("isolated", isolated)
	return m
}

func TestPlan(t *testing.T) {
	tests := []struct {
		name   string
		fs     fstest.MapFS
		usable string // "" = all
		vcpus  int    // 0 = 1
		want   Plan
	}{
		{
			name: "one CPU", fs: machine("", 1, "0"),
			want: Plan{VCPU: []int{0}, VMM: []int{0}, Client: []int{0}, Taints: []string{
				"vcpu and vmm share cpu 0", "vcpu and client share cpu 0", "vmm and client share cpu 0",
				"vcpu on cpu 0, which is not isolated", "vmm on cpu 0, which is not isolated",
			}},
		},
		{
			name: "two CPUs (the development machine)", fs: machine("", 1, "0", "1"),
			want: Plan{VCPU: []int{1}, VMM: []int{1}, Client: []int{0}, Taints: []string{
				"vcpu and vmm share cpu 1", "vcpu on cpu 1, which is not isolated", "vmm on cpu 1, which is not isolated",
			}},
		},
		{
			name: "two CPUs, one isolated", fs: machine("0", 1, "0", "1"),
			want: Plan{VCPU: []int{0}, VMM: []int{0}, Client: []int{1}, Taints: []string{"vcpu and vmm share cpu 0"}},
		},
		{
			name: "one core with SMT", fs: machine("", 1, "0-1"),
			want: Plan{VCPU: []int{1}, VMM: []int{1}, Client: []int{0}, Taints: []string{
				"vcpu and vmm share cpu 1", "vcpu and client share a physical core (cpus 1 and 0)",
				"vmm and client share a physical core (cpus 1 and 0)",
				"vcpu on cpu 1, which is not isolated", "vmm on cpu 1, which is not isolated",
			}},
		},
		{
			name: "two cores with SMT", fs: machine("", 1, "0,2", "1,3"),
			want: Plan{VCPU: []int{1}, VMM: []int{2}, Client: []int{0}, Taints: []string{
				"vmm and client share a physical core (cpus 2 and 0)",
				"vcpu on cpu 1, which is not isolated", "vmm on cpu 2, which is not isolated",
				"cpu 3, an SMT sibling of cpu 1, is open to other tasks",
			}},
		},
		{
			name: "four cores", fs: machine("", 1, "0", "1", "2", "3"),
			want: Plan{VCPU: []int{1}, VMM: []int{2}, Client: []int{0, 3}, Taints: []string{
				"vcpu on cpu 1, which is not isolated", "vmm on cpu 2, which is not isolated",
			}},
		},
		{
			name: "the published set-up: SMT off, cores isolated", fs: machine("4-7", 1, "0", "1", "2", "3", "4", "5", "6", "7"),
			want: Plan{VCPU: []int{4}, VMM: []int{5}, Client: []int{0, 1, 2, 3}},
		},
		{
			name: "all but CPU 0 isolated, with SMT", fs: machine("1-3,5-7", 1, "0,4", "1,5", "2,6", "3,7"),
			want: Plan{VCPU: []int{1}, VMM: []int{2}, Client: []int{0, 4}},
		},
		{
			name: "two packages: vcpu and vmm on one", fs: machine("", 2, "0", "2", "4", "1", "3", "5"),
			want: Plan{VCPU: []int{2}, VMM: []int{4}, Client: []int{0, 1, 3, 5}, Taints: []string{
				"vcpu on cpu 2, which is not isolated", "vmm on cpu 4, which is not isolated",
			}},
		},
		{
			name: "a cpuset leaves two of eight", fs: machine("", 1, "0,4", "1,5", "2,6", "3,7"), usable: "2,3",
			want: Plan{VCPU: []int{2}, VMM: []int{2}, Client: []int{3}, Taints: []string{
				"vcpu and vmm share cpu 2", "vcpu on cpu 2, which is not isolated", "vmm on cpu 2, which is not isolated",
				"cpu 6, an SMT sibling of cpu 2, is open to other tasks",
			}},
		},
		{
			name: "two vcpus on the development machine share one CPU", fs: machine("", 1, "0", "1"), vcpus: 2,
			want: Plan{VCPU: []int{1}, VMM: []int{1}, Client: []int{0}, Taints: []string{
				"vcpu and vmm share cpu 1", "vcpu on cpu 1, which is not isolated", "vmm on cpu 1, which is not isolated",
			}},
		},
		{
			name: "two vcpus on four cores", fs: machine("", 1, "0", "1", "2", "3"), vcpus: 2,
			want: Plan{VCPU: []int{1, 2}, VMM: []int{3}, Client: []int{0}, Taints: []string{
				"vcpu on cpu 1, which is not isolated", "vcpu on cpu 2, which is not isolated", "vmm on cpu 3, which is not isolated",
			}},
		},
		{
			name: "four vcpus, four isolated of eight", fs: machine("4-7", 1, "0", "1", "2", "3", "4", "5", "6", "7"), vcpus: 4,
			want: Plan{VCPU: []int{4, 5, 6, 7}, VMM: []int{1}, Client: []int{0, 2, 3}, Taints: []string{"vmm on cpu 1, which is not isolated"}},
		},
		{
			name: "more vcpus than cores, with SMT", fs: machine("1-3,5-7", 1, "0,4", "1,5", "2,6", "3,7"), vcpus: 3,
			want: Plan{VCPU: []int{1, 2, 5}, VMM: []int{3}, Client: []int{0, 4}, Taints: []string{
				"one vcpu and another share a physical core (cpus 1 and 5)",
			}},
		},
		{
			name: "more vcpus than CPUs", fs: machine("1-3", 1, "0", "1", "2", "3"), vcpus: 8,
			want: Plan{VCPU: []int{1, 2}, VMM: []int{3}, Client: []int{0}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			usable, err := onlineCPUs(tt.fs)
			if tt.usable != "" {
				usable, err = ParseList(tt.usable)
			}
			if err != nil {
				t.Fatal(err)
			}
			topo, err := readTopology(tt.fs, usable)
			if err != nil {
				t.Fatal(err)
			}
			got := topo.plan(max(tt.vcpus, 1))
			if got.Reason == "" {
				t.Error("a plan without a reason")
			}
			got.Reason = ""
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOldAndBareKernels(t *testing.T) {
	bare := fstest.MapFS{sysCPU + "online": {Data: []byte("0-2\n")}}
	topo, err := readTopology(bare, []int{0, 1, 2})
	if err != nil || len(topo.cores) != 3 {
		t.Errorf("no topology files: %+v, %v", topo, err)
	}
	old := fstest.MapFS{sysCPU + "online": {Data: []byte("0-1\n")}}
	for _, c := range []string{"cpu0", "cpu1"} {
		old[sysCPU+c+"/topology/thread_siblings_list"] = &fstest.MapFile{Data: []byte("0-1\n")}
	}
	topo, err = readTopology(old, []int{0, 1})
	if err != nil || len(topo.cores) != 1 {
		t.Errorf("before Linux 5.3: %+v, %v", topo, err)
	}
	if _, err := readTopology(bare, nil); err == nil {
		t.Error("no usable CPU and no error")
	}
	if _, err := onlineCPUs(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "is /sys mounted?") {
		t.Errorf("no /sys: %v", err)
	}
}

func TestLists(t *testing.T) {
	for in, want := range map[string][]int{
		"": nil, "\n": nil, "0": {0}, "0-3,8,10-11\n": {0, 1, 2, 3, 8, 10, 11}, "3,1-2": {1, 2, 3}, "1,1": {1},
	} {
		got, err := ParseList(in)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ParseList(%q): %v\n%s", in, err, diff)
		}
	}
	for _, in := range []string{"x", "3-1", "-1", "1-", "0-99999999", "1;2"} {
		if got, err := ParseList(in); err == nil {
			t.Errorf("ParseList(%q) = %v", in, got)
		}
	}
	for want, in := range map[string][]int{"": nil, "0-3,8,10-11": {0, 1, 2, 3, 8, 10, 11}, "1,3": {1, 3}} {
		if got := FormatList(in); got != want {
			t.Errorf("FormatList(%v) = %q, want %q", in, got, want)
		}
	}
}

// TestPlanAsWanted: CPUs that a person names are taken as they are, with the taints
// that they deserve; the other roles get what is left; and where one does not exist the
// plan is an automatic one and says so.
func TestPlanAsWanted(t *testing.T) {
	eight := machine("2-5", 1, "0", "1", "2", "3", "4", "5", "6", "7")
	tests := []struct {
		name   string
		fs     fstest.MapFS
		vcpus  int
		wanted Wanted
		want   Plan
	}{
		{name: "all", fs: eight, wanted: Wanted{VCPU: []int{2}, VMM: []int{3}, Client: []int{6, 7}},
			want: Plan{VCPU: []int{2}, VMM: []int{3}, Client: []int{6, 7}}},
		{name: "vcpus only", fs: eight, vcpus: 2, wanted: Wanted{VCPU: []int{4, 5}},
			want: Plan{VCPU: []int{4, 5}, VMM: []int{2}, Client: []int{0, 1, 6, 7}}},
		{name: "shared, and not isolated", fs: eight, wanted: Wanted{VCPU: []int{7}, VMM: []int{7}, Client: []int{0}},
			want: Plan{VCPU: []int{7}, VMM: []int{7}, Client: []int{0}, Taints: []string{
				"vcpu and vmm share cpu 7", "vcpu on cpu 7, which is not isolated", "vmm on cpu 7, which is not isolated"}}},
		{name: "siblings", fs: machine("0-3", 1, "0,2", "1,3"), wanted: Wanted{VCPU: []int{1}, VMM: []int{3}, Client: []int{0}},
			want: Plan{VCPU: []int{1}, VMM: []int{3}, Client: []int{0}, Taints: []string{"vcpu and vmm share a physical core (cpus 1 and 3)"}}},
		{name: "nothing is left", fs: machine("", 1, "0", "1"), wanted: Wanted{VCPU: []int{0}, VMM: []int{1}},
			want: Plan{VCPU: []int{0}, VMM: []int{1}, Client: []int{0, 1}, Taints: []string{
				"vcpu and client share cpu 0", "vmm and client share cpu 1", "vcpu on cpu 0, which is not isolated", "vmm on cpu 1, which is not isolated"}}},
		{name: "too small", fs: machine("", 1, "0", "1"), wanted: Wanted{VCPU: []int{2}, VMM: []int{3}, Client: []int{4, 5}},
			want: Plan{VCPU: []int{1}, VMM: []int{1}, Client: []int{0}, Taints: []string{
				"cpu plan: not as wanted (vcpu 2, vmm 3, client 4-5): cpus 2-5 are not online or not in ukprobe's cpuset; in place of it: 2 CPUs: the guest (vcpu and vmm) on one, client and ukprobe on the other",
				"vcpu and vmm share cpu 1", "vcpu on cpu 1, which is not isolated", "vmm on cpu 1, which is not isolated"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			online, err := onlineCPUs(tt.fs)
			if err != nil {
				t.Fatal(err)
			}
			top, err := readTopology(tt.fs, online)
			if err != nil {
				t.Fatal(err)
			}
			got := top.planAs(max(tt.vcpus, 1), tt.wanted)
			if got.Reason == "" {
				t.Error("no reason")
			}
			for i, taint := range got.Taints {
				if Degraded(taint) != (i == 0 && tt.name == "too small") {
					t.Errorf("degraded: %q", taint)
				}
			}
			got.Reason = ""
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
