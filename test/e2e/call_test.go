// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// call is one start of ukprobe, with folders of its own, and a seed of its own
// by which everything that the run makes on the host can be told from what other
// runs make: it ends the run's ID.
type call struct {
	t      *testing.T
	dir    string
	seed   uint16
	cmd    *exec.Cmd
	stdout buffer
	stderr buffer
	done   chan struct{} // closed when it has ended
	exit   int           // then: its exit status, or minus the signal that ended it
	took   time.Duration
}

// buffer may be read while it is written to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// lastSeed begins anywhere, so that test binaries running beside one another
// have seeds apart.
var lastSeed = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32())
	return &n
}()

// newRun prepares `ukprobe run` with the given arguments. What it leaves on the
// host is an error of the test.
func newRun(t *testing.T, args ...string) *call {
	t.Helper()
	cache, err := images()
	if err != nil {
		t.Fatal(err)
	}
	c := newCall(t)
	c.cmd.Args = append(c.cmd.Args, "run", "--cache", cache, "--out", c.out(), "--journal-dir", c.journal(),
		"--state-dir", c.state(), "--seed", fmt.Sprint(c.seed))
	c.cmd.Args = append(c.cmd.Args, args...)
	leaveNothing(t, c)
	return c
}

// newCall prepares ukprobe with exactly the given arguments.
func newCall(t *testing.T, args ...string) *call {
	t.Helper()
	c := &call{t: t, dir: t.TempDir(), seed: uint16(lastSeed.Add(1)), done: make(chan struct{})}
	c.cmd = exec.Command(ukprobe, args...)
	c.cmd.Dir = c.dir
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	c.cmd.WaitDelay = 5 * time.Second
	c.cmd.Env = append(os.Environ(), "TMPDIR="+c.tmp(), "COLUMNS=100")
	for _, e := range os.Environ() { // nothing of the caller's settings
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "UKPROBE_") {
			c.cmd.Env = append(c.cmd.Env, name+"=")
		}
	}
	if err := os.Mkdir(c.tmp(), 0o777); err != nil {
		t.Fatal(err)
	}
	if inside() {
		c.withoutApt()
	}
	return c
}

// withoutApt hides apt, which inside the hostvm reaches no archive and takes a
// minute to find that out: ukprobe then takes the images that were built before.
func (c *call) withoutApt() {
	bin := filepath.Join(c.dir, "bin")
	err := os.Mkdir(bin, 0o755)
	for _, name := range []string{"apt-get", "apt-cache"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho no network here >&2\nexit 100\n"), 0o755))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmd.Env = append(c.cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"))
}

func (c *call) out() string     { return filepath.Join(c.dir, "out") }
func (c *call) journal() string { return filepath.Join(c.dir, "journal") }
func (c *call) state() string   { return filepath.Join(c.dir, "state") }
func (c *call) tmp() string     { return filepath.Join(c.dir, "tmp") }

// mark ends the names of everything that the run makes.
func (c *call) mark() string { return fmt.Sprintf("-%04x", c.seed) }

// under starts it through another program: prefix is that program's argv, to
// which ukprobe's is appended.
func (c *call) under(prefix ...string) *call {
	c.t.Helper()
	path, err := exec.LookPath(prefix[0])
	if err != nil {
		c.t.Skipf("no %s: apt-get install util-linux", prefix[0])
	}
	c.cmd.Path = path
	c.cmd.Args = slices.Concat(prefix, []string{ukprobe}, c.cmd.Args[1:])
	return c
}

// inPrivateMounts runs a shell script in a mount namespace of its own and then
// ukprobe in it.
func (c *call) inPrivateMounts(script string) *call {
	return c.under("unshare", "-m", "sh", "-ec", script+"\nexec \"$@\"", "sh")
}

func (c *call) start() *call {
	c.t.Helper()
	begun := time.Now()
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { c.kill() })
	go func() {
		defer close(c.done)
		err := c.cmd.Wait()
		c.took = time.Since(begun)
		c.exit = c.cmd.ProcessState.ExitCode()
		if ws, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			c.exit = -int(ws.Signal())
		}
		if errors.Is(err, exec.ErrWaitDelay) {
			c.exit = -1000 // somebody else still holds its output
		}
	}()
	return c
}

