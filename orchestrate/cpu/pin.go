// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// PinThread pins one thread to cpus (sched_setaffinity(2)); 0 is the calling
// thread. A cpuset that allows only some of them is an error: the kernel would
// silently take those. Pinning the threads of others needs CAP_SYS_NICE. An
// ended thread gives an error wrapping unix.ESRCH.
func PinThread(tid int, cpus []int) error {
	set, err := newSet(cpus)
	if err != nil {
		return fmt.Errorf("pin thread %d: %w", tid, err)
	}
	err = unix.SchedSetaffinity(tid, &set)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("pin thread %d to cpus %s: %w: none of them is online and in its cpuset", tid, FormatList(cpus), err)
	}
	if err != nil {
		return fmt.Errorf("pin thread %d to cpus %s: %w", tid, FormatList(cpus), err)
	}
	got, err := affinity(tid)
	if err != nil {
		return err
	}
	if want := slices.Compact(slices.Sorted(slices.Values(cpus))); !slices.Equal(got, want) {
		return fmt.Errorf("pin thread %d to cpus %s: the kernel allows only %s: check its cpuset", tid, FormatList(want), FormatList(got))
	}
	return nil
}

// PinSelf pins every thread of this process. Threads and children that start
// later inherit it.
func PinSelf(cpus []int) error { return PinProcess(os.Getpid(), cpus) }

// PinProcess pins all threads of a process.
func PinProcess(pid int, cpus []int) error {
	err := eachThread(pid, func(tid int) error {
		if err := PinThread(tid, cpus); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("pin process %d: %w", pid, err)
	}
	return nil
}

// eachThread does something to all threads of a process, looking again until no new one
// has appeared: a thread inherits its creator's CPUs and priority, so a round in which
// every thread had them already leaves none behind.
func eachThread(pid int, do func(tid int) error) error {
	seen := map[int]bool{}
	for {
		tids, err := threads(pid)
		if err != nil {
			return err
		}
		fresh := false
		for _, tid := range tids {
			if seen[tid] {
				continue
			}
			fresh = true
			seen[tid] = true
			if err := do(tid); err != nil {
				return err
			}
		}
		if !fresh {
			return nil
		}
	}
}

func threads(pid int) ([]int, error) {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	var tids []int
	for _, d := range list {
		if tid, err := strconv.Atoi(d.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, nil
}

// Affinity lists the CPUs that a thread may run on; 0 is the calling thread.
func Affinity(tid int) ([]int, error) { return affinity(tid) }

func newSet(cpus []int) (set unix.CPUSet, err error) {
	if len(cpus) == 0 {
		return set, errors.New("no CPU given")
	}
	for _, c := range cpus {
		if c < 0 || c >= maxCPU {
			return set, fmt.Errorf("cpu %d: want 0 to %d", c, maxCPU-1)
		}
		set.Set(c)
	}
	return set, nil
}

// affinity lists the CPUs a thread may run on.
func affinity(tid int) ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(tid, &set); err != nil {
		return nil, fmt.Errorf("affinity of thread %d: %w", tid, err)
	}
	var cpus []int
	for c := range maxCPU {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}

// usableCPUs finds which of cpus this process may pin to, by trying each on a
// thread that is thrown away: the affinity mask does not tell, for isolated
// CPUs are missing from it, and the cpuset may be a v1 or a v2 one.
func usableCPUs(cpus []int) ([]int, error) {
	type answer struct {
		usable []int
		err    error
	}
	done := make(chan answer)
	go func() {
		runtime.LockOSThread()
		var a answer
		var old unix.CPUSet
		if a.err = unix.SchedGetaffinity(0, &old); a.err == nil {
			for _, c := range cpus {
				if PinThread(0, []int{c}) == nil {
					a.usable = append(a.usable, c)
				}
			}
			// Put back: were this the main thread, it would not be thrown away.
			if a.err = unix.SchedSetaffinity(0, &old); a.err == nil {
				runtime.UnlockOSThread()
			}
		}
		done <- a
	}()
	a := <-done
	if a.err != nil {
		return nil, fmt.Errorf("usable CPUs: %w", a.err)
	}
	return a.usable, nil
}
