// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/internal/procstat"
)

// Bounds on what is read of one process: its owner decides how long these are.
const (
	maxCmdline = 128 << 10 // libvirt's longest are about 20 KiB
	maxFile    = 64 << 10
)

// proc is where /proc is mounted.
type proc string

// procRoot is /proc. Tests make their own.
const procRoot proc = "/proc"

// errGone: the process has ended, or its pid is another's by now.
var errGone = errors.New("the process has ended")

// Process is what /proc says of a process, read once.
type Process struct {
	PID    int
	Start  uint64 // clock ticks since boot
	Comm   string
	Args   []string // bounded: the last one may be cut
	Cgroup string   // path in the v2 hierarchy, "" if it is in none
	// Legacy holds the paths in cgroup v1 hierarchies, for hosts without v2.
	Legacy []string
}

// read reads a process. It returns errGone if the process has ended, also if it
// did so while being read: then nothing of what was read can be trusted.
func (p proc) read(pid int) (Process, error) {
	out := Process{PID: pid}
	var err error
	if out.Start, out.Comm, err = p.stat(pid); err != nil {
		return out, err
	}
	cmdline, err := p.file(pid, "cmdline", maxCmdline)
	if err != nil {
		return out, err
	}
	out.Args = splitArgs(cmdline)
	cgroup, err := p.file(pid, "cgroup", maxFile)
	if err != nil {
		return out, err
	}
	out.Cgroup, out.Legacy = parseCgroups(cgroup)
	if again, _, err := p.stat(pid); err != nil || again != out.Start {
		return out, fmt.Errorf("read /proc/%d: %w", pid, errGone)
	}
	return out, nil
}

// file reads at most limit bytes.
func (p proc) file(pid int, name string, limit int64) ([]byte, error) {
	path := filepath.Join(string(p), strconv.Itoa(pid), name)
	f, err := os.Open(path)
	if err != nil {
		return nil, gone(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, gone(fmt.Errorf("read %s: %w", path, err))
	}
	return text, nil
}

// stat is a process's start and name.
func (p proc) stat(pid int) (start uint64, comm string, err error) {
	text, err := p.file(pid, "stat", maxFile)
	if err != nil {
		return 0, "", err
	}
	s, err := procstat.Parse(text)
	if err != nil {
		return 0, "", fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return s.Start, s.Comm, nil
}

// gone turns the errors of a process that ended into errGone.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "no such process") {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// splitArgs takes /proc/PID/cmdline apart. A process may have overwritten it
// with anything.
func splitArgs(cmdline []byte) []string {
	const most = 4096 // arguments; QEMU with a hundred disks has about a thousand
	text := strings.TrimRight(string(cmdline), "\x00")
	if text == "" {
		return nil
	}
	parts := strings.SplitN(text, "\x00", most+1)
	return parts[:min(len(parts), most)]
}

// parseCgroups reads /proc/PID/cgroup: lines of hierarchy:controllers:path, the
// v2 hierarchy's being 0 and without controllers (cgroups(7)).
func parseCgroups(text []byte) (v2 string, legacy []string) {
	for line := range strings.Lines(string(text)) {
		id, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 || path == "" {
			continue
		}
		// A cgroup that was removed under its process is shown so.
		path = strings.TrimSuffix(path, " (deleted)")
		if id == "0" && controllers == "" {
			v2 = path
		} else if !slices.Contains(legacy, path) {
			legacy = append(legacy, path)
		}
	}
	return v2, legacy
}

// alive reports whether a process has not ended.
func (p proc) alive(pid int, start uint64) bool {
	now, _, err := p.stat(pid)
	return err == nil && now == start
}

// holdsVM reports whether a process has a VM of KVM open: a descriptor of the
// kind that KVM_CREATE_VM returns. Needs CAP_SYS_PTRACE for the processes of
// others.
func (p proc) holdsVM(pid int) (bool, error) {
	dir := filepath.Join(string(p), strconv.Itoa(pid), "fd")
	f, err := os.Open(dir)
	if err != nil {
		return false, gone(err)
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(256)
		for _, name := range names {
			// Until Linux 6.x the name is "anon_inode:kvm-vm".
			if to, err := os.Readlink(filepath.Join(dir, name)); err == nil && strings.HasPrefix(to, "anon_inode:") && strings.Contains(to, "kvm-vm") {
				return true, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, gone(err)
		}
	}
}

// pids lists the processes of the host.
func (p proc) pids() ([]int, error) {
	f, err := os.Open(string(p))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", p, err)
	}
	var out []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out, nil
}
