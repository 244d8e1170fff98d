// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// withLaunch gives the experiment's launches more than a command.
func withLaunch(t *testing.T, b *Boot, more func(*platform.Launch)) {
	p := b.Platform.(program)
	p.more = more
	b.Platform, b.WorkDir = p, t.TempDir()
}

// nothingIn: the run's folder is empty again.
func nothingIn(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("in the work folder: %v, %v", left, err)
	}
}

// A driven VMM finds its files in the sample's folder, and what it is told stands in
// the timeline, told apart from the kernel's events.
func TestDriven(t *testing.T) {
	b, s := newBoot(t, `cat "$1/config" > "$1/seen"; while ! [ -e "$1/go" ]; do sleep 0.01; done; echo ready; sleep 60`)
	var seen []byte
	withLaunch(t, b, func(l *platform.Launch) {
		l.Argv = append(l.Argv, "sh", platform.Dir)
		l.Files = map[string][]byte{"config": []byte("memory: 64")}
		l.Drive = func(ctx context.Context, d platform.Driven) (err error) {
			d.Event("api_ready")
			for len(seen) == 0 && ctx.Err() == nil { // it is there before it is written
				seen, _ = os.ReadFile(filepath.Join(d.Dir, "seen"))
			}
			d.Event("instance_start")
			s.happens(probe.EventConsoleReady, monotonicNs())
			return os.WriteFile(filepath.Join(d.Dir, "go"), nil, 0o600)
		}
	})
	got := sample(t, t.Context(), b)
	if got.Status != OK {
		t.Fatalf("%s: %s", got.Status, got.Reason)
	}
	if string(seen) != "memory: 64" {
		t.Errorf("the guest read %q of its file", seen)
	}
	var names []string
	for _, e := range got.Timeline.Events {
		names = append(names, e.Name+" "+string(e.Rung))
	}
	if text := strings.Join(names, ", "); text != "api_ready none, instance_start none, console_ready " {
		t.Errorf("timeline: %s", text)
	}
	nothingIn(t, b.WorkDir)
}

// What an API refuses fails the sample, at once; so does a VMM that dies in between,
// with both reasons.
func TestDriveFails(t *testing.T) {
	for name, tt := range map[string]struct {
		shell, want string
		drive       func(context.Context, platform.Driven) error
	}{
		"refused": {"echo no kernel >&2; sleep 60", "PUT /boot-source: 400: no kernel",
			func(context.Context, platform.Driven) error { return errors.New("PUT /boot-source: 400: no kernel") }},
		"dies": {"exit 7", "ended before the guest was ready (no console line matched \"^ready$\"): exit status 7 (PUT /actions: connection reset)",
			func(context.Context, platform.Driven) error {
				time.Sleep(50 * time.Millisecond)
				return errors.New("PUT /actions: connection reset")
			}},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := newBoot(t, tt.shell)
			withLaunch(t, b, func(l *platform.Launch) { l.Drive = tt.drive })
			begun := time.Now()
			got := sample(t, t.Context(), b)
			if got.Status != Failed || !strings.Contains(got.Reason, tt.want) {
				t.Errorf("%s: %q, want failed, %q", got.Status, got.Reason, tt.want)
			}
			if took := time.Since(begun); took > b.Settings.Timeout/2 {
				t.Errorf("took %v", took)
			}
			nothingIn(t, b.WorkDir)
		})
	}
}

// somebody starts a guest in our place.
type somebody struct {
	cmd    *exec.Cmd
	closed *bool
}

func (s somebody) Wait() error { return s.cmd.Wait() }

