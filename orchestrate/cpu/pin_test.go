// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary also play a process with many threads.
func TestMain(m *testing.M) {
	if os.Getenv("UKPROBE_TEST_THREADS") != "" {
		for range 16 {
			go func() { runtime.LockOSThread(); select {} }()
		}
		time.Sleep(time.Minute)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// lastCPU is a CPU this test may pin to.
func lastCPU(t *testing.T) int {
	t.Helper()
	p, err := MakePlan(1)
	if err != nil {
		t.Fatal(err)
	}
	return p.VCPU[0]
}

func TestMakePlanHere(t *testing.T) {
	before, err := affinity(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	p, err := MakePlan(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", p)
	for _, cpus := range [][]int{p.VCPU, p.VMM, p.Client} {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and not unlocked: the thread ends with the goroutine
			defer close(done)
			old, err := affinity(0)
			if err == nil {
				err = PinThread(0, cpus)
			}
			done <- errors.Join(err, PinThread(0, old))
		}()
		if err := <-done; err != nil {
			t.Errorf("the plan cannot be followed: %v", err)
		}
	}
	if after, err := affinity(os.Getpid()); err != nil || !slices.Equal(before, after) {
		t.Errorf("planning moved the main thread from %v to %v, %v", before, after, err)
	}
}

func TestPinProcessAllThreads(t *testing.T) {
	c := lastCPU(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "UKPROBE_TEST_THREADS=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	deadline := time.Now().Add(5 * time.Second)
	for {
		tids, err := threads(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if len(tids) > 8 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d threads", len(tids))
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := PinProcess(cmd.Process.Pid, []int{c}); err != nil {
		t.Fatal(err)
	}
	tids, err := threads(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, tid := range tids {
		if got, err := affinity(tid); err != nil || !slices.Equal(got, []int{c}) {
			t.Errorf("thread %d may run on %v, want %d: %v", tid, got, c, err)
		}
	}
}

func TestPinErrors(t *testing.T) {
	for name, cpus := range map[string][]int{"none": nil, "negative": {-1}, "too high": {maxCPU}, "not there": {maxCPU - 1}} {
		if err := PinThread(0, cpus); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if err := PinThread(cmd.Process.Pid, []int{lastCPU(t)}); !errors.Is(err, unix.ESRCH) {
		t.Errorf("ended thread: %v, want ESRCH", err)
	}
}
