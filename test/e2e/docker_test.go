// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/test/dockerd"
)

// dockerRun prepares a run against an engine of the test's own.
func dockerRun(t *testing.T, e *dockerd.Engine, args ...string) *call {
	t.Helper()
	c := newRun(t, args...)
	c.cmd.Env = append(c.cmd.Env, "DOCKER_HOST="+e.Host)
	leaveNoContainers(t, c, e)
	return c
}

// leaveNoContainers checks, when the test ends, that the engine has no container of
// the run any more, and no cgroup hierarchy one of its groups.
func leaveNoContainers(t *testing.T, c *call, e *dockerd.Engine) {
	t.Helper()
	t.Cleanup(func() {
		if left := eventually(func() string { return strings.Join(dockerLeftOf(t, c, e), "\n") }); left != "" {
			t.Errorf("left of the run:\n%s", left)
		}
	})
}

func dockerLeftOf(t *testing.T, c *call, e *dockerd.Engine) []string {
	t.Helper()
	left, err := filepath.Glob("/sys/fs/cgroup/*/ukprobe/*" + c.mark())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range containers(t, e) {
		if strings.Contains(name, c.mark()+"-") {
			left = append(left, "container "+name)
		}
	}
	return left
}

// containers are the names of all that an engine has; none if it has gone.
func containers(t *testing.T, e *dockerd.Engine) []string {
	t.Helper()
	api, err := client.New(client.WithHost(e.Host))
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	list, err := api.ContainerList(t.Context(), client.ContainerListOptions{All: true})
	if client.IsErrConnectionFailed(err) || t.Context().Err() != nil {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range list.Items {
		out = append(out, c.Names...)
	}
	return out
}

// imageOf is the reference of an image that an engine has.
func imageOf(t *testing.T, e *dockerd.Engine, prefix string) string {
	t.Helper()
	api, err := client.New(client.WithHost(e.Host))
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	list, err := api.ImageList(t.Context(), client.ImageListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list.Items {
		for _, tag := range i.RepoTags {
			if strings.HasPrefix(tag, prefix) {
				return tag
			}
		}
	}
	t.Fatalf("the engine has no %s: %+v", prefix, list.Items)
	return ""
}

// containerStart is how a container's timeline begins.
var containerStart = []string{results.EventCreateSent, results.EventCreated, results.EventStartSent, results.EventRuntimeExec, results.EventVMMExec}

// The same binaries as the bare process, started by a real engine: its start comes
// apart, its network is behind the measured veth, it ends with the sample.
func TestDocker(t *testing.T) {
	needRoot(t)
	needNative(t, "an engine wants a root that it can write to")
	e := dockerd.Start(t, dockerd.Options{})
	const apps = "app: [hello, memcached, mysql, nginx, redis, sqlite]"
	m := matrix(t, "system: docker, "+apps+", platform: docker, samples: 2, memory_mib: 512",
		"system: process, "+apps+", platform: process, samples: 2")
	c := dockerRun(t, e, "--matrix", m, "--timeout", "1m").start().wait(patience(4 * time.Minute)).want(0)
	f := c.file()
	if v := f.Host.Versions["docker"]; !strings.Contains(v, "Docker Engine ") || !strings.Contains(v, "runc ") {
		t.Errorf("the engine's version: %q", v)
	}
	for _, cell := range f.Cells {
		if cell.System != "docker" {
			continue
		}
		t.Run(cell.App, func(t *testing.T) {
			if len(cell.Samples) != 2 || cell.Accel != "none" || cell.Image == nil || len(cell.Image.SHA256) != 64 {
				t.Fatalf("%d samples, accel %s, image %+v", len(cell.Samples), cell.Accel, cell.Image)
			}
			for _, s := range cell.Samples {
				if cell.App == "redis" { // finds a /proc here, and warns of overcommit in one write longer than a record
					delete(s.Lost, "console_bytes")
					s.Taints = slices.DeleteFunc(s.Taints, func(taint string) bool { return strings.HasSuffix(taint, " console_bytes") })
				}
				checkOK(t, f, s)
				checkOrder(t, s, containerStart...)
				checkOrder(t, s, results.EventStartSent, results.EventContainerMade, results.EventStarted)
				checkApp(t, cell.App, s)
				if p := s.Phases; p.VMMNs == nil || p.GuestNs == nil || *p.VMMNs < *p.GuestNs {
					t.Errorf("phases %+v: want the engine's part, and the app's below it", p)
				}
				checkAbsent(t, s, results.EventGuestEntry, "not under KVM")
			}
		})
	}
}

// What an engine has by itself can be run too, with other words; without BPF it is
// timed from outside.
func TestDockerProbesNone(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	e := dockerd.Start(t, dockerd.Options{})
	m := matrix(t, "system: docker, app: [hello, nginx], platform: docker")
	dockerRun(t, e, "--matrix", m, "--probes", "none").run().want(0)
	// The first run has left its images with the engine.
	m = matrix(t, "system: docker, app: hello, platform: docker, image: '"+imageOf(t, e, "ukprobe/hello")+"', args: '/bin/busybox sh /hello.sh'",
		"system: docker, app: nginx, platform: docker, image: '"+imageOf(t, e, "ukprobe/nginx")+"'")
	c := dockerRun(t, e, "--matrix", m, "--probes", "none").run().want(0)
	f := c.file()
	for _, cell := range f.Cells {
		s := cell.Samples[0]
		checkOK(t, f, s)
		checkOrder(t, s, results.EventCreateSent, results.EventCreated, results.EventStartSent, results.EventStarted)
		checkAbsent(t, s, results.EventVMMExec, "only the host kernel")
		checkAbsent(t, s, results.EventRuntimeExec, "only the host kernel")
		if s.Phases.TotalNs == nil || s.Phases.VMMNs != nil {
			t.Errorf("phases %+v", s.Phases)
		}
	}
}

// Containers that do not become what they should are failed with the reason, and
// removed.
func TestDockerBadContainers(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	e := dockerd.Start(t, dockerd.Options{})
	for name, tc := range map[string]struct{ cell, status, words string }{
		"ends":      {"args: '/bin/busybox false'", results.SampleFailed, "the container ended before the guest was ready (no console line matched "},
		"no such":   {"args: '/bin/no-such-program'", results.SampleFailed, "no-such-program"},
		"not ready": {"ready: 'this never comes', timeout: 3s", results.SampleTimeout, "no console line matched"},
		"no memory": {"memory_mib: 1", results.SampleFailed, "emory limit"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dockerRun(t, e, "--matrix", matrix(t, "system: docker, app: hello, platform: docker, "+tc.cell)).run().want(1)
			if s := c.cell(1).Samples[0]; s.Status != tc.status || !strings.Contains(s.Reason, tc.words) {
				t.Errorf("%s: %q, want %s: %q", s.Status, s.Reason, tc.status, tc.words)
			}
		})
	}
}

// An engine that is not there is a reason of the cell, and the others go on.
func TestDockerWithoutEngine(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	m := matrix(t, "system: docker, app: hello, platform: docker", "system: process, app: hello, platform: process")
	c := newRun(t, "--matrix", m)
	c.cmd.Env = append(c.cmd.Env, "DOCKER_HOST=unix://"+c.dir+"/nobody")
	c.run().want(1)
	f := c.file()
	if cell := f.Cells[0]; cell.Status != results.CellFailed || !strings.Contains(cell.Reason, "no Docker Engine at unix://") || !strings.Contains(cell.Reason, "set DOCKER_HOST") {
		t.Errorf("cell without an engine: %s: %q", cell.Status, cell.Reason)
	}
	if cell := f.Cells[1]; cell.Status != results.CellOK {
		t.Errorf("the cell beside it: %s: %q", cell.Status, cell.Reason)
	}
}

// inContainer is a cgroup of the runtime's making below a sample's.
var inContainer = regexp.MustCompile(`(?m)^0::/ukprobe/[^/]+/s\d+/[0-9a-f]{64}$`)

// holdingContainer starts a run with a container that is never ready, and that
// SIGTERM does not end.
func holdingContainer(t *testing.T, e *dockerd.Engine, timeout string) *call {
	t.Helper()
	m := matrix(t, "system: docker, app: hello, platform: docker, ready: 'this never comes', timeout: "+timeout, "system: process, app: hello, platform: process")
	c := dockerRun(t, e, "--matrix", m).start()
	var app process
	find := func() bool {
		for _, p := range processesOf(t, c) {
			if strings.Contains(p.cmdline, "sleep infinity") && inContainer.MatchString(p.cgroup) {
				app = p
				return true
			}
		}
		return false
	}
	c.waitUntil("its container runs", patience(time.Minute), find)
	// The kernel drops what the first process of a pid namespace has no handler for.
	if err := syscall.Kill(app.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if !find() {
		t.Fatal("the container ends by SIGTERM")
	}
	return c
}

// After SIGKILL of ukprobe its container is left, and clean removes it.
func TestDockerKillAndClean(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	e := dockerd.Start(t, dockerd.Options{})
	c := holdingContainer(t, e, "10m")
	_ = c.cmd.Process.Kill()
	c.wait(patience(5 * time.Second)).want(-int(syscall.SIGKILL))
	if left := strings.Join(dockerLeftOf(t, c, e), "\n"); !strings.Contains(left, "container /ukprobe-") {
		t.Errorf("no container is left after the kill, so cleaning proves nothing: %s", left)
	}
	clean := newCall(t, "clean", "--journal-dir", c.journal()).run().want(0)
	if out := clean.stdout.String(); !strings.Contains(out, "removed docker-container ukprobe-") {
		t.Errorf("clean does not tell of the container:\n%s", out)
	}
	if left := dockerLeftOf(t, c, e); len(left) > 0 {
		t.Errorf("left after clean: %v", left)
	}
	if left := leftOf(t, c); len(left) > 0 {
		t.Errorf("left after clean: %v", left)
	}
}

// An engine that dies fails the sample at once, its container's processes are ended,
// the other cells are sampled, and what only the engine could remove is told of.
func TestDockerEngineDies(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	e := dockerd.Start(t, dockerd.Options{})
	c := holdingContainer(t, e, "10m")
	begun := time.Now()
	e.Kill()
	c.wait(patience(time.Minute))
	if took := time.Since(begun); took > patience(30*time.Second) {
		t.Errorf("it took %v to end", took)
	}
	s := c.file().Cells[0].Samples[0]
	if s.Status != results.SampleFailed || !strings.Contains(s.Reason, "no Docker Engine at ") {
		t.Errorf("%s: %q: want the engine's end", s.Status, s.Reason)
	}
	c.says("docker-container", "ukprobe clean")
	if left := processesOf(t, c); len(left) > 0 {
		t.Errorf("the container's processes live on: %v", left)
	}
	// Here the engine will never come back: with it its container has gone.
	if names, err := filepath.Glob(c.journal() + "/*.journal"); err != nil || len(names) != 1 {
		t.Errorf("journals %v, %v", names, err)
	}
	newCall(t, "clean", "--journal-dir", c.journal()).run().want(1).says("start it")
	if err := os.RemoveAll(c.journal()); err != nil {
		t.Fatal(err)
	}
}

// An engine that hangs does not hold the run up for long: the sample says so, the other
// cells are sampled, and once the engine goes on clean removes what is left.
func TestDockerEngineHangs(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	e := dockerd.Start(t, dockerd.Options{})
	c := holdingContainer(t, e, "20s")
	if err := syscall.Kill(e.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := func() { _ = syscall.Kill(e.PID(), syscall.SIGCONT) }
	defer goOn()
	c.wait(patience(3 * time.Minute))
	f := c.file()
	s := f.Cells[0].Samples[0]
	if text := strings.Join(s.Taints, "; "); s.Status != results.SampleTimeout || !strings.Contains(text, "its removal: remove container") || !strings.Contains(text, "that answers in time") {
		t.Errorf("%s: %q, taints %s", s.Status, s.Reason, text)
	}
	if cell := f.Cells[1]; cell.Status != results.CellOK {
		t.Errorf("the cell beside it: %s: %q", cell.Status, cell.Reason)
	}
	c.says("docker-container", "ukprobe clean")
	if left := processesOf(t, c); len(left) > 0 {
		t.Errorf("the container's processes live on: %v", left)
	}
	goOn()
	clean := newCall(t, "clean", "--journal-dir", c.journal()).run().want(0)
	if out := clean.stdout.String(); !strings.Contains(out, "removed docker-container ukprobe-") {
		t.Errorf("clean does not tell of the container:\n%s", out)
	}
}

// TestDockerEngineIsNoStranger: what the engine does to start a container is what is
// measured, and disturbs nobody: it is told as the engine's.
func TestDockerEngineIsNoStranger(t *testing.T) {
	needRoot(t)
	needNative(t, "an engine wants a root that it can write to")
	e := dockerd.Start(t, dockerd.Options{})
	m := matrix(t, "system: docker, app: hello, platform: docker, samples: 5, memory_mib: 512")
	f := dockerRun(t, e, "--matrix", m).run().want(0).file()
	engine := map[string]int{}
	for _, s := range f.Cells[0].Samples {
		checkOK(t, f, s)
		for _, i := range s.Interference {
			t.Logf("%s %s on cpu %d: %v", i.Kind, i.Name, i.CPU, time.Duration(i.NS))
			if i.Kind == "engine" {
				engine[i.Name]++
			}
		}
		if tainted(s, "interference: the engine's own work") || tainted(s, "the engine's ") {
			t.Errorf("taints %q", s.Taints)
		}
	}
	// Others' engines may be at work here, too: of them nothing is expected.
	if len(engine) < 3 || engine["dockerd"]+engine["containerd"]+engine["containerd-shim"] == 0 {
		t.Errorf("the engine's: %v", engine)
	}
}
