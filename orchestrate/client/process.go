// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
)

// processName is the first word of a client's command line, by which a program that has
// this package in it knows that it is to be the client.
const processName = "ukprobe-client"

// Errand is what a client in a process of its own is to do. There the answer's first
// byte is enough: [Request.Expect] is not taken along.
type Errand struct {
	Addr     netip.AddrPort
	Interval time.Duration
	Timeout  time.Duration
	Payload  []byte
	CPUs     []int // that it runs on; none: where its parent does
	Urgent   bool  // with a real-time priority
	Starts   bool  // that it will be told of the service's start: see [Process.Started]
}

// told is what a client tells its parent, a line of JSON each.
type told struct {
	Ready  bool    `json:",omitempty"` // to begin
	Asking bool    `json:",omitempty"` // the first SYN is out
	Result *Result `json:",omitempty"`
	Error  string  `json:",omitempty"`
	Kind   string  `json:",omitempty"` // of the error, one of kinds
	// NotPinned is why it is not on its CPUs, and NotUrgent why it has no priority.
	NotPinned string `json:",omitempty"`
	NotUrgent string `json:",omitempty"`
}

// kinds are the errors that a parent tells from others.
var kinds = map[string]error{"timeout": ErrTimeout, "canceled": context.Canceled}

// kindOf names the kind of an error; "": of none.
func kindOf(err error) string {
	for name, kind := range kinds {
		if errors.Is(err, kind) {
			return name
		}
	}
	return ""
}

// toldError is an error that a client has told, of its kind as it was there.
type toldError struct {
	text string
	kind error // nil: of none
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.kind }

// Process is a client in a process of its own. A goroutine of a busy program is not
// always run in time: its thread has to find one of Go's processors free, and none is
// when a thread that holds one waits for a CPU, as does one that has just started a guest
// on the guest's own. A process of its own waits for nobody, and may therefore have a
// real-time priority as well, which within one process would keep out whom it waits for.
type Process struct {
	// Urgent says whether it has its priority, and NotUrgent why not. NotPinned is why it
	// is not on its CPUs; it then has no priority either, which is for those only.
	Urgent               bool
	NotUrgent, NotPinned string

	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer // valid after its end
	told   chan told
	end    sync.Once
	said   Result
	err    error
}

// Start starts a client in a process of its own and returns when it is ready to ask; inNS
// is as for [Ask]. It is the running program once more (/proc/self/exe). If ctx ends before
// it is ready, it is killed.
func Start(ctx context.Context, inNS func(func() error) error, e Errand) (*Process, error) {
	p := &Process{told: make(chan told, 4)}
	p.cmd = &exec.Cmd{Path: "/proc/self/exe", Args: []string{processName}, Env: []string{"GOTRACEBACK=none"}, Stderr: &p.stderr,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true}} // an interrupt at the terminal is its parent's to take
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the client: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the client: %w", err), p.stdin.Close())
	}
	if inNS == nil {
		inNS = func(fn func() error) error { return fn() }
	}
	if err := inNS(p.cmd.Start); err != nil {
		return nil, errors.Join(fmt.Errorf("start the client: %w", err), p.abandon(out))
	}
	go p.listen(out)
	if err := json.NewEncoder(p.stdin).Encode(e); err != nil {
		return nil, errors.Join(fmt.Errorf("tell the client what to ask: %w", err), p.close())
	}
	var first told
	var ok bool
	select {
	case first, ok = <-p.told:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill() // stopped, it would not see that its input ends
		_ = p.close()
		return nil, fmt.Errorf("start the client: %w", ctx.Err())
	}
	if !ok || !first.Ready {
		err := p.close()
		return nil, fmt.Errorf("the client ended before it was ready: %w", because(first.Error, err))
	}
	p.NotUrgent, p.NotPinned = first.NotUrgent, first.NotPinned
	p.Urgent = e.Urgent && p.NotUrgent == "" && p.NotPinned == ""
	return p, nil
}

// abandon leaves nothing of a client that could not be started, or was and yet failed.
func (p *Process) abandon(out io.Closer) error {
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // closes the pipes
		return nil
	}
	for _, end := range []any{p.stdin, out, p.cmd.Stdin, p.cmd.Stdout} { // those that Start has not closed
		if err := end.(io.Closer).Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("close a pipe of the client's: %w", err)
		}
	}
	return nil
}

