// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/test/hostvm"
)

// ukprobe is the binary under test, work a folder that goes with the tests.
var ukprobe, work string

// cleanups undo, after the last test, what stays for all of them.
var cleanups []func()

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "firecracker" {
		brokenVMM()
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	if work, err = os.MkdirTemp("", "e2e-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(work)
	// The tests without root run the binary as nobody.
	if err := os.Chmod(work, 0o755); err != nil {
		return 1, err
	}
	if ukprobe = os.Getenv("UKPROBE_BINARY"); ukprobe == "" {
		ukprobe = filepath.Join(work, "ukprobe")
		if err := build(ukprobe, "build", "../../cmd/ukprobe"); err != nil {
			return 1, err
		}
	}
	if ukprobe, err = filepath.Abs(ukprobe); err != nil {
		return 1, err
	}
	if _, err := os.Stat(ukprobe); err != nil {
		return 1, fmt.Errorf("UKPROBE_BINARY: %w", err)
	}
	defer func() {
		for _, cleanup := range cleanups {
			cleanup()
		}
	}()
	return m.Run(), nil
}

// build runs the Go compiler for a machine without our C library.
func build(out string, verb string, pkg string, flags ...string) error {
	args := append([]string{verb, "-o", out}, append(flags, pkg)...)
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w\n%s", args, err, text)
	}
	return nil
}

// inside says that the tests run in the hostvm.
func inside() bool { return hostvm.Inside() != "" }

// patience is how much longer than on hardware everything may take: inside the
// hostvm every instruction is emulated.
func patience(d time.Duration) time.Duration {
	if inside() {
		return 6 * d
	}
	return 2 * d // other work on the machine
}

func needNative(t *testing.T, why string) {
	t.Helper()
	if inside() {
		t.Skipf("only outside the hostvm: %s", why)
	}
}

// notOnTheKernel skips, inside the hostvm, what does not depend on the kernel:
// every start of ukprobe takes eight seconds there.
func notOnTheKernel(t *testing.T) {
	t.Helper()
	needNative(t, "it does not depend on the kernel, and the hostvm is slow")
}

func needHostVM(t *testing.T, why string) {
	t.Helper()
	if !inside() {
		t.Skipf("only inside the hostvm (TestHostVM runs it there): %s", why)
	}
}

// onlyOnLinux skips, on the other kernels of the hostvm's, what takes minutes there and
// is of one kind on all: release is how the kernel's begins.
func onlyOnLinux(t *testing.T, release string) {
	t.Helper()
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(data), release) {
		t.Skipf("only on Linux %s: it takes minutes, and is the same here (%s)", release, strings.TrimSpace(string(data)))
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: BPF programs, taps and namespaces need it")
	}
}

func needKVM(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no KVM: %v", err)
	}
	_ = f.Close()
}

func needProgram(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s: apt-get install %s", name, pkg)
	}
	return path
}

// outerImages is the cache of built images on this machine.
func outerImages() string {
	if dir := os.Getenv("UKPROBE_IMAGES"); dir != "" {
		return dir
	}
	dir, _ := filepath.Abs("../../.cache/images") // fails only without a working directory
	return dir
}

// images is the cache of built images that the tests give to ukprobe. Inside the
// hostvm the project's tree is read-only, and what is built has to be kept: there it is
// under a layer. (A copy of the gigabytes that such a cache
// comes to would take longer than all tests.)
var images = sync.OnceValues(func() (string, error) {
	if !inside() {
		return outerImages(), nil
	}
	outer, err := filepath.EvalSymlinks(outerImages())
	if err != nil {
		return "", err
	}
	dir := filepath.Join(work, "images")
	script := `mkdir "$2" "$2.layer" && mount -t tmpfs tmpfs "$2.layer" && mkdir "$2.layer/upper" "$2.layer/work" &&
		mount -t overlay -o "lowerdir=$1,upperdir=$2.layer/upper,workdir=$2.layer/work" overlay "$2"`
	if text, err := exec.Command("sh", "-c", script, "sh", outer, dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("a layer over %s: %w: %s", outer, err, text)
	}
	cleanups = append(cleanups, func() {
		for _, mount := range []string{dir, dir + ".layer"} {
			_ = unix.Unmount(mount, unix.MNT_DETACH)
		}
	})
	return dir, nil
})

// buildImages makes the images of all Linux apps, or finds them, and returns the
// cache folder.
func buildImages(t *testing.T) string {
	t.Helper()
	b := linux.Builder{Dir: outerImages(), Logf: t.Logf}
	if _, err := b.Kernel(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, app := range linux.Apps() {
		if _, err := b.Initramfs(t.Context(), app); err != nil {
			t.Fatal(err)
		}
		if _, err := b.RootFS(t.Context(), app); err != nil {
			t.Fatal(err)
		}
	}
	nginxKernel(t)
	if _, err := b.PlainInitramfs(t.Context(), "nginx"); err != nil {
		t.Fatal(err)
	}
	return outerImages()
}
