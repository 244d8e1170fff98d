// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// running is a started program and the lines it prints, with their times.
type running struct {
	cmd     *exec.Cmd
	started time.Time
	lines   chan line
	ended   chan error // closed after the program's end
}

type line struct {
	text string
	at   time.Duration // since the start
}

// start starts cmd, which is killed when the test ends if it still runs.
func start(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	output, input := io.Pipe()
	cmd.Stdout, cmd.Stderr = input, input
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	runtime.LockOSThread() // never unlocked: Pdeathsig counts the thread's death as ours
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true // nginx's worker goes with its master
	r := &running{cmd: cmd, started: time.Now(), lines: make(chan line, 1000), ended: make(chan error, 1)}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(output); s.Scan(); {
			r.lines <- line{strings.TrimRight(s.Text(), "\r"), time.Since(r.started)}
		}
	}()
	go func() {
		err := cmd.Wait()
		_ = input.Close()
		r.ended <- err
		close(r.ended)
	}()
	t.Cleanup(func() { r.kill(t) })
	return r
}

// kill ends the program and waits for its end.
func (r *running) kill(t *testing.T) {
	t.Helper()
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) // gone already is as well
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		t.Errorf("%s did not end after SIGKILL", r.cmd.Path)
	}
}

// expect returns the time of the line that equals want.
func (r *running) expect(t *testing.T, want string) time.Duration {
	t.Helper()
	timeout := time.After(bootTimeout)
	var before []string
	for {
		select {
		case l, ok := <-r.lines:
			if !ok {
				t.Fatalf("ended without the line %q; it printed:\n%s", want, strings.Join(before, "\n"))
			}
			if l.text == want {
				return l.at
			}
			before = append(before, l.text)
		case <-timeout:
			t.Fatalf("no line %q in %s; it printed:\n%s", want, bootTimeout, strings.Join(before, "\n"))
		}
	}
}

// expectEnd waits until the program has ended by itself with success, and
// returns the time.
func (r *running) expectEnd(t *testing.T) time.Duration {
	t.Helper()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("%s: %v", r.cmd.Path, err)
		}
		return time.Since(r.started)
	case <-time.After(bootTimeout):
		t.Fatalf("%s still runs after %s", r.cmd.Path, bootTimeout)
		return 0
	}
}

// get requests the page / from address until nginx of the given version
// answers, and returns the body and the time since the start.
func (r *running) get(t *testing.T, address, version string) (body string, at time.Duration) {
	t.Helper()
	conn := r.dial(t, address)
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(Request("nginx")); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("read the answer of %s: %v; it printed:\n%s", address, err, r.printed())
	}
	at = time.Since(r.started)
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Server") != "nginx/"+version {
		t.Errorf("GET http://%s/: %s from %s", address, answer.Status, answer.Header.Get("Server"))
	}
	return string(data), at
}

// answer sends a request, unless it is empty, and returns the beginning of the
// answer and the time since the start.
func (r *running) answer(t *testing.T, address string, request []byte) (text string, at time.Duration) {
	t.Helper()
	conn := r.dial(t, address)
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatalf("read the answer of %s: %v; it printed:\n%s", address, err, r.printed())
	}
	return strings.TrimRight(string(buf[:n]), "\r\n"), time.Since(r.started)
}

// dial connects to a service that is starting. It dials in the caller's
// goroutine, and so in the caller's network namespace, as http.Client would not.
func (r *running) dial(t *testing.T, address string) net.Conn {
	t.Helper()
	const interval = 50 * time.Millisecond // well below TCP's first retry after 1 s
	for {
		conn, err := net.DialTimeout("tcp4", address, interval)
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(bootTimeout))
			return conn
		}
		if time.Since(r.started) > bootTimeout {
			t.Fatalf("no connection to %s in %s: %v; it printed:\n%s", address, bootTimeout, err, r.printed())
		}
		time.Sleep(interval / 5)
	}
}

// printed returns the lines that nobody has expected yet.
func (r *running) printed() string {
	var lines []string
	for {
		select {
		case l, ok := <-r.lines:
			if ok {
				lines = append(lines, l.text)
				continue
			}
		default:
		}
		return strings.Join(lines, "\n")
	}
}
