// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lockThreadForever keeps the goroutine's thread from being used by others:
// the thread ends with the goroutine, and its namespaces with it.
func lockThreadForever() { runtime.LockOSThread() }

const writerEnv = "UKPROBE_TEST_WRITER"

// TestMain is also the writer that TestKill kills: it adds samples for ever and
// prints a line after each. Another one is killed in a transaction: see dieInside.
func TestMain(m *testing.M) {
	if file := os.Getenv(hotEnv); file != "" {
		dieInside(file)
	}
	dir := os.Getenv(writerEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := Create(dir, testRun(), testHost(), testCells())
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		if err := s.AddSample(i%2, okSample(int64(i+1))); err != nil {
			panic(err)
		}
		fmt.Println(i + 1)
	}
}

// TestKill ends a writer with SIGKILL at random moments. Every sample that was
// reported as stored must be readable.
func TestKill(t *testing.T) {
	for i := range 12 {
		t.Run(fmt.Sprint(i), killOnce)
	}
}

func killOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+dir)
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
	if f.Run.Status != RunKilled || f.Run.Finished != nil {
		t.Errorf("status %q, finished %v", f.Run.Status, f.Run.Finished)
	}
	list, err := List(dir)
	must(t, err)
	if len(list) != 1 || list[0].Status != RunKilled || list[0].Samples != total {
		t.Errorf("listed as %+v", list)
	}
	if err := checkIntegrity(t, dir); err != nil {
		t.Error(err)
	}
	// The lock died with its holder: others can write, and the run goes on.
	must(t, addRun(t, dir, "r2").Finish(RunOK))
	s, err := Resume(dir + "@r1")
	must(t, err)
	must(t, s.BeginPart(Part{Started: started.Add(time.Hour)}))
	must(t, s.AddSample(0, okSample(7)))
	must(t, s.Finish(RunOK))
	f = mustLoad(t, dir+"@r1")
	if n := len(f.Cells[0].Samples) + len(f.Cells[1].Samples); n != total+1 || f.Run.Status != RunOK {
		t.Errorf("once it was resumed: %d samples, %s", n, f.Run.Status)
	}
	if d := cmp.Diff([]string{FileName, DatabaseName}, entries(t, dir)); d != "" {
		t.Errorf("left in the folder (-want +got):\n%s", d)
	}
}

// checkIntegrity has SQLite look for damage.
func checkIntegrity(t *testing.T, dir string) error {
	t.Helper()
	d, err := Open(dir)
	must(t, err)
	defer d.Close()
	var text string
	must(t, d.db.QueryRow("PRAGMA integrity_check").Scan(&text))
	if text != "ok" {
		return errors.New(text)
	}
	return nil
}
