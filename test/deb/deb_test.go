// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// repository is the root of the tree.
const repository = "../.."

// nfpm is the tool, built by `make deb` unless UKPROBE_NFPM names one.
func nfpm(t *testing.T) string {
	t.Helper()
	path := os.Getenv("UKPROBE_NFPM")
	if path == "" {
		path = filepath.Join(repository, ".cache", "nfpm")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs nfpm, which make deb builds: %v", err)
	}
	return path
}

// build runs scripts/deb and returns the package.
func build(t *testing.T, version string) (string, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ukprobe-deb-")
	if err != nil {
		return "", err
	}
	cleanups = append(cleanups, dir)
	cmd := exec.Command("scripts/deb", nfpm(t), dir)
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1795470069", "VERSION="+version)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(err.Error() + "\n" + string(out))
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(found) != 1 {
		return "", errors.New("no package, or more than one")
	}
	return found[0], nil
}

var (
	cleanups []string
	once     sync.Once
	built    string
	errBuild error
)

// TestMain removes what the tests have built.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range cleanups {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// thePackage is built once, as version 1.2.3.
func thePackage(t *testing.T) string {
	t.Helper()
	needs(t, "dpkg-deb")
	nfpm(t)
	once.Do(func() { built, errBuild = build(t, "v1.2.3") })
	if errBuild != nil {
		t.Fatal(errBuild)
	}
	return built
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs %s: %v", p, err)
		}
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestReproducible: the same tree gives the same package, bit for bit.
func TestReproducible(t *testing.T) {
	first := thePackage(t)
	second, err := build(t, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	var sums [2][32]byte
	for i, path := range []string{first, second} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(b)
	}
	if sums[0] != sums[1] {
		t.Errorf("%s and %s differ: %x, %x", first, second, sums[0], sums[1])
	}
}

// TestContents: what belongs into the package is in it, and owned by root.
func TestContents(t *testing.T) {
	path := thePackage(t)
	if got := strings.TrimSpace(run(t, "dpkg-deb", "--field", path, "Version")); got != "1.2.3" {
		t.Errorf("version %s", got)
	}
	for field, want := range map[string]string{"Recommends": "qemu-system-x86", "Suggests": "wrk"} {
		if got := run(t, "dpkg-deb", "--field", path, field); !strings.Contains(got, want) {
			t.Errorf("%s: %s: no %s", field, got, want)
		}
	}
	files := map[string]string{}
	for line := range strings.Lines(run(t, "dpkg-deb", "--contents", path)) {
		f := strings.Fields(line)
		files[strings.TrimPrefix(f[5], ".")] = f[0]
		if f[1] != "root/root" {
			t.Errorf("%s is %s's", f[5], f[1])
		}
	}
	for file, mode := range map[string]string{
		"/usr/bin/ukprobe":                                  "-rwxr-xr-x",
		"/usr/share/man/man1/ukprobe.1.gz":                  "-rw-r--r--",
		"/usr/share/man/man1/ukprobe-run.1.gz":              "-rw-r--r--",
		"/usr/share/bash-completion/completions/ukprobe":    "-rw-r--r--",
		"/usr/share/zsh/vendor-completions/_ukprobe":        "-rw-r--r--",
		"/usr/share/fish/vendor_completions.d/ukprobe.fish": "-rw-r--r--",
		"/lib/systemd/system/ukprobe-watch.service":         "-rw-r--r--",
		"/etc/default/ukprobe-watch":                        "-rw-r--r--",
		"/usr/share/doc/ukprobe/copyright":                  "-rw-r--r--",
		"/usr/share/doc/ukprobe/modules-licenses.gz":        "-rw-r--r--",
		"/usr/share/doc/ukprobe/docs/watch.md":              "-rw-r--r--",
		"/usr/share/doc/ukprobe/docs/experiments/boot.md":   "-rw-r--r--",
		"/usr/share/doc/ukprobe/examples/quick.yaml":        "-rw-r--r--",
		"/usr/share/lintian/overrides/ukprobe":              "-rw-r--r--",
	} {
		if files[file] != mode {
			t.Errorf("%s: %q, want %s", file, files[file], mode)
		}
	}
}

// TestLicences: every module that is linked in has its licence in the package.
func TestLicences(t *testing.T) {
	root := t.TempDir()
	run(t, "dpkg-deb", "--extract", thePackage(t), root)
	text := run(t, "gzip", "-dc", filepath.Join(root, "usr/share/doc/ukprobe/modules-licenses.gz"))
	n := 0
	for line := range strings.Lines(run(t, "go", "version", "-m", filepath.Join(root, "usr/bin/ukprobe"))) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" {
			n++
			if !strings.Contains(text, "==== "+f[1]+"@"+f[2]+": ") {
				t.Errorf("no licence of %s %s", f[1], f[2])
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d modules", n)
	}
}

