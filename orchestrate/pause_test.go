// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPauses: a process that is really stopped says so, and for how long; one that is not
// says nothing.
func TestPauses(t *testing.T) {
	if os.Getenv("UKPROBE_TEST_PAUSES") != "" {
		p := watchPauses()
		fmt.Println("watching")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // also at its end
		fmt.Printf("taints: %s\n", strings.Join(p.end(), "; "))
		os.Exit(0)
	}
	const stop = 400 * time.Millisecond
	for stops, want := range []string{"taints: \n", "taints: ukprobe was stopped for at most %f s while the sample ran\n", "taints: ukprobe was stopped 2 times, for at most %f s, while the sample ran\n"} {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestPauses$")
		cmd.Env = append(os.Environ(), "UKPROBE_TEST_PAUSES=1")
		in, err := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		if err := errors.Join(err, err2, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		for range stops {
			time.Sleep(3 * pauseTick) // it runs for a while
			stopFor(t, cmd.Process.Pid, stop)
			time.Sleep(3 * pauseTick)
		}
		_, err = fmt.Fprintln(in)
		got, err2 := lines.ReadString('\n')
		if err := errors.Join(err, err2, cmd.Wait()); err != nil {
			t.Fatal(err)
		}
		if stops == 0 {
			if got != want {
				t.Errorf("not stopped: %q", got)
			}
			continue
		}
		var s float64
		if _, err := fmt.Sscanf(got, want, &s); err != nil || s < float64(stops)*stop.Seconds() {
			t.Errorf("stopped %d times: %q (%v)", stops, got, err)
		}
	}
}

// stopFor stops a child, and lets it go on when it has really been stopped for so long.
func stopFor(t *testing.T, pid int, d time.Duration) {
	t.Helper()
	var status unix.WaitStatus
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Wait4(pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("stop: %v, status %x", err, status)
	}
	time.Sleep(d)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}
