// SPDX-License-Identifier: Apache-2.0

package hostvm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const qemu = "qemu-system-x86_64"

// upTimeout bounds the time to the command's start. It takes some 10 s on an
// idle machine.
const upTimeout = 5 * time.Minute

// session is one running QEMU and its control folder, which the init script
// sees as /ctl:
//
//	initramfs busybox, the init script and the modules to get this far
//	settings  shell variables for the init script
//	command   shell script that runs the command
//	up        written by init when the command starts
//	status    written by init: the command's exit status
//	console   the kernel's console, written by QEMU
type session struct {
	o   Options
	k   kernel
	ctl string
}

// boot runs QEMU until it ends and reads the command's status.
func boot(ctx context.Context, o Options, k kernel) (Result, error) {
	path, err := exec.LookPath(qemu)
	if err != nil {
		return Result{}, fmt.Errorf("%w: install the package qemu-system-x86", err)
	}
	ctl, remove, err := controlFolder(os.TempDir())
	if err != nil {
		return Result{}, err
	}
	defer remove()
	s := &session{o: o, k: k, ctl: ctl}
	if err := s.writeControl(); err != nil {
		return Result{}, err
	}
	if err := k.writeInitramfs(ctx, s.file("initramfs")); err != nil {
		return Result{}, err
	}
	if o.Out != "" {
		if err := os.MkdirAll(o.Out, 0o755); err != nil {
			return Result{}, err
		}
	}
	res, err := s.run(ctx, path)
	if o.KeepConsole != "" {
		err = errors.Join(err, s.keepConsole())
	}
	return res, err
}

// run starts QEMU, waits for it and makes a Result of what it left.
func (s *session) run(ctx context.Context, path string) (Result, error) {
	res := Result{Release: s.k.Release}
	timed, cancel := context.WithTimeoutCause(ctx, s.o.Timeout, ErrTimeout)
	defer cancel()
	started := time.Now()
	up := make(chan time.Time, 1)
	watched, stop := context.WithCancelCause(timed)
	defer stop(nil)
	go s.watchUp(watched, stop, up)
	qemuErr := s.wait(watched, path)
	ended := time.Now()
	select {
	case at := <-up:
		res.Boot, res.Command = at.Sub(started), ended.Sub(at)
	default:
		if info, err := os.Stat(s.file("up")); err == nil { // between two looks
			res.Boot, res.Command = info.ModTime().Sub(started), ended.Sub(info.ModTime())
		}
	}
	status, statusErr := s.status()
	if statusErr == nil {
		res.ExitStatus = status
		return res, nil
	}
	return res, s.diagnose(ctx, watched, res.Boot > 0, qemuErr)
}

// watchUp reports when the command started, and ends the wait for one that
// never does.
func (s *session) watchUp(ctx context.Context, stop context.CancelCauseFunc, up chan<- time.Time) {
	deadline := time.After(upTimeout)
	for {
		select {
		case <-ctx.Done():
			return
		case <-deadline:
			stop(ErrNotUp)
			return
		case <-time.After(50 * time.Millisecond):
		}
		if _, err := os.Stat(s.file("up")); err == nil {
			up <- time.Now()
			return
		}
	}
}

// wait runs QEMU to its end on a thread of its own: the kernel kills QEMU
// when the thread that started it is gone, so also when this process is.
func (s *session) wait(ctx context.Context, path string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must not be reused
		cmd := exec.CommandContext(ctx, path, s.args()...)
		var stderr bytes.Buffer
		// Not a file, even if it is one: QEMU would make it non-blocking for
		// everybody who has it open.
		cmd.Stdout, cmd.Stderr = struct{ io.Writer }{s.o.Stdout}, &stderr
		if s.o.Interactive {
			cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
			defer func() { _ = unix.SetNonblock(int(os.Stdout.Fd()), false) }()
		} else if _, err := cmd.StdinPipe(); err != nil { // its end would unplug the port
			done <- err
			return
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		cmd.WaitDelay = 5 * time.Second
		err := cmd.Run()
		if err != nil && stderr.Len() > 0 {
			err = fmt.Errorf("%s: %w: %s", qemu, err, strings.TrimSpace(stderr.String()))
		}
		done <- err
	}()
	return <-done
}

