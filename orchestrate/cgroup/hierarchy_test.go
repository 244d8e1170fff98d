// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMountinfo(t *testing.T) {
	const proc = "22 1 0:20 / /proc rw,relatime - proc proc rw\n"
	tests := []struct {
		name, in, remedy string
		want             Hierarchy
	}{
		{
			name: "pure v2 (Debian 12)",
			in:   proc + "31 24 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
			want: Hierarchy{Path: "/sys/fs/cgroup", Root: "/"},
		},
		{
			name: "hybrid (systemd before v247)",
			in: proc + `25 18 0:22 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
27 25 0:24 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd
33 25 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:17 - cgroup cgroup rw,cpu,cpuacct
34 25 0:31 / /sys/fs/cgroup/cpuset rw,nosuid shared:18 - cgroup cgroup rw,cpuset
35 25 0:32 / /sys/fs/cgroup/memory rw,nosuid shared:19 - cgroup cgroup rw,memory
`,
			want: Hierarchy{Path: "/sys/fs/cgroup/unified", Root: "/", CpusetV1: "/sys/fs/cgroup/cpuset", MemoryV1: "/sys/fs/cgroup/memory", MemoryRoot: "/"},
		},
		{
			name: "container: a part of v2, and the root mounted elsewhere with a blank in its name",
			in: proc + `40 30 0:27 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw
41 30 0:27 / /mnt/c\040g rw - cgroup2 cgroup rw
`,
			want: Hierarchy{Path: "/mnt/c g", Root: "/"},
		},
		{
			name: "container: only a part of v2",
			in:   proc + "40 30 0:27 /../.. /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
			want: Hierarchy{Path: "/sys/fs/cgroup", Root: "/../.."},
		},
		{
			name:   "v1 only",
			in:     proc + "34 25 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n",
			remedy: "mount -t cgroup2 none /sys/fs/cgroup/unified",
		},
		{name: "none", in: proc, remedy: "mount -t cgroup2 none /sys/fs/cgroup`"},
		{name: "garbage", in: "cgroup2\n - cgroup2\n\n", remedy: "mount -t cgroup2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseMountinfo(tt.in)
			if tt.remedy != "" {
				if !errors.Is(err, ErrNoV2) || !strings.Contains(err.Error(), tt.remedy) {
					t.Errorf("got %v, want ErrNoV2 with %q", err, tt.remedy)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParsePopulated(t *testing.T) {
	for in, want := range map[string]bool{"populated 1\nfrozen 0\n": true, "frozen 0\npopulated 0\n": false} {
		if got, err := parsePopulated(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	if _, err := parsePopulated("frozen 0\n"); err == nil {
		t.Error("no populated line and no error")
	}
}

func TestParsePids(t *testing.T) {
	got, err := parsePids("12\n0\n7\n")
	if diff := cmp.Diff([]int{12, 0, 7}, got); diff != "" || err != nil {
		t.Errorf("%s%v", diff, err)
	}
	if _, err := parsePids("x\n"); err == nil {
		t.Error("x taken for a pid")
	}
}

// TestLevel: groups are as deep as their path, and what lies above the mount.
func TestLevel(t *testing.T) {
	for root, want := range map[string]int{"/": 3, "/docker/ab": 5} {
		if got := (Hierarchy{Root: root}).Level(); got != want {
			t.Errorf("mounted from %s: level %d, want %d", root, got, want)
		}
	}
	h, j, run := lab(t)
	g, err := h.New(j, run, "s1")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if want := strings.Count(h.Name(g), "/"); h.Root == "/" && h.Level() != want {
		t.Errorf("%s: level %d, want %d", h.Name(g), h.Level(), want)
	}
}
