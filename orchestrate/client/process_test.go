// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/network"
)

// asker starts a client for a veth whose other end is v.
func asker(t *testing.T, urgent bool) (*Process, *network.Veth) {
	t.Helper()
	l := newLab(t)
	v, err := l.Veth(network.VethOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(t.Context(), l.Do, Errand{Addr: netip.AddrPortFrom(v.IP, 80), Timeout: time.Minute, Payload: []byte("GET / HTTP/1.1\r\n\r\n"), Urgent: urgent, Starts: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithCancel(context.Background())
		stop()
		_, _ = p.Wait(ctx)
		if err := unix.Kill(p.cmd.Process.Pid, 0); !errors.Is(err, unix.ESRCH) {
			t.Errorf("the client is still there: %v", err)
		}
	})
	return p, v
}

// TestProcess: a service that begins to listen at a known moment is found, between two
// attempts of which that moment is.
func TestProcess(t *testing.T) {
	p, v := asker(t, true)
	if err := p.Ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Started()
	time.Sleep(20 * time.Millisecond)
	before := monotonicNs()
	serve(t, v.Do, v.IP.String()+":80", servePage)
	after := monotonicNs()
	res, err := p.Wait(t.Context())
	if err != nil || !strings.HasPrefix(string(res.Response), "HTTP/1.1 200") {
		t.Fatalf("%q, %v: %+v", res.Response, err, res)
	}
	if res.AskedBeforeNs == 0 || res.AskedBeforeNs > after || res.AskedNs < before || res.ConnectedNs < before || res.FirstByteNs < res.ConnectedNs {
		t.Errorf("it listens since %d to %d: %+v", before, after, res)
	}
	if again, err := p.Wait(t.Context()); err != nil || again.AskedNs != res.AskedNs {
		t.Errorf("asked again how it went: %+v, %v", again, err)
	}
}

// TestKeptFromRunning: what a client does not ask because it cannot run is told.
func TestKeptFromRunning(t *testing.T) {
	p, v := asker(t, false)
	if err := p.Ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Started()
	time.Sleep(5 * time.Millisecond)
	const kept = 300 * time.Millisecond
	if err := p.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	awaitState(t, p.cmd.Process.Pid, "T")
	began := monotonicNs()
	serve(t, v.Do, v.IP.String()+":80", servePage)
	time.Sleep(kept)
	if err := p.cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	res, err := p.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if gap := time.Duration(res.AskedNs - res.AskedBeforeNs); gap < kept || res.AskedBeforeNs > began || res.LongestGap < kept {
		t.Errorf("it was kept for %v, and says %v, its longest gap %v", kept, gap, res.LongestGap)
	}
}

// awaitState waits until a process has a state (proc_pid_stat(5)).
func awaitState(t *testing.T, pid int, state string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		if f := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:])); f[0] == state {
			return
		}
	}
	t.Fatalf("process %d is never in state %s", pid, state)
}

// TestUrgent: all threads of the client have the priority, also those that come later, and
// its parent has none.
func TestUrgent(t *testing.T) {
	p, _ := asker(t, true)
	if p.NotUrgent != "" {
		t.Skipf("needs real-time priorities: %s", p.NotUrgent)
	}
	if err := p.Ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	for pid, want := range map[int]uint32{p.cmd.Process.Pid: unix.SCHED_FIFO, os.Getpid(): unix.SCHED_NORMAL} {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil || len(tasks) == 0 {
			t.Fatalf("threads of %d: %v, %v", pid, tasks, err)
		}
		for _, task := range tasks {
			tid, _ := strconv.Atoi(filepath.Base(task))
			attr, err := unix.SchedGetAttr(tid, 0)
			if err == nil && attr.Policy != want || err != nil && !errors.Is(err, unix.ESRCH) {
				t.Errorf("thread %d of %d: policy %+v, %v, want %d", tid, pid, attr, err, want)
			}
		}
	}
}