func (s somebody) Kill(context.Context) error {
	if err := s.cmd.Process.Kill(); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (s somebody) Close() error {
	*s.closed = true
	return nil
}

// A guest that somebody else starts is waited for, ended and removed.
func TestStartedElsewhere(t *testing.T) {
	b, s := newBoot(t, "unused")
	closed := false
	var pid int
	withLaunch(t, b, func(l *platform.Launch) {
		l.Start = func(_ context.Context, o platform.StartOptions) (platform.Started, error) {
			if _, err := os.Stat(filepath.Join(b.Cgroups.Path, o.Cgroup)); err != nil {
				t.Errorf("the sample's cgroup: %v", err)
			}
			cmd := exec.Command("/bin/sh", "-c", "echo ready; exec sleep 60")
			cmd.Stdout, cmd.Stderr = o.Stdout, o.Stderr
			o.Event("create")
			if err := cmd.Start(); err != nil {
				return nil, err
			}
			pid = cmd.Process.Pid
			s.happens(probe.EventConsoleReady, monotonicNs())
			return somebody{cmd, &closed}, nil
		}
	})
	got := sample(t, t.Context(), b)
	if got.Status != OK {
		t.Fatalf("%s: %s", got.Status, got.Reason)
	}
	if !closed {
		t.Error("it was not removed")
	}
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
	if _, ok := got.Timeline.At("create"); !ok {
		t.Errorf("timeline %+v", got.Timeline.Events)
	}
	nothingIn(t, b.WorkDir)
}

// A guest that cannot be started is a failed sample, not a failed run.
func TestStartedElsewhereFails(t *testing.T) {
	b, _ := newBoot(t, "unused")
	withLaunch(t, b, func(l *platform.Launch) {
		l.Start = func(context.Context, platform.StartOptions) (platform.Started, error) {
			return nil, errors.New("create the container: no such image")
		}
	})
	if got := sample(t, t.Context(), b); got.Status != Failed || got.Reason != "create the container: no such image" {
		t.Errorf("%s: %q", got.Status, got.Reason)
	}
	nothingIn(t, b.WorkDir)
}

// TestCopies: a sample writes to copies of its own, also in folders, and also as
// somebody else; the original stays.
func TestCopies(t *testing.T) {
	original := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(original, []byte("as it was"), 0o400); err != nil {
		t.Fatal(err)
	}
	b, s := newBoot(t, `cat "$1/jail/root/disk" > "$1/seen" && stat -c %a "$1/jail/root/disk" >> "$1/seen" && echo changed > "$1/jail/root/disk" && : > "$1/done"; sleep 60`)
	var seen string
	withLaunch(t, b, func(l *platform.Launch) {
		l.Argv = append(l.Argv, "sh", platform.Dir)
		l.Copies = map[string]string{"jail/root/disk": original}
		l.Drive = func(ctx context.Context, d platform.Driven) error {
			for ctx.Err() == nil {
				if _, err := os.Stat(filepath.Join(d.Dir, "done")); err == nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
			text, err := os.ReadFile(filepath.Join(d.Dir, "seen"))
			seen = string(text)
			s.happens(probe.EventConsoleReady, monotonicNs())
			return err
		}
	})
	if got := sample(t, t.Context(), b); got.Status != OK {
		t.Fatalf("%s: %s", got.Status, got.Reason)
	}
	if seen != "as it was666\n" {
		t.Errorf("the guest saw %q", seen)
	}
	if text, err := os.ReadFile(original); err != nil || string(text) != "as it was" {
		t.Errorf("the original: %q, %v", text, err)
	}
	nothingIn(t, b.WorkDir)
}

// TestCopiedRoot: each sample is chrooted into a copy of a folder, with its modes, links
// and devices; the folder stays as it was.
func TestCopiedRoot(t *testing.T) {
	root := t.TempDir()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skipf("needs a static busybox (scripts/setup test): %v", err)
	}
	b, s := newBoot(t, "unused")
	var st unix.Stat_t
	if err := unix.Stat("/dev/null", &st); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.MkdirAll(root+"/var/lib", 0o755), os.Mkdir(root+"/dev", 0o755), os.Mkdir(root+"/tmp", 0o777), os.Chmod(root+"/tmp", 0o777|fs.ModeSticky),
		os.WriteFile(root+"/busybox", busybox, 0o755), os.Symlink("busybox", root+"/sh"), os.Chown(root+"/var/lib", 33, 34),
		unix.Mknod(root+"/dev/null", st.Mode, int(st.Rdev)), os.Chmod(root+"/dev/null", 0o666),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.Platform = program{argv: []string{"/sh", "-c", `/busybox stat -c "%n %a %u %g %t" /tmp /var/lib /dev/null > /modes && echo x > /dev/null && echo first > /var/lib/data; /busybox sleep 60`}}
	var dir string
	withLaunch(t, b, func(l *platform.Launch) {
		l.Chroot, l.Copies = platform.Dir+"/root", map[string]string{"root": root}
		l.Drive = func(ctx context.Context, d platform.Driven) error {
			dir = d.Dir
			for ctx.Err() == nil {
				if data, _ := os.ReadFile(d.Dir + "/root/var/lib/data"); string(data) == "first\n" {
					text, err := os.ReadFile(d.Dir + "/root/modes")
					if want := "/tmp 1777 0 0 0\n/var/lib 755 33 34 0\n/dev/null 666 0 0 1\n"; err != nil || string(text) != want {
						t.Errorf("it sees\n%s(%v), want\n%s", text, err, want)
					}
					s.happens(probe.EventConsoleReady, monotonicNs())
					return nil
				}
				time.Sleep(time.Millisecond)
			}
			return ctx.Err()
		}
	})
	for _, name := range []string{"s0", "s1"} {
		s.events = nil
		got, err := b.Sample(t.Context(), name)
		if err != nil || got.Status != OK {
			t.Fatalf("%s: %v, %s: %s %s", name, err, got.Status, got.Reason, got.Stderr)
		}
		if want := filepath.Join(b.WorkDir, name); dir != want {
			t.Errorf("folder %s, want %s", dir, want)
		}
	}
	if left, err := os.ReadDir(root + "/var/lib"); err != nil || len(left) > 0 {
		t.Errorf("written into the original: %v, %v", left, err)
	}
	nothingIn(t, b.WorkDir)
}

// TestOriginalGone: what is to be copied and is not there, or is no file, fails the
// sample, and not the run; an interrupt in the middle is one.
func TestOriginalGone(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(unix.Mkfifo(dir+"/fifo", 0o600), os.WriteFile(dir+"/file", []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for from, tt := range map[string]struct {
		ctx            context.Context
		status, reason string
	}{
		dir + "/nosuch": {t.Context(), Failed, "no such file or directory"},
		dir + "/fifo":   {t.Context(), Failed, "not a regular file"},
		dir + "/file":   {over, Interrupted, "interrupted"},
	} {
		b, _ := newBoot(t, "sleep 60")
		withLaunch(t, b, func(l *platform.Launch) { l.Copies = map[string]string{"disk": from} })
		got := sample(t, tt.ctx, b)
		if got.Status != tt.status || !strings.Contains(got.Reason, tt.reason) {
			t.Errorf("%s: %s: %s, want %s: %s", from, got.Status, got.Reason, tt.status, tt.reason)
		}
		nothingIn(t, b.WorkDir)
	}
}

// TestWorkFolderGone: without a place for its samples the run is over.
func TestWorkFolderGone(t *testing.T) {
	b, _ := newBoot(t, "sleep 60")
	withLaunch(t, b, func(l *platform.Launch) { l.Files = map[string][]byte{"a": nil} })
	b.WorkDir += "/nosuch"
	if s, err := b.Sample(t.Context(), "s0"); err == nil {
		t.Errorf("%s: %s", s.Status, s.Reason)
	}
}

// TestRemovalFails: what somebody else started and does not end or remove is told of,
// and the run goes on; it is closed in any case.
func TestRemovalFails(t *testing.T) {
	b, s := newBoot(t, "unused")
	stuck := &stuckGuest{ended: make(chan struct{})}
	withLaunch(t, b, func(l *platform.Launch) {
		l.Start = func(context.Context, platform.StartOptions) (platform.Started, error) {
			s.happens(probe.EventConsoleReady, monotonicNs())
			return stuck, nil
		}
	})
	got := sample(t, t.Context(), b)
	text := strings.Join(got.Taints, "; ")
	if got.Status != OK || !stuck.closed || !strings.Contains(text, "does not answer") || !strings.Contains(text, "device or resource busy") {
		t.Errorf("%s: %s; closed %v, taints %s", got.Status, got.Reason, stuck.closed, text)
	}
	nothingIn(t, b.WorkDir)
}

// stuckGuest neither ends well nor goes.
type stuckGuest struct {
	ended  chan struct{}
	closed bool
}

func (g *stuckGuest) Wait() error { <-g.ended; return nil }

func (g *stuckGuest) Kill(context.Context) error {
	close(g.ended)
	return errors.New("kill it: the engine does not answer")
}

func (g *stuckGuest) Close() error {
	g.closed = true
	return unix.EBUSY
}

// TestFolderWithComma: the sample's folder stands in the command as it is, and for
// QEMU's options with its commas doubled.
func TestFolderWithComma(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a,b")
	argv := []string{"qemu", platform.Dir + "/api,sock", "file=" + platform.DirOption + "/disk,format=raw"}
	l := platform.Launch{Argv: argv}
	remove, err := unpack(t.Context(), &l, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"qemu", dir + "/api,sock", "file=" + strings.ReplaceAll(dir, ",", ",,") + "/disk,format=raw"}
	if diff := cmp.Diff(want, l.Argv); diff != "" || argv[1] != platform.Dir+"/api,sock" {
		t.Errorf("(-want +got):\n%s%q", diff, argv)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	only := platform.Launch{Argv: argv[2:]}
	if _, err := unpack(t.Context(), &only, dir); err != nil || strings.Contains(only.Argv[0], "{") {
		t.Errorf("an option alone: %q, %v", only.Argv, err)
	}
}

// TestDriveOutOfTime: a VMM whose time is over while it is driven is a timeout, and
// says what had not been answered.
func TestDriveOutOfTime(t *testing.T) {
	b, _ := newBoot(t, "sleep 60")
	b.Settings.Timeout = 200 * time.Millisecond
	withLaunch(t, b, func(l *platform.Launch) {
		l.Drive = func(ctx context.Context, _ platform.Driven) error {
			<-ctx.Done()
			return errors.New("PUT /actions: not answered yet")
		}
	})
	got := sample(t, t.Context(), b)
	if got.Status != Timeout || !strings.Contains(got.Reason, "not ready after 200ms") || !strings.Contains(got.Reason, "(PUT /actions: not answered yet)") {
		t.Errorf("%s: %s", got.Status, got.Reason)
	}
	nothingIn(t, b.WorkDir)
}

// TestDrivenDiesFirst: the API's connection breaks a moment before the VMM has ended;
// that it ended is the reason.
func TestDrivenDiesFirst(t *testing.T) {
	b, _ := newBoot(t, "sleep 0.1; exit 7")
	withLaunch(t, b, func(l *platform.Launch) {
		l.Drive = func(context.Context, platform.Driven) error { return errors.New("PUT /a: closed") }
	})
	got := sample(t, t.Context(), b)
	if got.Status != Failed || !strings.Contains(got.Reason, "ended before the guest was ready (no console line matched \"^ready$\"): exit status 7 (PUT /a: closed)") {
		t.Errorf("%s: %s", got.Status, got.Reason)
	}
}
