// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Filter says which VMs are meant: those that any of its parts takes.
type Filter struct {
	All     bool
	PIDs    []Wanted
	Cgroups []Cgroup
	Names   []*regexp.Regexp // searched in the clean name
}

// Wanted is one process, told from a later one with its pid by its start.
type Wanted struct {
	PID   int
	Start uint64
}

// Words are a filter's parts as a person gives them.
type Words struct {
	All     bool
	PIDs    []int
	Cgroups []string
	Names   []string
}

// NewFilter checks the words. A pid must be that of a process; a cgroup may still
// come into being.
func NewFilter(w Words) (Filter, error) { return newFilter(w, procRoot) }

func newFilter(w Words, p proc) (Filter, error) {
	f := Filter{All: w.All}
	if w.All && len(w.PIDs)+len(w.Cgroups)+len(w.Names) > 0 {
		return f, errors.New("--all takes every VM: leave out --pid, --cgroup and --name, or --all")
	}
	if !w.All && len(w.PIDs)+len(w.Cgroups)+len(w.Names) == 0 {
		return f, errors.New("which VMs? --all, or any of --pid PID, --cgroup PATH, --name REGEX")
	}
	for _, pid := range w.PIDs {
		start, _, err := p.stat(pid)
		if pid < 1 || errors.Is(err, errGone) {
			return f, fmt.Errorf("--pid %d: there is no such process", pid)
		}
		if err != nil {
			return f, fmt.Errorf("--pid %d: %w", pid, err)
		}
		f.PIDs = append(f.PIDs, Wanted{PID: pid, Start: start})
	}
	mounts := cgroupMounts(p)
	for _, path := range w.Cgroups {
		cg, err := newCgroup(path, mounts)
		if err != nil {
			return f, fmt.Errorf("--cgroup %s: %w", path, err)
		}
		f.Cgroups = append(f.Cgroups, cg)
	}
	for _, name := range w.Names {
		re, err := regexp.Compile(name)
		if err != nil {
			return f, fmt.Errorf("--name %s: %w", name, err)
		}
		f.Names = append(f.Names, re)
	}
	return f, nil
}

// Match reports whether the process is meant.
func (f Filter) Match(p Process, id Identity) bool {
	if f.All || slices.Contains(f.PIDs, Wanted{PID: p.PID, Start: p.Start}) {
		return true
	}
	for _, cg := range f.Cgroups {
		if cg.Holds(p) {
			return true
		}
	}
	for _, re := range f.Names {
		if id.Name != "" && re.MatchString(id.Name) {
			return true
		}
	}
	return false
}

// onlyPIDs: nothing can come any more once those processes have ended.
func (f Filter) onlyPIDs() bool {
	return !f.All && len(f.Cgroups) == 0 && len(f.Names) == 0
}

// String is the filter for a person.
func (f Filter) String() string {
	if f.All {
		return "every VM"
	}
	return strings.Join(f.parts(""), ", ")
}

// flags is the filter as it is given on the command line.
func (f Filter) flags() string {
	if f.All {
		return "--all"
	}
	return strings.Join(f.parts("--"), " or ")
}

// parts are the filter's, each with its kind, marked so.
func (f Filter) parts(mark string) []string {
	var parts []string
	for _, w := range f.PIDs {
		parts = append(parts, fmt.Sprintf("%spid %d", mark, w.PID))
	}
	for _, cg := range f.Cgroups {
		parts = append(parts, mark+"cgroup "+cg.path)
	}
	for _, re := range f.Names {
		parts = append(parts, mark+"name "+re.String())
	}
	return parts
}
