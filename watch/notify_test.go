// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestNotify speaks the protocol over a real socket, as a service manager hears it.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", strconv.Itoa(20e6))
	t.Setenv("WATCHDOG_PID", "")
	hear := func(n int) (out []string) {
		buf := make([]byte, 4096)
		for range n {
			_ = l.SetReadDeadline(time.Now().Add(5 * time.Second))
			k, err := l.Read(buf)
			if err != nil {
				t.Fatalf("heard only %q: %v", out, err)
			}
			out = append(out, string(buf[:k]))
		}
		_ = l.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if k, err := l.Read(buf); err == nil {
			t.Errorf("and heard %q", buf[:k])
		}
		return out
	}
	n := NewNotifier(slog.New(slog.DiscardHandler))
	now := epoch
	n.now = func() time.Time { return now }
	n.Ready("watching 0 VMs")
	if diff := cmp.Diff([]string{"READY=1\nSTATUS=watching 0 VMs"}, hear(1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range 10 { // at 1 s to 10 s
		now = now.Add(time.Second)
		n.Beat(map[bool]string{true: "watching 1 VMs", false: "watching 2 VMs"}[i < 6])
	}
	if diff := cmp.Diff([]string{"STATUS=watching 1 VMs", "WATCHDOG=1", "STATUS=watching 2 VMs"}, hear(3)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	n.Stopping()
	if diff := cmp.Diff([]string{"STOPPING=1"}, hear(1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNoServiceManager: without one nothing is sent and nothing fails.
func TestNoServiceManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	log := &logText{}
	n := NewNotifier(slog.New(slog.NewTextHandler(log, nil)))
	n.Ready("x")
	n.Beat("y")
	n.Stopping()
	if log.String() != "" {
		t.Errorf("log %q", log)
	}
}
