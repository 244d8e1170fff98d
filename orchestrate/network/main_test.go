// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/vishvananda/netns"
)

// TestMain lets the test binary also play the run that gets killed, and fails
// the package when a namespace or an interface is left on the host.
func TestMain(m *testing.M) {
	if dir := os.Getenv("UKPROBE_TEST_VICTIM"); dir != "" {
		victim(dir)
	}
	before := hostState()
	code := m.Run()
	if after := hostState(); after != before {
		fmt.Printf("left on the host:\nbefore: %s\nafter:  %s\n", before, after)
		code = 1
	}
	os.Exit(code)
}

// hostState is what must be the same before and after: these tests' names of
// namespaces (other packages' tests run beside), and the host's interfaces,
// routes and addresses.
func hostState() string {
	var b strings.Builder
	list, _ := os.ReadDir(netnsDir)
	for _, e := range list {
		if strings.Contains(e.Name(), "nettest-") {
			fmt.Fprintln(&b, e.Name())
		}
	}
	for _, what := range []string{"link", "route", "addr"} {
		out, _ := exec.Command("ip", "-o", what).Output()
		b.Write(out)
	}
	return b.String()
}

// victim builds a whole lab and waits to be killed.
func victim(dir string) {
	j, err := journal.Open(dir, victimRun)
	if err == nil {
		var l *Lab
		if l, err = NewLab(j, victimRun); err == nil {
			_, err = l.Tap(TapOptions{})
			_, vethErr := l.Veth(VethOptions{})
			err = errors.Join(err, vethErr)
		}
	}
	fmt.Println("ready", err)
	time.Sleep(time.Minute)
	os.Exit(2)
}

var victimRun = fmt.Sprintf("nettest-victim-%d", os.Getppid())

func startVictim(t *testing.T, dir string) (cmd *exec.Cmd, run string) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "UKPROBE_TEST_VICTIM="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready <nil>\n" {
		t.Fatalf("victim said %q", line)
	}
	return cmd, fmt.Sprintf("nettest-victim-%d", os.Getpid())
}

// newLab makes a lab that is closed, with its journal, when the test ends.
func newLab(t *testing.T) (*Lab, *journal.Journal) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	run := fmt.Sprintf("nettest-%d-%d", os.Getpid(), time.Now().UnixNano())
	j, err := journal.Open(t.TempDir(), run)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLab(j, run)
	if err != nil {
		_ = j.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), j.Close()); err != nil {
			t.Errorf("close: %v", err)
			_, _ = j.Rollback(context.Background(), Undoers())
		}
	})
	return l, j
}

func needTun(t *testing.T) {
	t.Helper()
	if f, err := os.OpenFile(tunDevice, os.O_RDWR, 0); err != nil {
		t.Skipf("needs %s: %v", tunDevice, err)
	} else {
		_ = f.Close()
	}
}

// ipJSON runs `ip -d -j args…` inside ns and decodes its answer.
func ipJSON(t *testing.T, inNS func(func() error) error, args ...string) []map[string]any {
	t.Helper()
	var out []byte
	err := inNS(func() (err error) {
		out, err = exec.Command("ip", append([]string{"-d", "-j"}, args...)...).Output()
		return err
	})
	if err != nil {
		t.Fatalf("ip %v: %v", args, err)
	}
	var v []map[string]any
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
	return v
}

// dig follows keys into nested JSON objects.
func dig(v any, keys ...string) any {
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

// currentNS is the inode of the calling thread's namespace.
func currentNS(t *testing.T) string {
	t.Helper()
	ns, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	return ns.UniqueId()
}
