// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

const sysCPU = "sys/devices/system/cpu/"

// maxCPU bounds a CPU number: what unix.CPUSet can hold.
const maxCPU = 1024

// ParseList reads a list of CPUs as the kernel writes it, "0-3,8,10-11"; the
// empty string is the empty list.
func ParseList(s string) ([]int, error) {
	var out []int
	s = strings.TrimSpace(s)
	if s == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		a, errA := strconv.Atoi(low)
		b, errB := strconv.Atoi(high)
		if errA != nil || errB != nil || a < 0 || b < a || b >= maxCPU {
			return nil, fmt.Errorf("CPU list %q: want numbers and ranges like 0-3,8, below %d", s, maxCPU)
		}
		for c := a; c <= b; c++ {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// FormatList writes CPUs as the kernel does.
func FormatList(cpus []int) string {
	var parts []string
	for i := 0; i < len(cpus); {
		j := i
		for j+1 < len(cpus) && cpus[j+1] == cpus[j]+1 {
			j++
		}
		part := strconv.Itoa(cpus[i])
		if j > i {
			part += "-" + strconv.Itoa(cpus[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

func onlineCPUs(root fs.FS) ([]int, error) {
	cpus, err := readList(root, sysCPU+"online")
	if err == nil && len(cpus) == 0 {
		err = errors.New("no CPU online")
	}
	if err != nil {
		return nil, fmt.Errorf("online CPUs: %w: is /sys mounted?", err)
	}
	return cpus, nil
}

func readList(root fs.FS, path string) ([]int, error) {
	raw, err := fs.ReadFile(root, path)
	if err != nil {
		return nil, err
	}
	return ParseList(string(raw))
}

// readTopology groups the usable CPUs into physical cores. A kernel without
// topology files, or without isolated, is one without SMT and isolation.
func readTopology(root fs.FS, usable []int) (topology, error) {
	online, err := onlineCPUs(root)
	if err != nil {
		return topology{}, err
	}
	if len(usable) == 0 {
		return topology{}, errors.New("no online CPU is usable by this process: check its cpuset")
	}
	t := topology{online: online, sibling: map[int][]int{}}
	if t.isolated, err = readList(root, sysCPU+"isolated"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return topology{}, fmt.Errorf("isolated CPUs: %w", err)
	}
	for _, c := range usable {
		if t.sibling[c], err = siblings(root, c); err != nil {
			return topology{}, err
		}
	}
	for _, c := range usable {
		t.addToCore(c, packageOf(root, c))
	}
	for i := range t.cores {
		t.cores[i].isolated = !slices.ContainsFunc(t.cores[i].cpus, func(c int) bool { return !slices.Contains(t.isolated, c) })
	}
	return t, nil
}

func (t *topology) addToCore(c, pkg int) {
	for i := range t.cores {
		if slices.Contains(t.sibling[t.cores[i].cpus[0]], c) {
			t.cores[i].cpus = append(t.cores[i].cpus, c)
			return
		}
	}
	t.cores = append(t.cores, core{cpus: []int{c}, pkg: pkg})
}

// siblings are the CPUs of c's physical core, c among them.
func siblings(root fs.FS, c int) ([]int, error) {
	dir := fmt.Sprintf("%scpu%d/topology/", sysCPU, c)
	for _, file := range []string{"core_cpus_list", "thread_siblings_list"} { // the second before Linux 5.3
		list, err := readList(root, dir+file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("siblings of cpu %d: %w", c, err)
		}
		return list, nil
	}
	return []int{c}, nil
}

func packageOf(root fs.FS, c int) int {
	raw, err := fs.ReadFile(root, fmt.Sprintf("%scpu%d/topology/physical_package_id", sysCPU, c))
	if err != nil {
		return 0
	}
	id, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0
	}
	return id
}
