// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
)

func TestLabAsBuilt(t *testing.T) {
	l, _ := newLab(t)
	out, err := exec.Command("ip", "netns").Output()
	if err != nil || !strings.Contains(string(out), l.Name()) {
		t.Errorf("ip netns does not show %s: %v\n%s", l.Name(), err, out)
	}

	links := ipJSON(t, l.Do, "link")
	var names []string
	var bridge map[string]any
	for _, link := range links {
		names = append(names, link["ifname"].(string))
		if link["ifname"] == bridgeName {
			bridge = link
		}
	}
	if diff := cmp.Diff([]string{"lo", bridgeName}, names); diff != "" {
		t.Fatalf("links (-want +got):\n%s", diff)
	}
	data := dig(bridge, "linkinfo", "info_data")
	got := map[string]any{
		"mac": bridge["address"], "stp": dig(data, "stp_state"), "delay": dig(data, "forward_delay"),
		"snooping": dig(data, "mcast_snooping"), "index": int(bridge["ifindex"].(float64)),
	}
	want := map[string]any{"mac": "52:54:00:12:00:01", "stp": 0.0, "delay": 0.0, "snooping": 0.0, "index": l.BridgeIfindex}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bridge (-want +got):\n%s", diff)
	}

	var addrs []string
	for _, link := range ipJSON(t, l.Do, "addr") {
		for _, a := range link["addr_info"].([]any) {
			addrs = append(addrs, fmt.Sprint(link["ifname"], " ", dig(a, "local"), "/", dig(a, "prefixlen")))
		}
	}
	if diff := cmp.Diff([]string{"lo 127.0.0.1/8", "ukbr0 198.18.0.1/24"}, addrs); diff != "" {
		t.Errorf("addresses, with no IPv6 one (-want +got):\n%s", diff)
	}
}

func TestNamespaceAlreadyThere(t *testing.T) {
	l, j := newLab(t)
	_, err := NewLab(j, strings.TrimPrefix(l.Name(), nsPrefix))
	if err == nil || !strings.Contains(err.Error(), "already there: run `ukprobe clean`") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(netnsDir, l.Name())); err != nil {
		t.Errorf("the first lab's namespace was taken away: %v", err)
	}
}

func TestDo(t *testing.T) {
	l, _ := newLab(t)
	home := currentNS(t)
	fault := errors.New("as it is")
	err := l.Do(func() error {
		if in := currentNS(t); !strings.HasSuffix(in, fmt.Sprintf(":%d)", l.Inum())) {
			t.Errorf("inside: %s, want inode %d", in, l.Inum())
		}
		out, err := exec.Command("readlink", "/proc/self/ns/net").Output()
		if want := fmt.Sprintf("net:[%d]\n", l.Inum()); string(out) != want {
			t.Errorf("a child is in %q, want %q: %v", out, want, err)
		}
		return fault
	})
	if !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	if err := l.Do(func() error { runtime.Goexit(); return nil }); !errors.Is(err, errGoexit) {
		t.Errorf("Goexit: %v", err)
	}

	// No thread may be left in the lab's namespace, however many were used.
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := l.Do(func() error { runtime.Gosched(); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if now := currentNS(t); now != home {
		t.Errorf("the test's thread is in %s, was in %s", now, home)
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/ns/net")
	for _, task := range tasks {
		if to, _ := os.Readlink(task); to == fmt.Sprintf("net:[%d]", l.Inum()) {
			t.Errorf("%s is still inside", task)
		}
	}
}

func TestSIGKILLThenClean(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	needTun(t)
	dir := t.TempDir()
	cmd, run := startVictim(t, dir)
	lab, veth := filepath.Join(netnsDir, nsPrefix+run), filepath.Join(netnsDir, nsPrefix+run+"-1")
	for _, path := range []string{lab, veth} {
		if mounted, err := isMountPoint(path); !mounted {
			t.Fatalf("%s: %v", path, err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, _ = cmd.Process.Wait()
	r, err := journal.Clean(context.Background(), dir, Undoers())
	if err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	if want := fmt.Sprintf("run %s: removed netns %s-1\nrun %s: removed netns %s\n", run, nsPrefix+run, run, nsPrefix+run); !strings.HasPrefix(r.String(), want) {
		t.Errorf("report:\n%swant first:\n%s", r, want)
	}
	for _, path := range []string{lab, veth} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

func TestNamespaceInUse(t *testing.T) {
	l, _ := newLab(t)
	cmd := exec.Command("sleep", "60")
	if err := l.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	ended := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	t.Cleanup(ended)
	err := l.Close()
	if want := fmt.Sprintf("pid %d (sleep)", cmd.Process.Pid); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if mounted, err := isMountPoint(filepath.Join(netnsDir, l.Name())); !mounted {
		t.Errorf("a namespace in use was taken away: %v", err)
	}
	ended()
	if err := l.Close(); err != nil {
		t.Errorf("after its last process: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("third Close: %v", err)
	}
}

// TestBesideIPNetns: a namespace made by iproute2 while a lab is up stays, and
// the lab's can still be removed.
func TestBesideIPNetns(t *testing.T) {
	l, _ := newLab(t)
	name := strings.Replace(l.Name(), nsPrefix, "uktest-", 1)
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	made := l.dir
	err := l.Close()
	out, listErr := exec.Command("ip", "netns").Output()
	if err != nil || listErr != nil || bytes.Contains(out, []byte(l.Name()+"\n")) || !bytes.Contains(out, []byte(name)) {
		t.Errorf("after Close: %v %v\n%s", err, listErr, out)
	}
	if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if made != nil { // as the next clean would
		if err := UndoNetNSDir(context.Background(), *made); err != nil {
			t.Error(err)
		}
	}
}

func TestUndoRefusesWhatIsNotOurs(t *testing.T) {
	for _, e := range []journal.Entry{
		{Name: "other", Data: map[string]string{"path": "/run/netns/other"}},
		{Name: "ukprobe-x", Data: map[string]string{"path": "/run/netns/other"}},
		{Name: "ukprobe-x/../other", Data: map[string]string{"path": "/run/netns/other"}},
		{Name: "ukprobe-x"},
	} {
		if err := UndoNetNS(context.Background(), e); err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("%v: %v", e, err)
		}
	}
	if err := UndoNetNSDir(context.Background(), journal.Entry{Name: "/run"}); err == nil {
		t.Error("/run taken for the namespace directory")
	}
}

// TestAfterReboot: where /run is on a disk, the name of a namespace outlives it.
func TestAfterReboot(t *testing.T) {
	l, j := newLab(t)
	path := filepath.Join(netnsDir, l.Name()+"-stale")
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	e := journal.Entry{Kind: journal.KindNetNS, Name: l.Name() + "-stale", Data: map[string]string{"path": path}}
	if err := UndoNetNS(context.Background(), e); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("left: %v", err)
	}
	_ = j
}
