// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// largeRun is a folder with a run whose report and export are larger than a pipe.
func largeRun(t *testing.T) string {
	t.Helper()
	c := results.Cell{System: "linux", App: "hello", Platform: "qemu", Experiment: "boot", Status: results.CellOK}
	for i := range int64(5000) {
		total := 1e6 + i
		c.Samples = append(c.Samples, results.Sample{Started: time.Unix(i, 0), Status: results.SampleOK, Phases: results.Phases{TotalNs: &total}})
	}
	c.Summary = c.Summarize()
	return storedCells(t, "20260102-030405-abcd", results.RunOK, c)
}

// TestInterruptedAtOnce: commands that only read end with 130 wherever they are: here they
// write to a pipe that nobody empties.
func TestInterruptedAtOnce(t *testing.T) {
	run := largeRun(t)
	for _, args := range [][]string{
		{"report", "--format", "csv", run}, {"export", run}, {"compare", "--format", "go-bench", run},
	} {
		for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt, syscall.SIGHUP} {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/proc/self/exe", args...)
			cmd.Env = append(os.Environ(), "UKPROBE_TEST_MAIN=1")
			var text bytes.Buffer
			cmd.Stdout, cmd.Stderr = w, &text
			if err := errors.Join(cmd.Start(), w.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, make([]byte, 1)); err != nil { // it writes, of much more
				t.Fatalf("%v: %v: %s", args, err, text.String())
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // its status says more
			if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || text.String() != "ukprobe: interrupted\n" {
				t.Errorf("%v, %v: status %d, %q", args, sig, code, text.String())
			}
			_ = r.Close() // nothing is in it any more that is wanted
		}
	}
}