// TestLintian: Debian's own checker finds nothing wrong.
func TestLintian(t *testing.T) {
	needs(t, "lintian")
	out, err := exec.Command("lintian", "--allow-root", "--fail-on", "error,warning", thePackage(t)).CombinedOutput()
	if err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

// machine is a throw-away root: busybox, and dpkg's own database.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T) machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to change the root")
	}
	needs(t, "dpkg", "busybox")
	m := machine{t, t.TempDir()}
	for _, dir := range []string{"bin", "etc", "run", "tmp", "usr/bin", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"} {
		if err := os.MkdirAll(filepath.Join(m.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(m.root, "dev"), 0o755), unix.Mknod(filepath.Join(m.root, "dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))); err != nil {
		t.Skipf("needs devices in temporary folders: %v", err)
	}
	for _, file := range []string{"status", "available"} {
		m.write("var/lib/dpkg/"+file, "", 0o644)
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	m.write("bin/busybox", string(b), 0o755)
	if out, err := exec.Command("chroot", m.root, "/bin/busybox", "--install", "-s", "/bin").CombinedOutput(); err != nil {
		t.Skipf("needs a busybox that is linked statically (busybox-static): %v\n%s", err, out)
	}
	return m
}

func (m machine) write(path, text string, mode fs.FileMode) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) read(path string) string {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.root, path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(b)
}

func (m machine) has(path string) bool {
	_, err := os.Lstat(filepath.Join(m.root, path))
	return err == nil
}

// dpkg runs it on the throw-away root: the maintainer scripts run in a chroot there.
func (m machine) dpkg(args ...string) (string, error) {
	m.t.Helper()
	cmd := exec.Command("dpkg", append([]string{"--root=" + m.root, "--force-not-root", "--log=/dev/null"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m machine) must(args ...string) {
	m.t.Helper()
	if out, err := m.dpkg(args...); err != nil {
		m.t.Fatalf("dpkg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// withSystemd makes it look as if systemd ran, with a systemctl that notes what it is
// told and says that the service runs.
func (m machine) withSystemd() {
	m.t.Helper()
	note := "#!/bin/sh\necho \"${0##*/} $*\" >>/tmp/told\n"
	m.write("usr/bin/systemctl", note, 0o755)
	m.write("usr/bin/deb-systemd-invoke", note, 0o755)
	if err := os.MkdirAll(filepath.Join(m.root, "run/systemd/system"), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// told is what systemd was told since the last call.
func (m machine) told() []string {
	m.t.Helper()
	text := m.read("tmp/told")
	_ = os.Remove(filepath.Join(m.root, "tmp/told"))
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

// TestInstall installs it, uses it, removes and purges it.
func TestInstall(t *testing.T) {
	path := thePackage(t)
	m := newMachine(t)
	before := tree(t, m.root)
	m.must("--install", path)
	if out := run(t, "chroot", m.root, "/usr/bin/ukprobe", "version"); !strings.HasPrefix(out, "ukprobe 1.2.3 ") {
		t.Errorf("it says %q", out)
	}
	if out := run(t, "chroot", m.root, "/usr/bin/ukprobe", "run", "--help"); !strings.Contains(out, "--matrix") {
		t.Errorf("its help: %q", out)
	}
	run(t, "chroot", m.root, "/bin/sh", "-c", "cd / && busybox md5sum -c /var/lib/dpkg/info/ukprobe.md5sums")
	// What somebody has written into the file stays until the purge.
	m.write("etc/default/ukprobe-watch", "UKPROBE_WATCH_NAME=^web\n", 0o644)
	m.write("var/cache/ukprobe/image", "big", 0o644)
	m.must("--remove", "ukprobe")
	if m.has("usr/bin/ukprobe") || m.has("lib/systemd/system/ukprobe-watch.service") || !m.has("var/cache/ukprobe/image") {
		t.Error("removing it has left the program, or taken the images")
	}
	if m.read("etc/default/ukprobe-watch") != "UKPROBE_WATCH_NAME=^web\n" {
		t.Error("removing it has taken the configuration")
	}
	m.must("--purge", "ukprobe")
	if diff := cmp.Diff(before, tree(t, m.root)); diff != "" {
		t.Errorf("purging it has left (-before +after):\n%s", diff)
	}
}

// tree are the files of a root, dpkg's own database and its empty folders aside.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if path = strings.TrimPrefix(path, root); !d.IsDir() && !strings.HasPrefix(path, "/var/lib/dpkg/") {
			out = append(out, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// TestService: systemd hears of the unit; the service is neither enabled nor started, one
// that runs is restarted by an upgrade and stopped by the removal.
func TestService(t *testing.T) {
	path := thePackage(t)
	m := newMachine(t)
	m.withSystemd()
	m.must("--install", path)
	if diff := cmp.Diff([]string{"systemctl --system daemon-reload"}, m.told()); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
	if m.has("etc/systemd/system") {
		t.Error("it is enabled")
	}
	m.must("--install", path)
	if diff := cmp.Diff([]string{"systemctl --system daemon-reload", "systemctl --system daemon-reload",
		"systemctl --quiet is-active ukprobe-watch.service", "deb-systemd-invoke restart ukprobe-watch.service"}, m.told()); diff != "" {
		t.Errorf("upgraded (-want +got):\n%s", diff)
	}
	m.must("--purge", "ukprobe")
	if got := m.told(); !slices.Contains(got, "deb-systemd-invoke stop ukprobe-watch.service") || got[len(got)-1] != "systemctl --system daemon-reload" {
		t.Errorf("removed: %q", got)
	}
}

// TestLeftovers: only ukprobe can undo what a killed run has left, so it is not taken
// away while there is something.
func TestLeftovers(t *testing.T) {
	path := thePackage(t)
	m := newMachine(t)
	m.must("--install", path)
	m.write("run/ukprobe/x.journal", "", 0o600)
	if out, err := m.dpkg("--remove", "ukprobe"); err == nil || !strings.Contains(out, "ukprobe clean") || !m.has("usr/bin/ukprobe") {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.Remove(filepath.Join(m.root, "run/ukprobe/x.journal")); err != nil {
		t.Fatal(err)
	}
	m.must("--purge", "ukprobe")
}
