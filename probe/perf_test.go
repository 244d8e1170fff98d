// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPerfStillSeesTheEvents: a program on a classic tracepoint can take the event
// away from everybody who counts it with perf. Ours do not.
func TestPerfStillSeesTheEvents(t *testing.T) {
	text, err := os.ReadFile("/sys/kernel/tracing/events/sched/sched_process_exec/id")
	if err != nil {
		t.Skipf("needs tracefs: %v", err)
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	p := openProbe(t, Options{Attach: Tracepoint})
	if rung := p.state(HookExec).rung; rung != Tracepoint {
		t.Skipf("sched_exec is attached by %s, not by tracepoint", rung)
	}
	var fds []int
	for cpu := range runtime.NumCPU() {
		fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Size: uint32(unix.PERF_ATTR_SIZE_VER5)}, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			t.Skipf("needs perf events: %v", err)
		}
		defer unix.Close(fd)
		fds = append(fds, fd)
	}
	const execs = 5
	for range execs {
		if err := exec.Command("true").Run(); err != nil {
			t.Fatal(err)
		}
	}
	var seen uint64
	for _, fd := range fds {
		buf := make([]byte, 8)
		if _, err := unix.Read(fd, buf); err != nil {
			t.Fatal(err)
		}
		seen += binary.NativeEndian.Uint64(buf)
	}
	if seen < execs {
		t.Errorf("perf saw %d execs of at least %d", seen, execs)
	}
}
