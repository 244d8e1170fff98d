// SPDX-License-Identifier: Apache-2.0

// Package dockerd starts a Docker Engine for one test and stops it: the real one,
// of Debian's docker.io, with folders, socket, network, mount namespace and cgroup
// of its own. The machine's engine, if it has one, its routes and its firewall are
// not touched, and nothing of it is left.
package dockerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
)

// startWait and stopWait bound how long the engine may take; it starts containerd,
// and ends containers.
const (
	startWait = 60 * time.Second
	stopWait  = 30 * time.Second
)

// inside runs in the engine's mount namespace before it: the engine writes a key to
// /etc/docker and folders to /run, wherever its own are.
const inside = `mount -t tmpfs ukprobe-dockerd /run && { [ ! -d /etc/docker ] || mount --bind "$1" /etc/docker; } && shift && exec "$@"`

// Engine is a running engine.
type Engine struct {
	Host string // for DOCKER_HOST
	dir  string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the engine has ended
	// group is its cgroup on the v2 hierarchy, with the shims that outlive it.
	group string
	name  string
}

// Options of an engine; the zero value is good.
type Options struct {
	Args []string // more for dockerd
}

// Start starts an engine and waits until it answers. The test's end stops it. It
// skips the test where there is no engine to start.
func Start(t testing.TB, o Options) *Engine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to start a Docker Engine")
	}
	path, err := exec.LookPath("dockerd")
	if err != nil {
		t.Skipf("needs dockerd (Debian's docker.io; scripts/setup test): %v", err)
	}
	// Not t.TempDir: sockets below it have long names already.
	dir, err := os.MkdirTemp("", "ukprobe-dockerd-")
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{Host: "unix://" + dir + "/sock", dir: dir, log: filepath.Join(dir, "log"), done: make(chan struct{}), name: filepath.Base(dir)}
	t.Cleanup(func() { e.stop(t) })
	if err := e.start(path, o); err != nil {
		t.Fatal(err)
	}
	if err := e.wait(); err != nil {
		t.Fatalf("%v; it said:\n%s", err, e.Log())
	}
	return e
}

func (e *Engine) start(path string, o Options) error {
	h, err := cgroup.Find()
	if err != nil {
		return err
	}
	e.group = filepath.Join(h.Path, e.name)
	if err := os.Mkdir(e.group, 0o755); err != nil {
		return err
	}
	group, err := os.Open(e.group)
	if err != nil {
		return err
	}
	defer group.Close()
	log, err := os.Create(e.log)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := errors.Join(os.Mkdir(filepath.Join(e.dir, "etc"), 0o700), os.WriteFile(filepath.Join(e.dir, "daemon.json"), []byte("{}"), 0o600)); err != nil {
		return err
	}
	args := append([]string{
		"-c", inside, "sh", filepath.Join(e.dir, "etc"), path,
		"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none",
		"--config-file", filepath.Join(e.dir, "daemon.json"), "--data-root", filepath.Join(e.dir, "data"),
		"--exec-root", filepath.Join(e.dir, "exec"), "--pidfile", filepath.Join(e.dir, "pid"),
		"--cgroup-parent", "/" + e.name, "--exec-opt", "native.cgroupdriver=cgroupfs", "-H", e.Host,
	}, o.Args...)
	e.cmd = exec.Command("/bin/sh", args...)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.dir, "TMPDIR=" + e.dir}
	e.cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd()),
		Cloneflags: unix.CLONE_NEWNET, Unshareflags: unix.CLONE_NEWNS, // and all mounts private
	}
	if err := e.cmd.Start(); err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	go func() { _ = e.cmd.Wait(); close(e.done) }()
	return nil
}

// wait waits until the engine answers.
func (e *Engine) wait() error {
	for deadline := time.Now().Add(startWait); ; time.Sleep(50 * time.Millisecond) {
		select {
		case <-e.done:
			return fmt.Errorf("dockerd ended at once: %v", e.cmd.ProcessState)
		default:
		}
		if strings.Contains(e.Log(), "API listen on") {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("dockerd does not answer after %v", startWait)
		}
	}
}

// Log is what the engine has said.
func (e *Engine) Log() string {
	data, _ := os.ReadFile(e.log)
	return string(data)
}

// PID is the engine's process.
func (e *Engine) PID() int { return e.cmd.Process.Pid }

// Kill ends the engine as a crash does. What it had started lives on.
func (e *Engine) Kill() {
	_ = e.cmd.Process.Kill()
	<-e.done
}

// stop ends the engine and what it left, and looks whether anything is left.
func (e *Engine) stop(t testing.TB) {
	if e.cmd != nil && e.cmd.Process != nil {
		_ = e.cmd.Process.Signal(unix.SIGTERM)
		select {
		case <-e.done:
		case <-time.After(stopWait):
			t.Errorf("dockerd does not end after %v", stopWait)
			e.Kill()
		}
	}
	if err := e.removeGroups(); err != nil {
		t.Errorf("the engine's cgroups: %v", err)
	}
	// The mounts went with the namespace; RemoveAll does not follow any.
	if data, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(data, []byte(e.dir)) {
		t.Errorf("mounts of %s are left on the host (%v)", e.dir, err)
		return
	}
	if err := os.RemoveAll(e.dir); err != nil {
		t.Error(err)
	}
}

// removeGroups kills what is in the engine's cgroups and removes them, on every
// hierarchy.
func (e *Engine) removeGroups() error {
	if e.group == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	for {
		err := e.tryRemoveGroups()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond) // those that were killed take a moment to be gone
	}
}

func (e *Engine) tryRemoveGroups() error {
	if _, err := kill(e.group); err != nil {
		return err
	}
	all, err := filepath.Glob("/sys/fs/cgroup/*/" + e.name)
	if err != nil {
		return err
	}
	errs := []error{removeTree(e.group)}
	for _, top := range all {
		errs = append(errs, removeTree(top))
	}
	return errors.Join(errs...)
}

// kill sends SIGKILL to every process below a cgroup, and tells how many there were.
func kill(top string) (int, error) {
	n := 0
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return ignoreGone(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return ignoreGone(err)
		}
		for _, word := range strings.Fields(string(data)) {
			var pid int
			if _, err := fmt.Sscan(word, &pid); err == nil && pid > 1 {
				n++
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
	return n, err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// removeTree removes a cgroup and those below it.
func removeTree(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return ignoreGone(err)
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		err = errors.Join(err, ignoreGone(unix.Rmdir(dirs[i])))
	}
	return err
}
