// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
)

// leaveNothing checks, when the test ends, that nothing of the call's run is on
// the host any more: namespaces, taps, cgroups, qdiscs, processes, BPF programs
// and links, kprobes, journals, folders. Other runs on the same machine do not
// matter.
func leaveNothing(t *testing.T, c *call) {
	t.Helper()
	if os.Geteuid() != 0 {
		return // nothing can have been made
	}
	before := hostState(t)
	programs, links := bpfObjects(t)
	probesBefore := kprobes(t)
	t.Cleanup(func() {
		c.kill()
		if !c.started() {
			return
		}
		ok := eventually(func() string {
			left := append(leftOf(t, c), orphans(t, programs, links)...)
			for probe := range kprobes(t) {
				if !probesBefore[probe] { // those may have been cleaned
					left = append(left, "kprobe of tracefs: "+probe)
				}
			}
			if diff := cmp.Diff(before, hostState(t)); diff != "" {
				left = append(left, "the host's network or mounts (-before +after):\n"+diff)
			}
			return strings.Join(left, "\n")
		})
		if ok != "" {
			t.Errorf("%s left on the host:\n%s", c, ok)
			_ = newCall(t, "clean", "--journal-dir", c.journal()).run()
		}
	})
}

func (c *call) started() bool { return c.cmd.Process != nil }

// eventually waits for a text to become empty: the kernel frees some things only
// after a moment, and other tests' things come and go.
func eventually(what func() string) string { return within(patience(3*time.Second), what) }

// within is eventually with another limit.
func within(limit time.Duration, what func() string) string {
	var text string
	for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		if text = what(); text == "" || time.Now().After(end) {
			return text
		}
	}
}

// leftOf lists what bears the run's mark.
func leftOf(t *testing.T, c *call) []string {
	t.Helper()
	var left []string
	globs := []string{"/run/netns/ukprobe-*" + c.mark() + "*", "/run/ukprobe/*" + c.mark() + "*",
		c.tmp() + "/*", c.journal() + "/*", c.journal() + "/.*.new", os.TempDir() + "/ukprobe-*" + c.mark()}
	if h, err := cgroup.Find(); err == nil {
		globs = append(globs, h.Path+"/ukprobe/*"+c.mark())
	}
	for _, g := range globs {
		names, err := filepath.Glob(g)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, names...)
	}
	for _, p := range processesOf(t, c) {
		left = append(left, p.String())
	}
	return left
}

// process is one of the host's.
type process struct {
	pid     int
	cmdline string
	cgroup  string
}

func (p process) String() string {
	return fmt.Sprintf("process %d: %s (%s)", p.pid, p.cmdline, p.cgroup)
}

// processesOf lists the living processes in the run's cgroups, and those that
// were told of its folders: not ukprobe itself, but its guests.
func processesOf(t *testing.T, c *call) []process {
	t.Helper()
	var out []process
	self := os.Getpid()
	eachProcess(func(pid int, dir string) {
		raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		cg, cgErr := os.ReadFile(filepath.Join(dir, "cgroup"))
		if err != nil || cgErr != nil || len(raw) == 0 || pid == self || pid == c.cmd.Process.Pid { // a zombie has no command line
			return
		}
		p := process{pid: pid, cmdline: strings.ReplaceAll(string(raw), "\x00", " "), cgroup: strings.TrimSpace(string(cg))}
		if strings.Contains(p.cmdline, c.tmp()) || inGroup(string(cg), c.mark()) {
			out = append(out, p)
		}
	})
	return out
}

// inGroup says whether a /proc/PID/cgroup names a group of the run.
func inGroup(text, mark string) bool {
	for line := range strings.Lines(text) {
		path := strings.TrimSpace(line[strings.LastIndexByte(line, ':')+1:])
		if _, below, ok := strings.Cut(path, "/ukprobe/"); ok {
			run, _, _ := strings.Cut(below, "/")
			if strings.HasSuffix(run, mark) {
				return true
			}
		}
	}
	return false
}

