// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"strings"
	"testing"
)

func TestFilter(t *testing.T) {
	p := newFakeProc(t)
	p.add(10, 100, "/", true, "qemu-system-x86_64")
	web := Process{PID: 20, Start: 1, Cgroup: `/machine.slice/machine-qemu\x2d3\x2dweb.scope/emulator`}
	reused := Process{PID: 10, Start: 101}
	tests := []struct {
		what  string
		words Words
		p     Process
		want  bool
	}{
		{"all", Words{All: true}, Process{PID: 1}, true},
		{"the pid", Words{PIDs: []int{10}}, Process{PID: 10, Start: 100}, true},
		{"the pid of another process by now", Words{PIDs: []int{10}}, reused, false},
		{"another pid", Words{PIDs: []int{10}}, web, false},
		{"a slice, absolute", Words{Cgroups: []string{"/sys/fs/cgroup/machine.slice"}}, web, true},
		{"a slice, relative", Words{Cgroups: []string{"machine.slice/"}}, web, true},
		{"a slice, from the root", Words{Cgroups: []string{"/machine.slice"}}, web, true},
		{"a scope", Words{Cgroups: []string{`machine.slice/machine-qemu\x2d3\x2dweb.scope`}}, web, true},
		{"what only begins so", Words{Cgroups: []string{"machine.slic"}}, web, false},
		{"the whole hierarchy", Words{Cgroups: []string{"/sys/fs/cgroup"}}, web, true},
		{"v1", Words{Cgroups: []string{"machine"}}, Process{Legacy: []string{"/machine/vm"}}, true},
		{"a name", Words{Names: []string{"^web$"}}, web, true},
		{"part of a name", Words{Names: []string{"e"}}, web, true},
		{"another name", Words{Names: []string{"^db"}}, web, false},
		{"no name", Words{Names: []string{""}}, Process{Comm: "x"}, false},
		{"any of several", Words{Names: []string{"^db"}, PIDs: []int{10}, Cgroups: []string{"x", "machine.slice"}}, web, true},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			f, err := newFilter(tt.words, p.proc)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Match(tt.p, Identify(tt.p)); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestFilterErrors(t *testing.T) {
	p := newFakeProc(t)
	for want, words := range map[string]Words{
		"which VMs?":                         {},
		"--all takes every VM":               {All: true, PIDs: []int{1}},
		"--pid 99: there is no such process": {PIDs: []int{99}},
		"--pid -1: there is no such process": {PIDs: []int{-1}},
		"--name (: error parsing regexp":     {Names: []string{"("}},
		"--cgroup  : give a path":            {Cgroups: []string{" "}},
	} {
		if _, err := newFilter(words, p.proc); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", words, err, want)
		}
	}
}

// TestCgroupMounts: the hybrid layout, where v2 lies beside v1's below one folder,
// and a container's, where another cgroup is mounted as the root.
func TestCgroupMounts(t *testing.T) {
	p := newFakeProc(t)
	p.write("self/mountinfo", `1 0 0:1 / /sys/fs/cgroup rw - tmpfs tmpfs rw
2 1 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
3 1 0:3 /docker/x /sys/fs/cgroup/unified rw shared:1 - cgroup2 cgroup2 rw
4 1 0:4 / /mnt/a\040b rw - cgroup2 cgroup2 rw
`)
	mounts := cgroupMounts(p.proc)
	for text, want := range map[string]Cgroup{
		"/sys/fs/cgroup/unified/vms": {path: "/docker/x/vms", dir: "/sys/fs/cgroup/unified/vms"},
		"/sys/fs/cgroup/unified":     {path: "/docker/x", dir: "/sys/fs/cgroup/unified"},
		"/sys/fs/cgroup/cpu/machine": {path: "/machine", dir: "/sys/fs/cgroup/cpu/machine"},
		"/mnt/a b/c":                 {path: "/c", dir: "/mnt/a b/c"},
		"vms/../vms/a":               {path: "/vms/a", dir: "/sys/fs/cgroup/unified/vms/a"},
	} {
		if got, err := newCgroup(text, mounts); err != nil || got != want {
			t.Errorf("%s: %+v, %v: want %+v", text, got, err, want)
		}
	}
	if got, err := newCgroup("/sys/fs/cgroup/machine.slice", mounts); err == nil {
		t.Errorf("below a folder that is no hierarchy: %+v", got)
	}
}
