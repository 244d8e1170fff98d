// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// Addresser tells where the guest in a cgroup was seen; *probe.Addresses is one.
type Addresser interface {
	Of(cgroupID uint64) (map[probe.AddressKind][]uint64, error)
	Hook() probe.HookStatus
	Close() error
}

// ASLR is the experiment of whether addresses are randomised. A sample is a boot, and
// where the guest was at its last halts, writes to ports and other exits; of what is not
// virtualised, where its parts are when it is ready.
type ASLR struct {
	Boot    *Boot
	Program string // path of the app's program, of which process is looked at
	// Open attaches what sees addresses; nil: probe.OpenAddresses. It costs every guest of
	// the host: a sample has it from before its start until its end, and what is not
	// virtualised does without.
	Open func() (Addresser, error)
}

// Sample implements Sampler.
func (a *ASLR) Sample(ctx context.Context, name string) (s Sample, err error) {
	b := *a.Boot
	if b.Accel == platform.None {
		b.During = &During{Limit: 10 * time.Second, Do: a.regions}
		return b.Sample(ctx, name)
	}
	addresses, err := a.open()
	if err != nil {
		return s, fmt.Errorf("aslr: %w", err)
	}
	defer func() { err = errors.Join(err, addresses.Close()) }()
	seen := &targeted{Instrument: b.Instrument}
	b.Instrument = seen
	if s, err = b.Sample(ctx, name); err != nil || s.Status != OK {
		return s, err
	}
	found, err := addresses.Of(seen.group)
	if err != nil {
		return s, err
	}
	if s.Addresses = byHalf(found); len(s.Addresses) == 0 {
		s.Status, s.Reason = Failed, "aslr: the guest was at no address that KVM tells: the tracepoints kvm_exit, kvm_emulate_insn and kvm_pio did not fire for it"
	}
	return s, nil
}

// open attaches what sees the addresses, and notes it.
func (a *ASLR) open() (out Addresser, err error) {
	if a.Open != nil {
		out, err = a.Open()
	} else {
		out, err = probe.OpenAddresses()
	}
	if err == nil && a.Boot.Attached != nil {
		a.Boot.Attached(out.Hook())
	}
	return out, err
}

// targeted is an Instrument that keeps which cgroup is watched.
type targeted struct {
	Instrument
	group uint64
}

// Watch implements Instrument.
func (t *targeted) Watch(target probe.Target) (Watch, error) {
	t.group = target.CgroupID
	return t.Instrument.Watch(target)
}

// byHalf tells the exits that can be anywhere apart by the half of the address space
// that they are in: kernels are in the upper one, if they have user space. An address
// that came often is there once, where it came last.
func byHalf(found map[probe.AddressKind][]uint64) map[string][]uint64 {
	out := map[string][]uint64{}
	for kind, list := range found {
		for _, a := range list {
			name := string(kind)
			if kind == probe.AddressOther {
				name += map[bool]string{true: "_high", false: "_low"}[a>>63 == 1]
			}
			out[name] = append(out[name], a)
		}
	}
	for name, list := range out {
		out[name] = lastOfEach(list)
	}
	return out
}

// lastOfEach leaves of each address the last occurrence.
func lastOfEach(list []uint64) []uint64 {
	var out []uint64
	for i, a := range list {
		if !slices.Contains(list[i+1:], a) {
			out = append(out, a)
		}
	}
	return out
}

// regions notes where the parts of a process are.
func (a *ASLR) regions(_ context.Context, l *Live) error {
	pids, err := l.Group.Pids()
	if err != nil {
		return err
	}
	pid, exe := a.choose(pids)
	if pid == 0 {
		return errors.New("the process has ended")
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	defer f.Close()
	found, err := readRegions(f, exe)
	if err != nil {
		return fmt.Errorf("/proc/%d/maps: %w", pid, err)
	}
	if len(found) == 0 {
		return errors.New("the process has ended")
	}
	l.Sample.Addresses = found
	return nil
}

// choose picks the first process that runs the app's program, or else the first at all.
func (a *ASLR) choose(pids []int) (pid int, exe string) {
	slices.Sort(pids)
	for _, p := range pids {
		at, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p))
		if errors.Is(err, fs.ErrNotExist) || err != nil {
			continue
		}
		if pid == 0 || path.Base(at) == path.Base(a.Program) {
			pid, exe = p, at
		}
		if path.Base(at) == path.Base(a.Program) {
			break
		}
	}
	return pid, exe
}

// readRegions takes the lowest addresses of a process's parts out of its maps
// (proc_pid_maps(5)): of its program, of the first library or loader (which is where
// mmap puts things), stack, heap and vDSO.
func readRegions(r io.Reader, exe string) (map[string][]uint64, error) {
	out := map[string][]uint64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name := nameOfRegion(lines.Text(), exe)
		if name == "" || out[name] != nil {
			continue
		}
		from, _, _ := strings.Cut(lines.Text(), "-")
		at, err := strconv.ParseUint(from, 16, 64)
		if err != nil {
			return nil, err
		}
		out[name] = []uint64{at}
	}
	return out, lines.Err()
}

func nameOfRegion(line, exe string) string {
	const fields = 6
	f := strings.SplitN(strings.Join(strings.Fields(line), " "), " ", fields)
	if len(f) < fields {
		return ""
	}
	switch file := f[fields-1]; {
	case file == exe:
		return "program"
	case file == "[stack]" || file == "[heap]" || file == "[vdso]":
		return strings.Trim(file, "[]")
	case strings.Contains(path.Base(file), ".so"):
		return "mmap"
	}
	return ""
}