// TestProcessEnds: with its context, whatever it was doing.
func TestProcessEnds(t *testing.T) {
	for _, asks := range []bool{false, true} {
		p, _ := asker(t, true)
		ctx, stop := context.WithCancel(t.Context())
		if asks {
			if err := p.Ask(ctx); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		res, err := p.Wait(ctx)
		if err == nil || (res.SYNs > 0) != asks {
			t.Errorf("asks: %v: %+v, %v", asks, res, err)
		}
	}
}

// children are this process's children that are clients.
func children(t *testing.T) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		raw, _ := os.ReadFile(stat)
		args, _ := os.ReadFile(filepath.Join(filepath.Dir(stat), "cmdline"))
		var ppid int
		_, err := fmt.Sscanf(string(raw[strings.LastIndexByte(string(raw), ')')+1:]), " %1s %d", new(string), &ppid)
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat))); err == nil && ppid == os.Getpid() && string(args) == processName+"\x00" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestStoppedBeforeReady: a client that never gets ready is given up with the context.
func TestStoppedBeforeReady(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	before := openFiles(t)
	_, err := Start(ctx, func(start func() error) error {
		err := start()
		for _, pid := range children(t) { // it is told what to ask, which it waits for, later
			err = errors.Join(err, unix.Kill(pid, unix.SIGSTOP))
		}
		time.AfterFunc(50*time.Millisecond, stop)
		return err
	}, Errand{Addr: netip.MustParseAddrPort("127.0.0.1:1")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, now := children(t), openFiles(t); len(left) > 0 || now > before {
		t.Errorf("left: %v, %d descriptors, before %d", left, now, before)
	}
}

// TestNotStarted: nothing is left where the namespace cannot be entered, or left.
func TestNotStarted(t *testing.T) {
	failed := errors.New("no such namespace")
	for name, inNS := range map[string]func(func() error) error{
		"before": func(func() error) error { return failed },
		"after":  func(start func() error) error { return errors.Join(start(), failed) },
	} {
		before := openFiles(t)
		if _, err := Start(t.Context(), inNS, Errand{}); !errors.Is(err, failed) {
			t.Errorf("%s: %v", name, err)
		}
		if left, now := children(t), openFiles(t); len(left) > 0 || now > before {
			t.Errorf("%s: left: %v, %d descriptors, before %d", name, left, now, before)
		}
	}
}

// TestNotPinned: a client that is not on its own CPUs is not urgent on those of others.
func TestNotPinned(t *testing.T) {
	p, err := Start(t.Context(), nil, Errand{Addr: netip.MustParseAddrPort("127.0.0.1:1"), CPUs: []int{1023}, Urgent: true})
	if err != nil {
		t.Fatal(err)
	}
	attr, err := unix.SchedGetAttr(p.cmd.Process.Pid, 0)
	if err != nil || attr.Policy != unix.SCHED_NORMAL || p.Urgent || p.NotPinned == "" || p.NotUrgent != "" {
		t.Errorf("policy %+v, %v; urgent: %v; %q, %q", attr, err, p.Urgent, p.NotPinned, p.NotUrgent)
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}

// TestProcessErrors: what kind of error it was is known on this side too.
func TestProcessErrors(t *testing.T) {
	l := newLab(t)
	v, err := l.Veth(network.VethOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		do   func(p *Process, stop context.CancelFunc)
		kind error // nil: neither
	}{
		"no answer":  {func(*Process, context.CancelFunc) {}, ErrTimeout},
		"given up":   {func(_ *Process, stop context.CancelFunc) { stop() }, context.Canceled},
		"it crashes": {func(p *Process, _ context.CancelFunc) { _ = p.cmd.Process.Signal(unix.SIGSEGV) }, nil},
	} {
		p, err := Start(t.Context(), l.Do, Errand{Addr: netip.AddrPortFrom(v.IP, 80), Timeout: 500 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		if err := p.Ask(ctx); err != nil {
			t.Fatal(err)
		}
		tt.do(p, stop)
		_, err = p.Wait(ctx)
		stop()
		for _, kind := range kinds {
			if err == nil || errors.Is(err, kind) != errors.Is(tt.kind, kind) {
				t.Errorf("%s: %v is %v: %v", name, err, kind, errors.Is(err, kind))
			}
		}
	}
}
