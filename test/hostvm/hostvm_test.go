// SPDX-License-Identifier: Apache-2.0

package hostvm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// envHelper makes the test binary run a hostvm, for TestKilledRunner.
const envHelper = "UKPROBE_TEST_HOSTVM_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(envHelper) != "" {
		_, err := Run(context.Background(), Options{Command: []string{"sleep", "600"}})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func needQEMU(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a kernel under emulation: not under -short")
	}
	if Inside() != "" {
		t.Skip("already inside a hostvm")
	}
	if _, err := exec.LookPath(qemu); err != nil {
		t.Skipf("%s is missing", qemu)
	}
}

// TestRun boots once and checks everything that a command may rely on.
func TestRun(t *testing.T) {
	needQEMU(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kernel := os.Getenv("HOSTVM_TEST_KERNEL") // another suite, by hand
	out := t.TempDir()
	script := `uname -r
printf 'raw \r\n\000\377 bytes\n' | tee /out/bytes
"$0" -test.v -test.run '^TestInside' >/out/tests 2>&1 || echo "tests failed"
exit 7`
	var stdout bytes.Buffer
	res, err := Run(t.Context(), Options{
		Kernel: kernel, Timeout: 10 * time.Minute, Out: out, Stdout: &stdout, Logf: t.Logf,
		Command: []string{"sh", "-c", script, self},
	})
	tests, _ := os.ReadFile(filepath.Join(out, "tests"))
	t.Logf("tests inside:\n%s", tests)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up in %s, command %s", res.Boot, res.Command)
	if res.ExitStatus != 7 {
		t.Errorf("exit status %d, not 7", res.ExitStatus)
	}
	raw := "raw \r\n\x00\xff bytes\n"
	if diff := cmp.Diff(res.Release+"\n"+raw, stdout.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	bytesOut, err := os.ReadFile(filepath.Join(out, "bytes"))
	if diff := cmp.Diff(raw, string(bytesOut)); err != nil || diff != "" {
		t.Errorf("%s/bytes: %v (-want +got):\n%s", OutDir, err, diff)
	}
	for _, want := range []string{"TestInsideMachine", "TestInsideWriting", "TestInsideHooks"} {
		if !bytes.Contains(tests, []byte("--- PASS: "+want)) {
			t.Errorf("%s did not pass inside", want)
		}
	}
	if res.Boot <= 0 || res.Command <= 0 {
		t.Errorf("times %s, %s: not positive", res.Boot, res.Command)
	}
}

func TestPanic(t *testing.T) {
	needQEMU(t)
	res, err := Run(t.Context(), Options{
		Timeout: 5 * time.Minute, Logf: t.Logf,
		Command: []string{"sh", "-c", "echo c >/proc/sysrq-trigger"},
	})
	if !errors.Is(err, ErrPanic) {
		t.Fatalf("%+v, %v: not %v", res, err, ErrPanic)
	}
	// The panic's words, or, where the trace below them is long, its cause in that.
	if !strings.Contains(err.Error(), "sysrq") {
		t.Errorf("the error does not show the console: %v", err)
	}
}

func TestTimeoutBeforeUp(t *testing.T) {
	needQEMU(t)
	start := time.Now()
	_, err := Run(t.Context(), Options{Timeout: time.Second, Logf: t.Logf, Command: []string{"true"}})
	if !errors.Is(err, ErrNotUp) {
		t.Errorf("%v: not %v", err, ErrNotUp)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %s", took)
	}
}

// TestKilledRunner kills a process that runs a hostvm: QEMU must go too.
func TestKilledRunner(t *testing.T) {
	needQEMU(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	runner := exec.Command(self)
	runner.Env = append(os.Environ(), envHelper+"=1", "TMPDIR="+t.TempDir())
	if err := runner.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	defer func() {
		if !killed {
			_ = runner.Process.Kill()
			_ = runner.Wait()
		}
	}()
	var child int
	waitFor(t, time.Minute, "the runner to start QEMU", func() bool {
		child = childNamed(runner.Process.Pid, qemu)
		return child != 0
	})
	if err := runner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed = true
	if err := runner.Wait(); err == nil {
		t.Error("the runner ended well")
	}
	waitFor(t, 10*time.Second, "QEMU to end with the runner", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || bytes.Contains(text, []byte(") Z "))
	})
}

// childNamed returns the child of a process that runs the named program, or 0.
func childNamed(pid int, name string) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			argv, _ := os.ReadFile("/proc/" + word + "/cmdline")
			program, _, _ := strings.Cut(string(argv), "\x00")
			if filepath.Base(program) == name {
				child, _ := strconv.Atoi(word)
				return child
			}
		}
	}
	return 0
}

func waitFor(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", limit, what)
		}
	}
}