func (c *call) kill() {
	select {
	case <-c.done:
	default:
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// wait waits for its end.
func (c *call) wait(limit time.Duration) *call {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(limit):
		_ = c.cmd.Process.Signal(syscall.SIGQUIT) // goroutines, for the log
		time.Sleep(time.Second)
		c.kill()
		c.t.Fatalf("%s: not ended after %v\n%s", c, limit, c.output())
	}
	return c
}

// run starts it and waits for its end, a minute on hardware.
func (c *call) run() *call {
	c.t.Helper()
	return c.start().wait(patience(time.Minute))
}

func (c *call) String() string { return strings.Join(c.cmd.Args, " ") }

func (c *call) output() string {
	return fmt.Sprintf("stdout:\n%s\nstderr:\n%s", c.stdout.String(), c.stderr.String())
}

// want checks the exit status.
func (c *call) want(exit int) *call {
	c.t.Helper()
	if c.exit != exit {
		c.t.Fatalf("%s: exit status %d, want %d\n%s", c, c.exit, exit, c.output())
	}
	return c
}

// says checks that standard error holds each of the words.
func (c *call) says(words ...string) *call {
	c.t.Helper()
	for _, w := range words {
		if !strings.Contains(c.stderr.String(), w) {
			c.t.Errorf("%s: the error does not say %q:\n%s", c, w, c.stderr.String())
		}
	}
	return c
}

// prints checks that standard output holds each of the words.
func (c *call) prints(words ...string) *call {
	c.t.Helper()
	for _, w := range words {
		if !strings.Contains(c.stdout.String(), w) {
			c.t.Errorf("%s: it does not print %q:\n%s", c, w, c.stdout.String())
		}
	}
	return c
}

// waitFor waits until standard error holds the text.
func (c *call) waitFor(text string, limit time.Duration) *call {
	c.t.Helper()
	return c.waitUntil(fmt.Sprintf("stderr holds %q", text), limit, func() bool {
		return strings.Contains(c.stderr.String(), text)
	})
}

// waitUntil waits for something to be so while it runs.
func (c *call) waitUntil(what string, limit time.Duration, so func() bool) *call {
	c.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if so() {
			return c
		}
		select {
		case <-c.done:
			if !so() {
				c.t.Fatalf("%s: ended (%d) before %s\n%s", c, c.exit, what, c.output())
			}
			return c
		default:
		}
	}
	c.t.Fatalf("%s: not so after %v: %s\n%s", c, limit, what, c.output())
	return c
}

// file is what it stored.
func (c *call) file() *results.File {
	c.t.Helper()
	f, err := results.Load(c.out())
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", c, err, c.output())
	}
	return f
}

// noFile checks that no results folder was made, or none with anything in it.
func (c *call) noFile() *call {
	c.t.Helper()
	if names, err := os.ReadDir(c.out()); err == nil && len(names) > 0 {
		c.t.Errorf("%s: left %v in its results folder", c, names)
	}
	return c
}

// cell is the only cell of what it stored, with n samples.
func (c *call) cell(n int) results.Cell {
	c.t.Helper()
	f := c.file()
	if len(f.Cells) != 1 || len(f.Cells[0].Samples) != n {
		c.t.Fatalf("%s: %d cells, want one with %d samples: %+v", c, len(f.Cells), n, f.Cells)
	}
	return f.Cells[0]
}

// matrix writes a matrix file with these cells, each one flow mapping.
func matrix(t *testing.T, cells ...string) string {
	t.Helper()
	text := "version: 1\nname: e2e\ndefaults: {samples: 1, warmup: 0, timeout: " + patience(20*time.Second).String() + "}\ncells:\n"
	for _, c := range cells {
		text += "  - {" + c + "}\n"
	}
	return write(t, "matrix.yaml", text)
}

// write makes a file in a folder of its own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
