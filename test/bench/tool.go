// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// tool is another program that observes KVM, as people use it.
type tool struct {
	name    string
	what    string // its command, and what it tells
	program string
	pack    string // Debian's package
	// start returns when the tool is attached; what it writes goes below dir.
	start func(ctx context.Context, t tool, dir string) (session, error)
}

// session is a tool at work.
type session interface {
	// stop ends the tool in order and says what it has seen.
	stop(ctx context.Context) (account, error)
	// cancel ends it at once, if it still runs.
	cancel()
}

// account is what one condition, in one round, told of its guests and cost besides
// the guests' time.
type account struct {
	Bytes int64         `json:"bytes"`  // written to files
	CPU   time.Duration `json:"cpu_ns"` // of the tool itself, its start included
	// Seen by known answer. What the tool does not look at is absent.
	Seen map[answer]uint64 `json:"seen"`
	// Lost events, as the tool itself says; nil if it does not say.
	Lost *uint64 `json:"lost"`
}

// answer is something the reference guest does so many times.
type answer string

// The known answers. The firmware too may execute CPUID and HLT, and writes to
// ports, though not to the guest's; so the guest's numbers are the least.
const (
	portWrites answer = "port writes" // to the reference guest's own port
	ioExits    answer = "port exits"  // of every port, where a tool cannot tell them apart
	cpuids     answer = "CPUIDs"
	halts      answer = "HLTs"
)

var errNotInstalled = errors.New("not installed")

// begin starts the tool in a folder of its own.
func (t tool) begin(ctx context.Context, dir string) (session, error) {
	if _, err := exec.LookPath(t.program); err != nil {
		return nil, fmt.Errorf("%w: apt-get install %s", errNotInstalled, t.pack)
	}
	return t.start(ctx, t, dir)
}

// startPatience is how long a tool may take to be attached: bpftrace takes a second,
// and ten under emulation.
const startPatience = 90 * time.Second

// stopPatience is how long it may take to end after SIGINT.
const stopPatience = 60 * time.Second

// process is one of a tool's processes. Its output goes into a file.
type process struct {
	cmd    *exec.Cmd
	output string
	ended  chan struct{}
	err    error    // of Wait, once ended
	silent *os.File // the other end of its standard input, on which nothing comes
}

// launch starts argv in dir. The caller's thread must live as long: the process
// is killed with it.
func launch(dir string, extra []*os.File, argv ...string) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), output: filepath.Join(dir, "output"), ended: make(chan struct{})}
	out, err := os.Create(p.output)
	if err != nil {
		return nil, fmt.Errorf("make a file for %s's output: %w", argv[0], err)
	}
	// Not /dev/null: perf kvm stat live reads its keys there, and spins at the end.
	stdin, silent, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), out.Close())
	}
	p.silent, p.cmd.Stdin = silent, stdin
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = dir, out, out, extra
	// HOME: perf keeps a cache there. BPFTRACE_…: the kernel's headers are not needed.
	p.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + dir, "PAGER=cat"}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", argv[0], err), out.Close(), stdin.Close(), silent.Close())
	}
	go func() {
		p.err = errors.Join(p.cmd.Wait(), out.Close(), stdin.Close(), silent.Close())
		close(p.ended)
	}()
	return p, nil
}

// wait calls ready until it is true, the process has ended, or patience is over.
func (p *process) wait(ctx context.Context, ready func() (bool, error)) error {
	for deadline := time.Now().Add(startPatience); ; {
		ok, err := ready()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted: %w", ctx.Err())
		case <-p.ended:
			return fmt.Errorf("it ended: %s", p.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not attached after %v: %s", startPatience, p.lastWords())
		}
	}
}

// interrupt ends the process as Ctrl-C does, and waits for it. fine are the statuses
// besides 0 that mean no failure.
func (p *process) interrupt(fine ...int) error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("interrupt %s: %w", p.cmd.Path, err)
	}
	select {
	case <-p.ended:
	case <-time.After(stopPatience):
		p.cancel()
		return fmt.Errorf("%s did not end within %v of SIGINT: %s", p.cmd.Path, stopPatience, p.lastWords())
	}
	// perf puts the signal's default action back and raises it once more.
	if st, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && st.Signaled() && st.Signal() == syscall.SIGINT {
		return nil
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 && code != 128+int(syscall.SIGINT) && !slices.Contains(fine, code) {
		return fmt.Errorf("%s ended with status %d: %s", p.cmd.Path, code, p.lastWords())
	}
	return nil
}

func (p *process) cancel() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// cpu is the user and system time of the ended process.
func (p *process) cpu() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

func (p *process) text() string {
	text, _ := os.ReadFile(p.output) // nothing yet
	return string(text)
}

func (p *process) lastWords() string { return lastWords(p.text()) }

// lastWords is the last line of a tool's complaint, with the line before it if it
// is a continuation.
func lastWords(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimRight(line, "\r\n"))
		}
	}
	if len(lines) == 0 {
		return "it said nothing"
	}
	last := lines[len(lines)-1]
	if len(lines) > 1 && strings.HasPrefix(last, " ") {
		last = lines[len(lines)-2] + ": " + strings.TrimSpace(last)
	}
	return last
}

// post runs a program over what a tool wrote, and returns its output.
func post(ctx context.Context, dir string, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + dir, "PAGER=cat"}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", strings.Join(argv, " "), err, lastWords(stderr.String()))
	}
	return out, nil
}