func TestCancel(t *testing.T) {
	needQEMU(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(2*time.Second, cancel)
	_, err := Run(ctx, Options{Logf: t.Logf, Command: []string{"sleep", "600"}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v: not %v", err, context.Canceled)
	}
	if pid := childNamed(os.Getpid(), qemu); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Errorf("QEMU (pid %d) is still there", pid)
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"no command":      {},
		"negative CPUs":   {Command: []string{"true"}, CPUs: -1},
		"too little":      {Command: []string{"true"}, MemMiB: 1},
		"negative time":   {Command: []string{"true"}, Timeout: -1},
		"no such suite":   {Command: []string{"true"}, Kernel: "../x"},
		"suite of a slip": {Command: []string{"true"}, Kernel: "Bookworm!"},
	} {
		o.Cache = t.TempDir()
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestControlFolder(t *testing.T) {
	parent := t.TempDir()
	long := time.Now().Add(-time.Hour)
	abandoned := filepath.Join(parent, controlPrefix+"abandoned")
	young := filepath.Join(parent, controlPrefix+"young")
	for _, dir := range []string{abandoned, young} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	first, removeFirst, err := controlFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{abandoned, first} {
		if err := os.Chtimes(dir, long, long); err != nil {
			t.Fatal(err)
		}
	}
	second, removeSecond, err := controlFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	exists := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	if exists(abandoned) || !exists(young) || !exists(first) || !exists(second) {
		t.Errorf("abandoned %v, young %v, in use %v %v: want all but the first",
			exists(abandoned), exists(young), exists(first), exists(second))
	}
	removeFirst()
	removeSecond()
	if exists(first) || exists(second) {
		t.Error("a removed control folder is still there")
	}
}

func TestQuote(t *testing.T) {
	for _, s := range []string{"", "a b", "it's", `$HOME "x" \ *`, "two\nlines", "''"} {
		out, err := exec.Command("sh", "-c", "printf %s "+quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("sh makes %q of %q (%v)", out, s, err)
		}
	}
}

func TestLoadOrder(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"modules.dep":     "a/9p.ko.xz: a/9pnet.ko.xz a/netfs.ko.xz\na/9pnet.ko.xz:\na/netfs.ko.xz: a/fs-cache.ko\na/fs-cache.ko:\na/unused.ko: a/9p.ko.xz\n",
		"modules.builtin": "kernel/virtio-pci.ko\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := loadOrder(dir, []string{"virtio_pci", "fs_cache", "9p"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a/fs-cache.ko", "a/9pnet.ko.xz", "a/netfs.ko.xz", "a/9p.ko.xz"}, got); diff != "" {
		t.Error(diff)
	}
	if got, err := loadOrder(dir, []string{"missing"}); err == nil {
		t.Errorf("a module that does not exist: %v, no error", got)
	}
}

func TestDiagnose(t *testing.T) {
	qemuErr := errors.New("qemu said no")
	stopped := func(cause error) context.Context {
		ctx, stop := context.WithCancelCause(t.Context())
		stop(cause)
		return ctx
	}
	tests := []struct {
		name, console   string
		caller, watched context.Context
		up              bool
		qemuErr, want   error
	}{
		{"panic", "x\nKernel panic - not syncing: y\n", t.Context(), t.Context(), true, nil, ErrPanic},
		{"panic, then timeout", "Kernel panic - not syncing: y", t.Context(), stopped(ErrTimeout), true, nil, ErrPanic},
		{"timeout of the command", "x", t.Context(), stopped(ErrTimeout), true, qemuErr, ErrTimeout},
		{"timeout of the boot", "x", t.Context(), stopped(ErrTimeout), false, qemuErr, ErrNotUp},
		{"boot hangs", "x", t.Context(), stopped(ErrNotUp), false, qemuErr, ErrNotUp},
		{"QEMU fails", "", t.Context(), t.Context(), false, qemuErr, qemuErr},
		{"off before up", "x", t.Context(), t.Context(), false, nil, ErrNotUp},
		{"off before status", "x", t.Context(), t.Context(), true, nil, ErrDied},
		{"interrupted", "x", stopped(nil), stopped(nil), true, qemuErr, context.Canceled},
	}
	for _, tt := range tests {
		s := &session{ctl: t.TempDir(), o: Options{Timeout: time.Minute}}
		if err := os.WriteFile(s.file("console"), []byte(tt.console), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.diagnose(tt.caller, tt.watched, tt.up, tt.qemuErr); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v: not %v", tt.name, err, tt.want)
		}
	}
}

func TestConsoleTail(t *testing.T) {
	long := strings.Repeat("line\r\n", 100) + "last"
	if got := consoleTail(long); strings.Count(got, "\n") != 40 || !strings.HasSuffix(got, "| last") || strings.Contains(got, "\r") {
		t.Errorf("tail of a long console:\n%s", got)
	}
	if got := consoleTail(" \n"); got != "(the kernel's console is empty)" {
		t.Errorf("tail of an empty console: %q", got)
	}
}
