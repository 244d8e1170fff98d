// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// lockThreadForever keeps the goroutine's thread from being used by others:
// the thread ends with the goroutine, and its namespaces with it.
func lockThreadForever() { runtime.LockOSThread() }

const writerEnv = "UKPROBE_TEST_WRITER"

// TestMain is also the writer that TestKill kills: it adds samples for ever and
// prints a line after each.
func TestMain(m *testing.M) {
	dir := os.Getenv(writerEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := Create(dir, testRun(), testHost(), testCells())
	if err != nil {
		panic(err)
	}
	if os.Getenv(writerEnv+"_JOURNAL") != "" {
		s.alwaysBelow = 0
	}
	for i := 0; ; i++ {
		if err := s.AddSample(i%2, okSample(int64(i+1))); err != nil {
			panic(err)
		}
		fmt.Println(i + 1)
	}
}

// TestKill ends a writer with SIGKILL at random moments. Every sample that was
// reported as stored must be readable: through Load always, and in run.json
// itself while that is small enough to be rewritten after each sample.
func TestKill(t *testing.T) {
	for _, mode := range []string{"", "1"} {
		for i := range 8 {
			t.Run(fmt.Sprintf("journal=%s/%d", mode, i), func(t *testing.T) { killOnce(t, mode) })
		}
	}
}

func killOnce(t *testing.T, mode string) {
	dir := filepath.Join(t.TempDir(), "run")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+dir, writerEnv+"_JOURNAL="+mode)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	// Before the first line there may be no run yet.
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		cmd.Process.Kill()
		t.Fatal("the writer stored nothing")
	}
	timer := time.AfterFunc(time.Duration(rand.Int64N(int64(150*time.Millisecond))), func() { cmd.Process.Kill() })
	defer timer.Stop()
	stored := 1
	for lines.Scan() {
		if stored, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the writer ended by itself")
	}

	f := mustLoad(t, dir)
	total := len(f.Cells[0].Samples) + len(f.Cells[1].Samples)
	// One more may have been stored without having been reported.
	if total < stored || total > stored+1 {
		t.Errorf("%d samples are readable, %d were stored", total, stored)
	}
	if f.Run.Status != RunRunning || f.Run.Finished != nil {
		t.Errorf("status %q, finished %v", f.Run.Status, f.Run.Finished)
	}
	if mode == "" {
		data, err := os.ReadFile(filepath.Join(dir, FileName))
		must(t, err)
		var plain File
		must(t, json.Unmarshal(data, &plain))
		if n := len(plain.Cells[0].Samples) + len(plain.Cells[1].Samples); n != total {
			t.Errorf("run.json alone holds %d samples, Load finds %d", n, total)
		}
	}
	// The lock died with its holder; the directory still holds a run.
	_, err = Create(dir, testRun(), testHost(), testCells())
	wantError(t, err, "already holds a run")
}
