// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal makes a pseudo-terminal and collects what is written to it.
func terminal(t *testing.T) (side *os.File, keys *os.File, shown *logText) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs pseudo-terminals: %v", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	side, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = side.Close(); _ = master.Close() })
	shown = &logText{}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			if err != nil {
				return
			}
			_, _ = shown.Write(buf[:n])
		}
	}()
	return side, master, shown
}

// TestScreen: on a terminal it is drawn in place, keys are heard, and the terminal
// is put back.
func TestScreen(t *testing.T) {
	t.Setenv("TERM", "xterm")
	_, reporter := reporting(t)
	side, keys, shown := terminal(t)
	before, err := unix.IoctlGetTermios(int(side.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	var width atomic.Int64
	width.Store(70)
	sc := Screen{Out: side, In: side, Interval: time.Hour, Next: reporter.Next,
		Style: func() Style { return Style{Width: int(width.Load()), Rows: 20, Sort: SortExits} }}
	done := make(chan error, 1)
	go func() { done <- sc.Show(t.Context()) }()
	waitFor(t, "the first report", func() bool { return strings.Contains(shown.String(), "VMs in") })
	press := func(key string) {
		t.Helper()
		if _, err := keys.WriteString(key); err != nil {
			t.Fatal(err)
		}
	}
	if text := shown.String(); strings.Contains(text, "not counted:") || !strings.Contains(text, "not counted here: ") {
		t.Errorf("why something is not counted, unasked: %q", text)
	}
	press("h")
	waitFor(t, "why something is not counted", func() bool { return strings.Contains(shown.String(), "not counted: exits by reason: hook kvm_exit") })
	press("h")
	press("s")
	waitFor(t, "another order", func() bool { return strings.Contains(shown.String(), "sort (vmm)") })
	width.Store(40)
	if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a narrow frame", func() bool {
		return strings.Contains(shown.String(), "a-name-that-is-quite-long-for-…        -\x1b[K")
	})
	press("q")
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("q does not end it")
	}
	waitFor(t, "the terminal's own screen", func() bool { return strings.HasSuffix(shown.String(), leaveScreen) })
	text := shown.String()
	if !strings.HasPrefix(text, enterScreen) {
		t.Errorf("it begins with %.40q", text)
	}
	frames := strings.Split(text, beginFrame)[1:]
	for i, f := range frames {
		if n := strings.Count(f, "\r\n"); n > 20 || !strings.Contains(f, endFrame) {
			t.Errorf("frame %d has %d lines: %q", i, n, f)
		}
	}
	after, err := unix.IoctlGetTermios(int(side.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal's settings: %+v, were %+v, %v", after, before, err)
	}
}

// TestScreenEndsWithItsContext: a signal puts the terminal back too.
func TestScreenEndsWithItsContext(t *testing.T) {
	t.Setenv("TERM", "xterm")
	_, reporter := reporting(t)
	side, _, shown := terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	sc := Screen{Out: side, In: side, Interval: time.Millisecond, Next: reporter.Next, Style: func() Style { return Style{} }}
	go func() { done <- sc.Show(ctx) }()
	waitFor(t, "some frames", func() bool { return strings.Count(shown.String(), endFrame) > 3 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	waitFor(t, "the terminal's own screen", func() bool { return strings.HasSuffix(shown.String(), leaveScreen) })
}

// TestNoScreen: without a terminal, or one that can do nothing, it is plain.
func TestNoScreen(t *testing.T) {
	_, reporter := reporting(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text := &logText{}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			if err != nil {
				return
			}
			_, _ = text.Write(buf[:n])
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	sc := Screen{Out: w, In: r, Interval: time.Millisecond, Next: reporter.Next, Style: func() Style { return Style{Color: true, Rows: 3} }}
	go func() { done <- sc.Show(ctx) }()
	waitFor(t, "two reports", func() bool { return strings.Count(text.String(), "VMs in") > 1 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = w.Close()
	if strings.Contains(text.String(), "\x1b") || !strings.Contains(text.String(), "\n--------------------\n") {
		t.Errorf("%q", text.String())
	}
}
