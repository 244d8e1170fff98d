// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// process returns the app's root folder.
func process(t *testing.T, app string) RootFS {
	t.Helper()
	needRoot(t)
	root, err := treeBuilder(t).RootFS(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// run starts the app as the system process does: in a copy of its root folder, with
// its own argv and environment, in the caller's network namespace.
func (r RootFS) run(t *testing.T) *running {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	if out, err := exec.Command("cp", "-a", r.Dir, root).CombinedOutput(); err != nil {
		t.Fatalf("copy the root folder: %v: %s", err, out)
	}
	return start(t, &exec.Cmd{
		Path:        r.Argv[0],
		Args:        r.Argv,
		Env:         r.Env,
		Dir:         "/",
		SysProcAttr: &syscall.SysProcAttr{Chroot: root},
	})
}

func TestHelloRuns(t *testing.T) {
	p := process(t, "hello").run(t)
	at := p.expect(t, ReadyLine("hello"))
	t.Logf("ready after %.1f ms", float64(at.Microseconds())/1000)
	const longEnough = 200 * time.Millisecond
	time.Sleep(longEnough)
	select {
	case err := <-p.ended:
		t.Errorf("hello ended after its line: %v", err)
	default:
	}
	if used := cpuTime(t, p.cmd.Process.Pid); used > longEnough/2 {
		t.Errorf("hello used %s of CPU time: it does not sleep", used)
	}
}

func TestNginxRuns(t *testing.T) {
	root, version := process(t, "nginx"), nginxVersion(t)
	ownNamespace(t)
	addLink(t, &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo"}}, hostAddress+"/32")
	p := root.run(t)
	body, at := p.get(t, hostAddress+":80", version)
	t.Logf("first response after %.1f ms", float64(at.Microseconds())/1000)
	checkPage(t, body)
	checkWorkerUser(t, p.cmd.Process.Pid)
}

func TestServicesRun(t *testing.T) {
	checks := answers(t)
	for _, app := range slices.Sorted(maps.Keys(checks)) {
		t.Run(app, func(t *testing.T) {
			root := process(t, app)
			ownNamespace(t)
			addLink(t, &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo"}}, hostAddress+"/32")
			p := root.run(t)
			line, at := p.answer(t, fmt.Sprintf("%s:%d", hostAddress, Port(app)), Request(app))
			t.Logf("%q after %.1f ms", line, float64(at.Microseconds())/1000)
			if !checks[app](line) {
				t.Errorf("%s answered %q to %q; it printed:\n%s", app, line, Request(app), p.printed())
			}
		})
	}
}

func TestSQLiteRuns(t *testing.T) {
	p := process(t, "sqlite").run(t)
	at := p.expect(t, ReadyLine("sqlite"))
	p.expectEnd(t)
	t.Logf("ready after %.1f ms", float64(at.Microseconds())/1000)
}

// checkWorkerUser checks that the master has dropped its worker's privileges.
func checkWorkerUser(t *testing.T, master int) {
	t.Helper()
	const wwwData = 33 // Debian's base-passwd
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", master))
	if err != nil {
		t.Fatal(err)
	}
	workers := strings.Fields(string(children))
	if len(workers) != 1 {
		t.Fatalf("nginx has the workers %v, want one", workers)
	}
	var worker syscall.Stat_t
	if err := syscall.Stat("/proc/"+workers[0], &worker); err != nil {
		t.Fatal(err)
	}
	if worker.Uid != wwwData {
		t.Errorf("nginx's worker runs as user %d, want %d", worker.Uid, wwwData)
	}
}

// TestProcessDevices checks that the device nodes are what their names say.
func TestProcessDevices(t *testing.T) {
	root := process(t, "hello")
	for _, d := range devices {
		var here, real syscall.Stat_t
		if err := syscall.Stat(filepath.Join(root.Dir, d.name), &here); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Stat(d.name, &real); err != nil {
			t.Fatal(err)
		}
		if here.Mode != real.Mode || here.Rdev != real.Rdev {
			t.Errorf("%s: mode %o, device %#x; the host's has %o, %#x", d.name, here.Mode, here.Rdev, real.Mode, real.Rdev)
		}
	}
}
