// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// When the disk is full the run ends with an error that says so, what was finished
// is readable, and nothing is left on the host.
func TestDiskFull(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	small := t.TempDir()
	m := matrix(t, "system: process, app: hello, platform: process, samples: 1000")
	c := newRun(t, "--matrix", m, "--out", filepath.Join(small, "out"))
	// The file system is in ukprobe's mount namespace; it is read through its
	// root, so before it ends a copy is made beside.
	keep := filepath.Join(c.dir, "copy")
	c.inPrivateMounts("mount -t tmpfs -o size=512k none " + small + "\n\"$@\" || status=$?\ncp -r " + small + "/out " + keep + "\nexit ${status:-0}\n")
	begun := time.Now()
	c.start().wait(patience(90*time.Second)).want(exitFailed).says("no space left on device", small)
	t.Logf("full after %v", time.Since(begun))
	f, err := results.Load(keep)
	if err != nil {
		t.Fatalf("what was finished is not readable: %v", err)
	}
	n := len(f.Cells[0].Samples)
	shown := strings.Count(c.stderr.String(), "process/hello/process/boot")
	if n == 0 || n > shown || n < shown-1 {
		t.Errorf("%d samples are readable, %d were shown as finished", n, shown)
	}
	for _, s := range f.Cells[0].Samples {
		checkOK(t, f, s)
	}
	if _, err := os.Stat(filepath.Join(small, "out")); err == nil {
		t.Error("the results went outside the small file system: the test proves nothing")
	}
}

// A disk that is full from the start is told before the first sample.
func TestDiskFullAtTheStart(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	small := t.TempDir()
	c := newRun(t, "--only", "system=process,app=hello", "--out", filepath.Join(small, "out"))
	c.inPrivateMounts("mount -t tmpfs -o size=4k none " + small)
	c.run().want(exitFailed).says("no space left on device", "choose another directory")
	if strings.Contains(c.stderr.String(), "[1/") {
		t.Errorf("a sample was taken first:\n%s", c.stderr.String())
	}
}
