// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkSwitches is what a switch of tasks costs altogether: two processes on one
// CPU hand a byte to and fro, so that each round is two switches at least. The
// conditions take turns; a figure is the median over all of its turns, and the least.
// Looked at, both processes are foreign: the dearest case.
func BenchmarkSwitches(b *testing.B) {
	needRoot(b)
	cpu := lastCPU(b)
	ping, pong := pipes(b), pipes(b)
	echo := exec.Command("/bin/cat")
	echo.Stdin, echo.Stdout = ping.r, pong.w
	if err := echo.Start(); err != nil {
		b.Skipf("needs cat: %v", err)
	}
	defer func() { _ = echo.Process.Kill(); _ = echo.Wait() }()
	var set, old unix.CPUSet
	set.Set(cpu)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		b.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &old)
	for _, pid := range []int{0, echo.Process.Pid} {
		if err := unix.SchedSetaffinity(pid, &set); err != nil {
			b.Fatal(err)
		}
	}
	const rounds = 500
	turn := func() float64 {
		in, out := int(pong.r.Fd()), int(ping.w.Fd()) // blocking from here on
		var one [1]byte
		begun := time.Now()
		for range rounds {
			if _, err := unix.Write(out, one[:]); err != nil {
				b.Fatal(err)
			}
			if _, err := unix.Read(in, one[:]); err != nil {
				b.Fatal(err)
			}
		}
		return float64(time.Since(begun).Nanoseconds()) / rounds / 2
	}
	look := func(group uint64) func() {
		i := openInterference(b, Auto)
		if err := i.Begin([]int{cpu}, group); err != nil {
			b.Fatal(err)
		}
		return func() { _, _ = i.End(); _ = i.Close() }
	}
	conditions := []struct {
		name  string
		start func() func()
	}{
		{"none", func() func() { return func() {} }},
		{"attached", func() func() { i := openInterference(b, Auto); return func() { _ = i.Close() } }},
		{"looked-at", func() func() { return look(1) }},
	}
	times := make([][]float64, len(conditions))
	for range max(b.N, 1) {
		for n, c := range conditions {
			stop := c.start()
			turn() // warm
			times[n] = append(times[n], turn())
			stop()
		}
	}
	for n, c := range conditions {
		slices.Sort(times[n])
		b.ReportMetric(times[n][len(times[n])/2], c.name+"-ns/switch")
		b.ReportMetric(times[n][0], c.name+"-least-ns/switch")
	}
}

type pipe struct{ r, w *os.File }

func pipes(b *testing.B) pipe {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return pipe{r, w}
}
