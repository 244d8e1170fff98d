// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/client"

	guest "github.com/ukprobe/ukprobe/guests/docker"
	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/test/dockerd"
)

// bed is an engine with the image of hello, and what a sample has on the host.
type bed struct {
	t       *testing.T
	host    *dockerd.Engine
	engine  *Engine
	image   Image
	journal *journal.Journal
	group   *cgroup.Group
	path    string // of the group, below its hierarchy's root
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, host: dockerd.Start(t, dockerd.Options{Args: []string{"--debug"}})}
	t.Setenv("DOCKER_HOST", b.host.Host)
	var err error
	if b.engine, err = Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.engine.Close() })
	if err := b.engine.Usable(); err != nil {
		t.Skip(err)
	}
	b.image = b.ensure()
	h, err := cgroup.Find()
	if err != nil {
		t.Skip(err)
	}
	run := fmt.Sprintf("dockertest-%d-%d", os.Getpid(), time.Now().UnixNano())
	if b.journal, err = journal.Open(t.TempDir(), run); err != nil {
		t.Fatal(err)
	}
	if b.group, err = h.New(b.journal, run, "s0"); err != nil {
		t.Fatal(err)
	}
	b.path = h.Name(b.group)
	t.Cleanup(func() {
		if err := errors.Join(b.group.Close(), b.journal.Close()); err != nil {
			t.Error(err)
		}
		left, err := filepath.Glob("/sys/fs/cgroup/*" + filepath.Dir(b.path))
		if err != nil || len(left) > 0 {
			t.Errorf("cgroups are left: %v, %v", left, err)
		}
	})
	return b
}

func (b *bed) ensure() Image {
	b.t.Helper()
	builder := guest.Builder{Linux: &linux.Builder{Dir: "../../.cache/images", Logf: b.t.Logf}}
	img, err := builder.Image(b.t.Context(), "hello")
	if err != nil {
		b.t.Fatal(err)
	}
	have, err := b.engine.Ensure(b.t.Context(), img)
	if err != nil {
		b.t.Fatal(err)
	}
	return have
}

// said is what a container has written, and what happened to it.
type said struct {
	mu             sync.Mutex
	stdout, stderr bytes.Buffer
	events         []string
}

func (s *said) event(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, name)
}

// locked writes to one of a container's buffers.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (b *bed) spec(s *said, args ...string) Spec {
	return Spec{
		Name: strings.ReplaceAll(strings.Trim(b.path, "/"), "/", "-"), Image: b.image.ID, Args: args, MemoryMiB: 64, CPUs: []int{0},
		Cgroup: b.path, Journal: b.journal, Event: s.event,
		Stdout: locked{&s.mu, &s.stdout}, Stderr: locked{&s.mu, &s.stderr},
	}
}

// start starts a container that the test's end closes.
func (b *bed) start(s Spec) *Container {
	b.t.Helper()
	c, err := b.engine.Start(b.t.Context(), s)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return c
}

// names are those of all containers of the engine.
func (b *bed) names() []string {
	b.t.Helper()
	list, err := b.engine.api.ContainerList(b.t.Context(), client.ContainerListOptions{All: true})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, c := range list.Items {
		out = append(out, c.Names...)
	}
	return out
}