func eachProcess(do func(pid int, dir string)) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscanf(e.Name(), "%d", &pid); err == nil {
			do(pid, filepath.Join("/proc", e.Name()))
		}
	}
}

// hostState is the host's own network, of which ukprobe changes nothing, and,
// where nobody else is at work, the mounts.
func hostState(t *testing.T) []string {
	t.Helper()
	var out []string
	add := func(what string, v any, err error) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		out = append(out, fmt.Sprintf("%s %v", what, v))
	}
	links, err := netlink.LinkList()
	add("links", len(links), err)
	for _, l := range links {
		add("link", fmt.Sprint(l.Attrs().Name, " ", l.Type(), " ", l.Attrs().Flags, " ", l.Attrs().MTU), nil)
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		for _, a := range addrs {
			add("address", a.IPNet, nil)
		}
		add("addresses of "+l.Attrs().Name, len(addrs), err)
		qdiscs, err := netlink.QdiscList(l)
		for _, q := range qdiscs {
			add("qdisc", q.Type(), nil)
		}
		add("qdiscs of "+l.Attrs().Name, len(qdiscs), err)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	add("routes", routes, err)
	if inside() {
		add("mounts", mounts(t, func(at string) bool { return !strings.HasPrefix(at, netnsDir) }), nil)
	}
	return out
}

// kprobes are those of tracefs, where nobody else is at work.
func kprobes(t *testing.T) map[string]bool {
	t.Helper()
	if !inside() {
		return nil
	}
	text, err := os.ReadFile("/sys/kernel/tracing/kprobe_events")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		out[strings.TrimSpace(line)] = true
	}
	return out
}

// netnsDir is made a mount by the first run that needs it, as `ip netns add` does.
// It goes with that run, but stays if another run has a namespace there then.
const netnsDir = "/run/netns"

// mounts lists the mounts at places that are wanted.
func mounts(t *testing.T, wanted func(at string) bool) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 4 && wanted(f[4]) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// bpfObjects lists the ids of all BPF programs and links.
func bpfObjects(t *testing.T) (programs, links map[uint32]bool) {
	t.Helper()
	programs, links = map[uint32]bool{}, map[uint32]bool{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if err != nil {
			break
		}
		programs[uint32(next)], id = true, next
	}
	it := new(link.Iterator)
	for it.Next() {
		links[uint32(it.ID)] = true
	}
	it.Close()
	return programs, links
}

// orphans lists the BPF programs and links that are new and that no process
// holds: they have outlived who made them.
func orphans(t *testing.T, programsBefore, linksBefore map[uint32]bool) []string {
	t.Helper()
	programs, links := bpfObjects(t)
	var suspects []string
	for id := range programs {
		if !programsBefore[id] {
			suspects = append(suspects, fmt.Sprintf("prog_id %d", id))
		}
	}
	for id := range links {
		if !linksBefore[id] {
			suspects = append(suspects, fmt.Sprintf("link_id %d", id))
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	held := heldByProcesses()
	var out []string
	for _, s := range suspects {
		if !held[s] {
			out = append(out, "BPF object that no process holds: "+s)
		}
	}
	slices.Sort(out)
	return out
}

// heldByProcesses reads what BPF objects the descriptors of all processes are,
// as "prog_id N" and "link_id N".
func heldByProcesses() map[string]bool {
	held := map[string]bool{}
	eachProcess(func(_ int, dir string) {
		_ = filepath.WalkDir(filepath.Join(dir, "fdinfo"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil
			}
			target, _ := os.Readlink(filepath.Join(dir, "fd", d.Name()))
			if !strings.Contains(target, "bpf") {
				return nil
			}
			text, _ := os.ReadFile(path) // it may have been closed
			for line := range strings.Lines(string(text)) {
				if f := strings.Fields(line); len(f) == 2 && (f[0] == "prog_id:" || f[0] == "link_id:") {
					held[strings.TrimSuffix(f[0], ":")+" "+f[1]] = true
				}
			}
			return nil
		})
	})
	return held
}
