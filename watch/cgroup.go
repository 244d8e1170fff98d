// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Cgroup is a cgroup and everything below it.
type Cgroup struct {
	path string // inside its hierarchy, from "/"
	dir  string // where it is in the file system, "" if no hierarchy is mounted
}

// mountedCgroup is one mount of a cgroup hierarchy.
type mountedCgroup struct {
	at   string
	root string // the cgroup that is mounted there; "/" but in containers
	v2   bool
}

// cgroupMounts reads where cgroup hierarchies are mounted, v2 first.
func cgroupMounts(p proc) []mountedCgroup {
	text, err := os.ReadFile(filepath.Join(string(p), "self/mountinfo"))
	if err != nil {
		return nil
	}
	var v2, v1 []mountedCgroup
	for line := range strings.Lines(string(text)) {
		before, after, ok := strings.Cut(line, " - ")
		f, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(kind) == 0 {
			continue
		}
		m := mountedCgroup{at: unescapeMount(f[4]), root: unescapeMount(f[3]), v2: kind[0] == "cgroup2"}
		switch kind[0] {
		case "cgroup2":
			v2 = append(v2, m)
		case "cgroup":
			v1 = append(v1, m)
		}
	}
	return append(v2, v1...)
}

// unescapeMount undoes the octal escapes of mountinfo (proc(5)).
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// newCgroup resolves what a person writes: a folder below a mounted hierarchy, as
// in /sys/fs/cgroup/machine.slice, or the path inside the hierarchy with or
// without its leading slash, as in machine.slice or /machine.slice.
func newCgroup(text string, mounts []mountedCgroup) (Cgroup, error) {
	if strings.TrimSpace(text) == "" {
		return Cgroup{}, errors.New("give a path, e.g. machine.slice")
	}
	clean := path.Clean("/" + text)
	// The longest mount point wins: v1's lie below the tmpfs at /sys/fs/cgroup,
	// and v2's beside them on hybrid hosts.
	best := mountedCgroup{}
	for _, m := range mounts {
		if under(clean, m.at) && len(m.at) > len(best.at) {
			best = m
		}
	}
	if best.at != "" {
		inside := path.Join("/", best.root, strings.TrimPrefix(clean, best.at))
		return Cgroup{path: inside, dir: clean}, nil
	}
	if strings.HasPrefix(clean, "/sys/fs/cgroup") {
		return Cgroup{}, errors.New("no cgroup hierarchy is mounted there: see `grep cgroup /proc/self/mounts`")
	}
	cg := Cgroup{path: clean}
	if len(mounts) > 0 {
		cg.dir = path.Join(mounts[0].at, clean)
	}
	return cg, nil
}

// under reports whether p is dir or below it.
func under(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// Holds reports whether the process is in the cgroup or below it, in the v2
// hierarchy or, for hosts without, in one of v1's.
func (c Cgroup) Holds(p Process) bool {
	if p.Cgroup != "" && under(p.Cgroup, c.path) {
		return true
	}
	for _, l := range p.Legacy {
		if under(l, c.path) && c.path != "/" {
			return true
		}
	}
	return false
}

// missing reports whether there is no such cgroup now.
func (c Cgroup) missing() bool {
	if c.dir == "" {
		return true
	}
	_, err := os.Stat(c.dir)
	return err != nil
}
