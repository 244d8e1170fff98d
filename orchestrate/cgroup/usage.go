// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Usage is what a group's memory controller has charged to it, in bytes. A page is
// charged to the group that first touched it: page cache that was there before is
// nobody's here. All but Current are of memory.stat, which the kernel adds up of its CPUs
// every two seconds or so: they can be that late (mm/memcontrol.c, flush_memcg_stats_dwork).
type Usage struct {
	Current int64 // all of it
	Anon    int64 // anonymous memory
	File    int64 // page cache, tmpfs and memfd
	Kernel  int64 // page tables, stacks, slab; -1 if this kernel does not tell
}

// Usage reads what is charged now.
func (m *Memory) Usage() (Usage, error) {
	stat, err := m.table("memory.stat")
	if err != nil {
		return Usage{}, err
	}
	if !m.V2 {
		u := Usage{Anon: stat["total_rss"], File: stat["total_cache"], Kernel: -1}
		if kernel, err := m.number("memory.kmem.usage_in_bytes"); err == nil {
			u.Kernel = kernel
		}
		u.Current, err = m.number("memory.usage_in_bytes")
		return u, err
	}
	u := Usage{Anon: stat["anon"], File: stat["file"]}
	kernel, told := stat["kernel"] // since Linux 5.18
	if !told {
		kernel = stat["kernel_stack"] + stat["pagetables"] + stat["percpu"] + stat["slab"]
	}
	u.Kernel = kernel
	u.Current, err = m.number("memory.current")
	return u, err
}

// OutOfMemory is how many processes the kernel has killed because the group, or one
// below it, had reached its limit.
func (m *Memory) OutOfMemory() (int64, error) {
	if m.V2 {
		t, err := m.table("memory.events")
		return t["oom_kill"], err
	}
	return m.killsBelow(m.Path)
}

// killsBelow adds up a v1 tree: there a kill counts only in the process's own group.
func (m *Memory) killsBelow(path string) (int64, error) {
	var n int64
	err := walk(path, func(dir string) error {
		raw, err := os.ReadFile(filepath.Join(dir, "memory.oom_control"))
		n += parseTable(string(raw))["oom_kill"] // since Linux 4.13
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return n, fmt.Errorf("memory cgroup: %w", err)
	}
	return n, nil
}

// chargeBatch is what the kernel charges in advance at a time, in bytes:
// MEMCG_CHARGE_BATCH of 64 pages (include/linux/memcontrol.h).
const chargeBatch = 64 * 4096

// Mark has AtLimit look only at what comes after: until then page cache that nobody
// needs any more may have filled the group, and have been taken back without harm.
func (m *Memory) Mark() (err error) {
	if m.V2 {
		m.marked, err = m.timesAtLimit()
		return err
	}
	if err := write(filepath.Join(m.Path, highestUse), "0"); err != nil { // whatever is written, it begins with what is used now
		return fmt.Errorf("memory cgroup: %w", err)
	}
	return nil
}

// AtLimit says whether the group has been at its limit since the last Mark, so that
// memory had to be taken back. Of v1 the highest use tells that: newer kernels do not
// count there how often it happened.
func (m *Memory) AtLimit() (bool, error) {
	if m.V2 {
		n, err := m.timesAtLimit()
		return n > m.marked, err
	}
	limit, err := m.number("memory.limit_in_bytes")
	if err != nil {
		return false, err
	}
	most, err := m.number(highestUse)
	return most > limit-chargeBatch, err
}

const highestUse = "memory.max_usage_in_bytes"

// timesAtLimit is how often a v2 group was at its limit so far.
func (m *Memory) timesAtLimit() (int64, error) {
	t, err := m.table("memory.events")
	return t["max"], err
}

func (m *Memory) number(file string) (int64, error) {
	raw, err := os.ReadFile(filepath.Join(m.Path, file))
	if err != nil {
		return 0, fmt.Errorf("memory cgroup: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory cgroup: %s: %w", file, err)
	}
	return n, nil
}

func (m *Memory) table(file string) (map[string]int64, error) {
	raw, err := os.ReadFile(filepath.Join(m.Path, file))
	if err != nil {
		return nil, fmt.Errorf("memory cgroup: %w", err)
	}
	return parseTable(string(raw)), nil
}

// parseTable reads lines of a name and a number; others are passed over.
func parseTable(text string) map[string]int64 {
	out := map[string]int64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			out[name] = n
		}
	}
	return out
}