// TestContainer follows one container from its creation to its end: where its
// process is, what limits it, what it says, and that nothing of it is left.
func TestContainer(t *testing.T) {
	b := newBed(t)
	var s said
	spec := b.spec(&s, "/bin/busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
	var seen struct{ cmdline, cgroup string }
	spec.NetNS = func(pid int) error {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		seen.cmdline, seen.cgroup = string(cmdline), string(group)
		return err
	}
	c := b.start(spec)
	if err := c.Wait(); err == nil || err.Error() != "exit status 3" {
		t.Errorf("wait: %v, want exit status 3", err)
	}
	// The runtime's process, not yet the app.
	if strings.Contains(seen.cmdline, "sh") && strings.Contains(seen.cmdline, "busybox") {
		t.Errorf("its network came when it was %q", seen.cmdline)
	}
	if want := "0::" + b.path + "/" + c.id + "\n"; !strings.HasSuffix(seen.cgroup, want) {
		t.Errorf("it is in\n%swant %s", seen.cgroup, want)
	}
	if s.stdout.String() != "out\n" || s.stderr.String() != "err\n" {
		t.Errorf("said %q and %q", s.stdout.String(), s.stderr.String())
	}
	if diff := cmp.Diff([]string{probe.EventCreateSent, probe.EventCreated, probe.EventStartSent, probe.EventContainerMade, probe.EventStarted}, s.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	i, err := b.engine.api.ContainerInspect(t.Context(), c.id, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if h := i.Container.HostConfig; h.Memory != 64<<20 || h.CpusetCpus != "0" || h.NetworkMode != "none" || h.CgroupParent != b.path {
		t.Errorf("host configuration %+v", h)
	}
	if !slices.ContainsFunc(b.journal.Entries(), func(e journal.Entry) bool { return e.Kind == Kind && e.Name == spec.Name }) {
		t.Error("the container is not in the journal")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if left := b.names(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if slices.ContainsFunc(b.journal.Entries(), func(e journal.Entry) bool { return e.Kind == Kind }) {
		t.Errorf("the journal still has %v", b.journal.Entries())
	}
}

// TestContainerEnds: each way to end badly has its reason, and Close removes all.
func TestContainerEnds(t *testing.T) {
	b := newBed(t)
	for name, tt := range map[string]struct {
		args   []string
		memory int
		netns  error
		do     func(c *Container) error
		want   string
	}{
		"well":      {args: []string{"/bin/busybox", "true"}},
		"killed":    {args: []string{"/bin/busybox", "sleep", "1000"}, do: func(c *Container) error { return c.Kill(t.Context()) }, want: `^exit status 137 \(signal 9\)$`},
		"no such":   {args: []string{"/no-such-program"}, want: `^start container .*no-such-program`},
		"no wire":   {args: []string{"/bin/busybox", "sleep", "1000"}, netns: errors.New("no veth"), do: func(c *Container) error { <-c.ended; return nil }, want: "^container .*: give it its network: no veth$"},
		"no memory": {args: []string{"/bin/busybox", "sh", "-c", "x=0123456789; while :; do x=$x$x; done"}, memory: 8, want: "out of memory, with a limit of 8 MiB: raise memory_mib"},
	} {
		t.Run(name, func(t *testing.T) {
			var s said
			spec := b.spec(&s, tt.args...)
			spec.MemoryMiB = max(tt.memory, 6)
			if tt.netns != nil {
				spec.NetNS = func(int) error { return tt.netns }
			}
			c, err := b.engine.Start(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if tt.do != nil {
				if name == "killed" { // once it runs
					for !slices.Contains(snapshot(&s), probe.EventStarted) {
						time.Sleep(time.Millisecond)
					}
				}
				if err := tt.do(c); err != nil {
					t.Error(err)
				}
			}
			err = c.Wait()
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !regexp.MustCompile(tt.want).MatchString(err.Error())):
				t.Errorf("wait: %v, want %s", err, tt.want)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if left := b.names(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func snapshot(s *said) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// TestRefused: what the engine does not create leaves nothing, and says why.
func TestRefused(t *testing.T) {
	b := newBed(t)
	for want, change := range map[string]func(*Spec){
		"emory limit":        func(s *Spec) { s.MemoryMiB = 1 },
		"o such image":       func(s *Spec) { s.Image = "no-such-image:1" },
		"equested CPUs are ": func(s *Spec) { s.CPUs = []int{4000} },
	} {
		var s said
		spec := b.spec(&s, "/bin/busybox", "true")
		change(&spec)
		if _, err := b.engine.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
		if entries := b.journal.Entries(); len(entries) != 1 { // the cgroup's
			t.Errorf("the journal has %v", entries)
		}
	}
}

// TestEnsureLoadsOnce: the image is loaded if the engine lacks it, and not again.
func TestEnsureLoadsOnce(t *testing.T) {
	b := newBed(t)
	const call = "Calling POST /v1.41/images/load"
	loads := strings.Count(b.host.Log(), call)
	if loads == 0 {
		t.Fatal("the engine's log does not tell of its first load")
	}
	if again := b.ensure(); again.ID != b.image.ID {
		t.Errorf("image %s, then %s", b.image.ID, again.ID)
	}
	if n := strings.Count(b.host.Log(), call); n != loads {
		t.Errorf("it was loaded %d times more", n-loads)
	}
	if _, err := b.engine.api.ImageRemove(t.Context(), b.image.ID, client.ImageRemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.engine.Find(t.Context(), b.image.ID); !errors.Is(err, ErrNoImage) {
		t.Errorf("find a removed image: %v", err)
	}
	if again := b.ensure(); again.ID != b.image.ID {
		t.Errorf("image %s, then %s", b.image.ID, again.ID)
	}
}

// TestEnsureLayout: an image of somebody else's OCI layout is
// loaded by an engine that knows no layouts, and not loaded again.
func TestEnsureLayout(t *testing.T) {
	b := newBed(t)
	builder := guest.Builder{Linux: &linux.Builder{Dir: "../../.cache/images"}}
	img, err := builder.Image(t.Context(), "hello")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // the archive is a layout too
	if out, err := exec.Command("tar", "-C", dir, "-xf", img.Path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l, err := guest.OpenLayout(dir, img.Manifest.String())
	if err != nil {
		t.Fatal(err)
	}
	var first Image
	for i := range 2 {
		got, err := b.engine.EnsureLayout(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if first.ID == "" {
			first = got
		}
		if got.ID != b.image.ID || !slices.Contains(got.Tags, l.Reference) || got.ID != first.ID {
			t.Errorf("time %d: %+v, want the image %s as %s", i, got, b.image.ID, l.Reference)
		}
	}
}

// TestUndo: what a killed ukprobe has left is removed by its name; what is gone
// already is no error; what is not ours is left alone.
func TestUndo(t *testing.T) {
	b := newBed(t)
	var s said
	c := b.start(b.spec(&s, "/bin/busybox", "sleep", "1000"))
	for !slices.Contains(snapshot(&s), probe.EventStarted) {
		time.Sleep(time.Millisecond)
	}
	for range 2 {
		if err := Undo(t.Context(), c.entry()); err != nil {
			t.Error(err)
		}
		if left := b.names(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	for _, e := range []journal.Entry{
		{Name: "somebody-elses", Data: map[string]string{"host": b.engine.host, "cgroup": "/ukprobe/r/s"}},
		{Name: "ukprobe-r-s", Data: map[string]string{"host": b.engine.host, "cgroup": "/system.slice/a/b"}},
		{Name: "ukprobe-r-s", Data: map[string]string{"host": b.engine.host, "cgroup": "/ukprobe/../s"}},
		{Name: "ukprobe-r-s"},
	} {
		if err := Undo(t.Context(), e); err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("%v: %v", e, err)
		}
	}
	e := c.entry()
	e.Data["host"] = "unix://" + t.TempDir() + "/nobody"
	if err := Undo(t.Context(), e); !errors.Is(err, ErrNoEngine) || !strings.Contains(err.Error(), "ukprobe clean") {
		t.Errorf("without an engine: %v", err)
	}
}

// TestNoEngine: each way to have none says where it was looked for.
func TestNoEngine(t *testing.T) {
	dir := t.TempDir()
	for host, want := range map[string]string{
		"unix://" + dir + "/nobody": "no Docker Engine at unix://" + dir + "/nobody",
		"nonsense":                  "see DOCKER_HOST",
	} {
		t.Setenv("DOCKER_HOST", host)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := Connect(ctx)
		cancel()
		if !errors.Is(err, ErrNoEngine) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", host, err, want)
		}
	}
}

func TestUsable(t *testing.T) {
	for _, tt := range []struct{ host, driver, want string }{
		{"unix:///run/docker.sock", "cgroupfs", ""},
		{"unix:///run/docker.sock", "systemd", "native.cgroupdriver=cgroupfs"},
		{"tcp://192.0.2.1:2375", "cgroupfs", "on this host"},
	} {
		err := (&Engine{host: tt.host, driver: tt.driver}).Usable()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: %v, want %q", tt.host, tt.driver, err, tt.want)
		}
	}
}

// TestEndsBeforeItIsWired: of a container that has no process left to be given its
// network, how it has ended is said too.
func TestEndsBeforeItIsWired(t *testing.T) {
	b := newBed(t)
	var s said
	spec := b.spec(&s, "/bin/busybox", "sh", "-c", "exit 3")
	spec.NetNS = func(pid int) error {
		proc := fmt.Sprintf("/proc/%d", pid)
		_, err := os.Stat(proc)
		for ; err == nil; _, err = os.Stat(proc) {
			time.Sleep(time.Millisecond)
		}
		return err
	}
	if err := b.start(spec).Wait(); err == nil || !regexp.MustCompile("^exit status 3: container .*: give it its network: stat .*no such file").MatchString(err.Error()) {
		t.Errorf("wait: %v", err)
	}
}

// TestInterruptedCreate: a client that goes while the engine creates would leave a
// container behind that nobody knows of.
func TestInterruptedCreate(t *testing.T) {
	b := newBed(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var s said
	spec := b.spec(&s, "/bin/busybox", "true")
	spec.Event = func(name string) {
		if name == probe.EventCreateSent {
			time.AfterFunc(5*time.Millisecond, interrupt) // once it is sent
		}
	}
	if _, err := b.engine.Start(ctx, spec); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was interrupted", err)
	}
	for range 100 { // it takes the engine some 50 ms
		if left := b.names(); len(left) > 0 {
			t.Fatalf("left: %v", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if entries := b.journal.Entries(); len(entries) != 1 { // the cgroup's
		t.Errorf("the journal has %v", entries)
	}
}

// TestEngineHangs: an engine that does not answer a creation may still do it later, so
// the container stays in the journal until it has been removed.
func TestEngineHangs(t *testing.T) {
	b := newBed(t)
	for _, limit := range []*time.Duration{&createTime, &removeTime} {
		before := *limit
		*limit = time.Second
		t.Cleanup(func() { *limit = before })
	}
	if err := syscall.Kill(b.host.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := func() { _ = syscall.Kill(b.host.PID(), syscall.SIGCONT) }
	defer goOn()
	var s said
	spec := b.spec(&s, "/bin/busybox", "true")
	if _, err := b.engine.Start(t.Context(), spec); !errors.Is(err, ErrNoEngine) || !strings.Contains(err.Error(), "answers in time") {
		t.Errorf("%v, want that the engine does not answer", err)
	}
	entries := b.journal.Entries()
	if len(entries) != 2 || entries[1].Kind != Kind {
		t.Fatalf("the journal has %v, want the container too", entries)
	}
	goOn()
	for end := time.Now().Add(10 * time.Second); len(b.names()) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the engine has not gone on, so this proves nothing")
		}
	}
	report, err := b.journal.Rollback(t.Context(), map[journal.Kind]journal.Undoer{Kind: Undo, journal.KindCgroup: cgroup.Undo})
	if err != nil || len(report.Runs[0].Undone) != 2 {
		t.Errorf("%v: %v", report, err)
	}
	if left := b.names(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestSpecArgv: the command says all that the engine is asked for.
func TestSpecArgv(t *testing.T) {
	s := Spec{Name: "n", Image: "image:1", Args: []string{"a", "b"}, MemoryMiB: 64, CPUs: []int{1, 3}, Cgroup: "/ukprobe/r/s"}
	got := strings.Join(s.Argv(), " ")
	if want := "docker run --rm --network none --log-driver none --cgroup-parent /ukprobe/r/s --memory 64m --memory-swap 64m --cpuset-cpus 1,3 image:1 a b"; got != want {
		t.Errorf("argv\n%s\nwant\n%s", got, want)
	}
	o := s.options()
	h := o.HostConfig
	if h.CgroupParent != "/ukprobe/r/s" || h.Memory != 64<<20 || h.MemorySwap != h.Memory || h.CpusetCpus != "1,3" || h.NetworkMode != "none" || h.LogConfig.Type != "none" || o.Config.Image != "image:1" {
		t.Errorf("options %+v, %+v", h, o.Config)
	}
	s.CPUs = nil
	if got := strings.Join(s.Argv(), " "); strings.Contains(got, "cpuset") {
		t.Errorf("without CPUs: %s", got)
	}
}

// TestLoadError: engines tell within their answer, of status 200, what went wrong.
func TestLoadError(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		`{"stream":"Loaded image: a:1\n"}` + "\r\n":                                                                                             "",
		`{"status":"Loading layer","progressDetail":{"current":1}}{"id":"x"}`:                                                                   "",
		`{"status":"x"}` + "\n" + `{"errorDetail":{"message":"write /a: no space left on device"},"error":"write /a: no space left on device"}`: "write /a: no space left on device",
		`{"error":"old"}`: "old",
		`{"status":`:      "its answer: unexpected EOF",
		"<html>":          "its answer: invalid character",
	} {
		err := loadError(strings.NewReader(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestLoadFails: the engine's own words are the error.
func TestLoadFails(t *testing.T) {
	b := newBed(t)
	err := b.engine.load(t.Context(), "broken:1", func(w io.Writer) error {
		_, err := io.WriteString(w, "this is no archive")
		return err
	})
	if err == nil || !regexp.MustCompile("load image broken:1: the engine at .* says: .*(tar|EOF)").MatchString(err.Error()) {
		t.Errorf("%v", err)
	}
}

func TestParseStatus(t *testing.T) {
	for _, tt := range []struct {
		text, parent string
		first        bool
	}{
		{"Name:\trunc:[2:INIT]\nPPid:\t22343\nNSpid:\t22370\t1\n", "22343", true},
		{"PPid:\t1\nNSpid:\t1\n", "1", false}, // the first of the host's
		{"PPid:\t7\nNSpid:\t9\t4\n", "7", false},
		{"PPid:\t7\n", "7", false}, // a kernel without pid namespaces
		{"", "", false},
	} {
		if parent, first := parseStatus(tt.text); parent != tt.parent || first != tt.first {
			t.Errorf("%q: %q, %v, want %q, %v", tt.text, parent, first, tt.parent, tt.first)
		}
	}
}

// TestLayerFolders: only folders that are all here are told.
func TestLayerFolders(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, tt := range []struct {
		driver, upper, lower string
		want                 []string
	}{
		{"overlay2", a, "", []string{a}},
		{"overlay2", a, b + ":" + a, []string{a, b, a}},
		{"overlay2", a, "/no/such/folder", nil},
		{"overlay2", "", "", nil},
		{"vfs", a, "", nil},
	} {
		got := layerFolders(tt.driver, map[string]string{"UpperDir": tt.upper, "LowerDir": tt.lower})
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt, diff)
		}
	}
}