// args is QEMU's command line.
func (s *session) args() []string {
	kernelArgs := []string{
		"console=ttyS0", "panic=-1", "oops=panic", "loglevel=6",
		"mitigations=off", "nowatchdog", "cgroup_no_v1=all", "tsc=reliable",
	}
	args := []string{
		"-accel", "tcg,thread=multi", "-cpu", "max", "-M", "q35",
		"-smp", strconv.Itoa(s.o.CPUs), "-m", strconv.Itoa(s.o.MemMiB),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
		"-kernel", s.k.image(), "-initrd", s.file("initramfs"), "-append", strings.Join(kernelArgs, " "),
		"-serial", "file:" + s.file("console"),
		"-device", "virtio-rng-pci",
		"-device", "virtio-serial-pci",
		"-chardev", "stdio,id=stdio,signal=off",
	}
	if s.o.Interactive {
		args = append(args, "-device", "virtconsole,chardev=stdio")
	} else {
		args = append(args, "-device", "virtserialport,chardev=stdio,name=hostvm.stdout")
	}
	args = append(args, share("outer", "/", true)...)
	args = append(args, share("ctl", s.ctl, false)...)
	if s.o.Out != "" {
		args = append(args, share("out", s.o.Out, false)...)
	}
	return args
}

// share makes a folder a 9p device with the given mount tag.
func share(tag, path string, readOnly bool) []string {
	// A comma in an option's value is written twice.
	fsdev := "local,id=" + tag + ",path=" + strings.ReplaceAll(path, ",", ",,") + ",security_model=none,multidevs=remap"
	if readOnly {
		fsdev += ",readonly=on"
	}
	return []string{"-fsdev", fsdev, "-device", "virtio-9p-pci,fsdev=" + tag + ",mount_tag=" + tag}
}

func (s *session) file(name string) string { return filepath.Join(s.ctl, name) }

// writeControl writes the init script's settings and the command.
func (s *session) writeControl() error {
	project, err := projectRoot(s.o.Dir)
	if err != nil {
		project = s.o.Cache // any folder that is there
	}
	rows, columns := 24, 80
	if w, h, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 && h > 0 {
		rows, columns = h, w
	}
	settings := strings.Join([]string{
		"MODULES=" + quote(s.k.modules()),
		"PROJECT=" + quote(project),
		"HAS_OUT=" + flag(s.o.Out != ""),
		"INTERACTIVE=" + flag(s.o.Interactive),
		"ROWS=" + strconv.Itoa(rows),
		"COLUMNS=" + strconv.Itoa(columns),
	}, "\n") + "\n"
	if err := os.WriteFile(s.file("settings"), []byte(settings), 0o644); err != nil {
		return err
	}
	return os.WriteFile(s.file("command"), []byte(s.commandScript()), 0o644)
}

// commandScript is the shell script that sets the environment and becomes the
// command.
func (s *session) commandScript() string {
	env := []string{
		"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "LANG=C.UTF-8",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin",
		EnvKernel + "=" + s.o.Kernel,
	}
	if s.o.Interactive {
		env = append(env, "TERM="+os.Getenv("TERM"))
	}
	words := []string{"exec", "env", "-i"}
	for _, w := range append(append(env, s.o.Env...), s.o.Command...) {
		words = append(words, quote(w))
	}
	return "cd " + quote(s.o.Dir) + " || exit 127\n" + strings.Join(words, " ") + "\n"
}

// quote makes s one word for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// status reads the command's exit status.
func (s *session) status() (int, error) {
	text, err := os.ReadFile(s.file("status"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// keepConsole copies the console to where the caller wants it.
func (s *session) keepConsole() error {
	text, err := os.ReadFile(s.file("console"))
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return os.WriteFile(s.o.KeepConsole, text, 0o644)
}