// because is why a client has ended: what it said, or how.
func because(text string, err error) error {
	if text != "" {
		return errors.New(text)
	}
	if err == nil {
		return errors.New("it said nothing")
	}
	return err
}

// listen passes on what the client says.
func (p *Process) listen(out io.Reader) {
	defer close(p.told)
	d := json.NewDecoder(out)
	for {
		var t told
		if d.Decode(&t) != nil {
			return
		}
		p.told <- t
	}
}

// Ask has it ask, and returns once its first SYN is out.
func (p *Process) Ask(ctx context.Context) error {
	if _, err := io.WriteString(p.stdin, "ask\n"); err != nil {
		return fmt.Errorf("have the client ask: %w", err)
	}
	select {
	case t, ok := <-p.told:
		if !ok {
			return errors.New("the client ended before it asked")
		}
		if t.Asking {
			return nil
		}
		return fmt.Errorf("the client: %w", because(t.Error, nil))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Started tells it that the service has been started, if it is to be told: see
// [Request.Started].
func (p *Process) Started() { _, _ = io.WriteString(p.stdin, "started\n") }

// Wait waits for the answer, or until ctx ends, and ends the process. After an error the
// result is what was seen until then. The error is [ErrTimeout], context.Canceled (for any
// end of ctx) or another of [Ask]'s; or it says how the client ended.
func (p *Process) Wait(ctx context.Context) (Result, error) {
	p.end.Do(func() {
		stop := context.AfterFunc(ctx, func() { _ = p.stdin.Close() }) // it says then what it has
		p.said, p.err = p.result()
		stop()
		if err := p.close(); err != nil && p.err == nil {
			p.err = fmt.Errorf("the client: %w", err)
		}
	})
	return p.said, p.err
}

func (p *Process) result() (Result, error) {
	for t := range p.told {
		switch {
		case t.Result != nil && t.Error != "":
			return *t.Result, &toldError{t.Error, kinds[t.Kind]}
		case t.Result != nil:
			return *t.Result, nil
		}
	}
	return Result{}, errors.New("the client ended without a result")
}

// close ends and reaps it.
func (p *Process) close() error {
	_ = p.stdin.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	for range p.told { // until its output ends
	}
	err := p.cmd.Wait()
	if text := strings.TrimSpace(p.stderr.String()); err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// init makes the program the client if it was started as one.
func init() {
	if len(os.Args) == 1 && os.Args[0] == processName {
		_ = os.WriteFile("/proc/self/comm", []byte(processName), 0) // else it is listed as "exe"
		if err := attend(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, strings.TrimSpace(processName+": "+err.Error()))
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// attend is the client's side. It ends when it has its answer or its input has ended.
func attend(in io.Reader, out io.Writer) error {
	debug.SetGCPercent(-1) // a client lives for one boot: what it needs is below the limit
	debug.SetMemoryLimit(64 << 20)
	lines, say := bufio.NewReader(in), json.NewEncoder(out)
	var e Errand
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return nil // the parent is gone
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return say.Encode(told{Error: err.Error()})
	}
	if err := say.Encode(settle(e)); err != nil {
		return err
	}
	if _, err := lines.ReadString('\n'); err != nil {
		return nil // it is not to ask
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var started *atomic.Int64
	if e.Starts {
		started = new(atomic.Int64)
	}
	go func() {
		defer stop()
		for {
			if _, err := lines.ReadString('\n'); err != nil {
				return
			}
			if started != nil {
				started.Store(monotonicNs())
			}
		}
	}()
	res, err := Ask(ctx, nil, Request{Addr: e.Addr, Interval: e.Interval, Timeout: e.Timeout, Payload: e.Payload, Started: started,
		Asking: func() { _ = say.Encode(told{Asking: true}) }})
	last := told{Result: &res}
	if err != nil {
		last.Error, last.Kind = err.Error(), kindOf(err)
	}
	return say.Encode(last)
}

// settle puts the process where it is to be, with its priority, and says how that went.
// Where it is not to be, there is somebody whom the priority would keep out: it gets none.
func settle(e Errand) told {
	is := told{Ready: true}
	if len(e.CPUs) > 0 {
		if err := cpu.PinSelf(e.CPUs); err != nil {
			is.NotPinned = err.Error()
			return is
		}
	}
	if e.Urgent {
		if err := cpu.Urgent(os.Getpid()); err != nil {
			is.NotUrgent = err.Error()
		}
	}
	return is
}
