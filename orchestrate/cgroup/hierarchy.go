// SPDX-License-Identifier: Apache-2.0

// Package cgroup makes one cgroup v2 group per sample, so that a VMM can be
// born inside it (clone into cgroup) and BPF programs can tell its events from
// everything else on the host by the group's id.
//
// It finds the v2 hierarchy wherever it is mounted: alone at /sys/fs/cgroup, or
// beside v1 controllers (hybrid). A group needs no controller; where memory is
// counted or limited ([Memory]) the memory controller is used, of v2 or v1. Where
// the cpuset controller lives is reported only: pinning is package cpu's, through
// sched_setaffinity(2).
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNoV2 says that no cgroup v2 hierarchy is mounted.
var ErrNoV2 = errors.New("no cgroup v2 hierarchy is mounted")

// Hierarchy is where a machine's cgroups are.
type Hierarchy struct {
	Path        string   // mount point of the v2 hierarchy
	Root        string   // what of the hierarchy is mounted there: "/" for all of it
	Controllers []string // v2 controllers available at its root
	CpusetV1    string   // mount point of the v1 cpuset controller, "" when cpuset is not a v1 one
	MemoryV1    string   // likewise of the memory controller
	MemoryRoot  string   // what of that hierarchy is mounted at MemoryV1
}

// Hybrid tells whether v1 controllers are mounted beside v2, as far as cpuset
// and the usual place of the mount show it.
func (h Hierarchy) Hybrid() bool { return h.CpusetV1 != "" || filepath.Base(h.Path) == "unified" }

// Find looks for the v2 hierarchy in /proc/self/mountinfo. The error, which
// wraps ErrNoV2 when there is none, names the mount command that helps.
func Find() (Hierarchy, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Hierarchy{}, fmt.Errorf("find cgroup v2: %w", err)
	}
	h, err := parseMountinfo(string(raw))
	if err != nil {
		return Hierarchy{}, err
	}
	controllers, err := os.ReadFile(filepath.Join(h.Path, "cgroup.controllers"))
	if err != nil {
		return Hierarchy{}, fmt.Errorf("cgroup v2 at %s: %w", h.Path, err)
	}
	h.Controllers = strings.Fields(string(controllers))
	return h, nil
}

// V1Mounts are where v1 hierarchies are mounted.
func V1Mounts() ([]string, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find cgroup v1 hierarchies: %w", err)
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		if m, ok := parseMount(line); ok && m.fstype == "cgroup" {
			out = append(out, m.point)
		}
	}
	return out, nil
}

// mount is one line of mountinfo, see proc_pid_mountinfo(5).
type mount struct {
	root, point, fstype string
	options             []string // the superblock's
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func parseMount(line string) (mount, bool) {
	left, right, found := strings.Cut(line, " - ")
	l, r := strings.Fields(left), strings.Fields(right)
	if !found || len(l) < 6 || len(r) < 3 {
		return mount{}, false
	}
	return mount{
		root:    unescape.Replace(l[3]),
		point:   unescape.Replace(l[4]),
		fstype:  r[0],
		options: strings.Split(r[2], ","),
	}, true
}

// parseMountinfo picks the v2 mount and the v1 mounts of cpuset and memory. Of several v2
// mounts the one that shows the hierarchy's root wins, then the first.
func parseMountinfo(text string) (Hierarchy, error) {
	var h Hierarchy
	var sawV1, foundRoot bool
	for line := range strings.Lines(text) {
		m, ok := parseMount(line)
		if !ok {
			continue
		}
		switch m.fstype {
		case "cgroup2":
			if h.Path == "" || (m.root == "/" && !foundRoot) {
				h.Path, h.Root, foundRoot = m.point, m.root, m.root == "/"
			}
		case "cgroup":
			sawV1 = true
			if h.CpusetV1 == "" && slices.Contains(m.options, "cpuset") {
				h.CpusetV1 = m.point
			}
			if h.MemoryV1 == "" && slices.Contains(m.options, "memory") {
				h.MemoryV1, h.MemoryRoot = m.point, m.root
			}
		}
	}
	if h.Path == "" {
		return Hierarchy{}, fmt.Errorf("%w: run `%s`", ErrNoV2, remedy(sawV1))
	}
	return h, nil
}

func remedy(v1 bool) string {
	if v1 {
		return "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified"
	}
	return "mount -t cgroup2 none /sys/fs/cgroup"
}
