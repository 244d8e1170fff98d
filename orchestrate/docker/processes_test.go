// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestHolders: who listens is found, also by another name of the folder, and who is
// connected is not.
func TestHolders(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "engine.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	inodes := listening(string(raw), filepath.Join(link, "engine.sock"))
	if len(inodes) != 1 {
		t.Fatalf("inodes %v", inodes)
	}
	if got := holders("/proc", inodes); !slices.Equal(got, []int{os.Getpid()}) {
		t.Errorf("held by %v, this is %d", got, os.Getpid())
	}
	if got, err := listeners(path); err != nil || !slices.Equal(got, []int{os.Getpid()}) {
		t.Errorf("%v listens, this is %d: %v", got, os.Getpid(), err)
	}
	if got := listening(string(raw), filepath.Join(dir, "other.sock")); got != nil {
		t.Errorf("of another: %v", got)
	}
}

// TestHoldersButInit: a socket that systemd holds for the engine is not systemd's.
func TestHoldersButInit(t *testing.T) {
	proc := t.TempDir()
	for pid, to := range map[string]string{"1": "socket:[77]", "812": "socket:[77]", "900": "socket:[78]", "901": "/dev/null"} {
		dir := filepath.Join(proc, pid, "fd")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(dir, "3")); err != nil {
			t.Fatal(err)
		}
	}
	if got := holders(proc, []string{"77"}); !slices.Equal(got, []int{812}) {
		t.Errorf("held by %v", got)
	}
	table := "Num       RefCount Protocol Flags    Type St Inode Path\n" +
		"0000: 00000002 00000000 00010000 0001 01 77 /run/x.sock\n" +
		"0000: 00000003 00000000 00000000 0001 03 78 /run/x.sock\n" +
		"0000: 00000003 00000000 zz 0001 03 79 /run/x.sock\n0000: 1\n"
	if got := listening(table, "/run/x.sock"); !slices.Equal(got, []string{"77"}) {
		t.Errorf("inodes %v", got)
	}
}

// TestChildren: a child of this process is one, this process none of its own.
func TestChildren(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skipf("needs sleep: %v", err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if got := children("/proc", []int{os.Getpid()}); !slices.Contains(got, cmd.Process.Pid) || slices.Contains(got, os.Getpid()) {
		t.Errorf("children %v, one is %d", got, cmd.Process.Pid)
	}
}
