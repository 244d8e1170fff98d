// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"context"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/internal/deb"
)

// cacheDir is the checkout's, which make uses too.
const cacheDir = "../../.cache/images"

func TestUnknownApp(t *testing.T) {
	_, err := (&Builder{Dir: t.TempDir()}).Kernel(t.Context(), "emacs")
	const want = `build the kernel of lupine for emacs: no kernel "emacs" for lupine: want one of dnsmasq, fio, hello, memcached, mysql, nginx, redis, sqlite, general`
	if got := errText(err); got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestKeyFollowsWhatIsBuilt(t *testing.T) {
	source := deb.Package{Name: SourcePackage, Version: "6.1.1-1", SHA256: "aa", Path: "/a"}
	newer, moved := source, source
	newer.Version, moved.Path = "6.1.2-1", "/b"
	options := []option{{"CONFIG_A", "y", "base"}}
	same := []option{{"CONFIG_A", "y", "net"}}
	other := []option{{"CONFIG_A", "4", "base"}}
	first := key(source, options)
	if first != key(moved, options) || first != key(source, same) {
		t.Error("the key changes with what changes nothing")
	}
	if first == key(newer, options) || first == key(source, other) || first == key(source, nil) {
		t.Error("the key stays with another source or other options")
	}
}

func TestMissingTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	got := errText(missingTools())
	if !strings.HasPrefix(got, "bc, bison, flex, gcc, gzip, ld, make, tar, xz") ||
		!strings.Contains(got, "not found: apt-get install bc bison flex gcc gzip binutils make tar xz-utils") {
		t.Errorf("error %q", got)
	}
}

// TestRunEndsAllOfIt: with the context, the children of what was started end too.
func TestRunEndsAllOfIt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := run(ctx, t.TempDir(), nil, "sh", "-c", "sleep 60 & echo begun; wait")
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(errText(err), "begun") || took > 8*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}

// TestKernelBoots builds the kernel of nginx, or finds it (make images builds it), and
// boots both of its forms under TCG, with hello: what there is more of, the end-to-end
// tests try.
func TestKernelBoots(t *testing.T) {
	for _, program := range []string{"apt-get", "qemu-system-x86_64"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s not found", program)
		}
	}
	if err := missingTools(); err != nil {
		t.Skip(err)
	}
	b := &Builder{Dir: cacheDir, Logf: t.Logf}
	k, err := b.Kernel(t.Context(), "nginx")
	if err != nil {
		t.Fatal(err)
	}
	initramfs, err := (&linux.Builder{Dir: cacheDir, Logf: t.Logf}).PlainInitramfs(t.Context(), "hello")
	if err != nil {
		t.Fatal(err)
	}
	checkKernel(t, k)
	for name, tt := range map[string]struct {
		kernel, machine string
		pci             bool
	}{
		"bzImage on pc":      {k.BzImage, "pc", true},
		"vmlinux on pc":      {k.Vmlinux, "pc", true},
		"vmlinux on microvm": {k.Vmlinux, "microvm,acpi=off,x-option-roms=off", false},
	} {
		t.Run(name, func(t *testing.T) { boots(t, tt.machine, tt.kernel, initramfs.Path, tt.pci) })
	}
}

var rebooting = regexp.MustCompile(`\r\n\[ *[0-9.]+\] reboot: Restarting system$`)

// boots checks that hello prints its line and nothing else, and that the VMM ends
// when told so.
func boots(t *testing.T, machine, kernel, initramfs string, pci bool) {
	t.Helper()
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", machine+",accel=tcg", "-cpu", "max", "-m", "64",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", kernel, "-initrd", initramfs, "-append", CommandLine(pci, "ukprobe_end=reboot"))
	out, err := cmd.Output()
	t.Logf("%q after %.2f s", out, time.Since(began).Seconds())
	// The kernel says that it reboots at its highest level, which no loglevel hides.
	text := rebooting.ReplaceAllString(strings.TrimSpace(string(out)), "")
	if text != linux.ReadyLine("hello") || err != nil {
		t.Errorf("%v; the console: %q, want only %q", err, text, linux.ReadyLine("hello"))
	}
}

// checkKernel checks the files of a kernel.
func checkKernel(t *testing.T, k Kernel) {
	t.Helper()
	f, err := elf.Open(k.Vmlinux)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if f.Machine != elf.EM_X86_64 || f.Section(".notes") == nil || f.Section(".symtab") != nil {
		t.Errorf("%s: machine %v, sections %v: want x86-64, with the PVH note and without symbols", k.Vmlinux, f.Machine, f.Sections)
	}
	image, err := os.ReadFile(k.BzImage)
	if err != nil {
		t.Fatal(err)
	}
	if string(image[0x202:0x206]) != "HdrS" { // Documentation/x86/boot.rst
		t.Errorf("%s has no setup header", k.BzImage)
	}
	if k.Options < 300 || k.Options > 500 || k.BzImageSize != int64(len(image)) {
		t.Errorf("%d options, a bzImage of %d bytes, want %d", k.Options, k.BzImageSize, len(image))
	}
	if dir := filepath.Dir(k.Config); filepath.Dir(k.Vmlinux) != dir || filepath.Dir(k.BzImage) != dir {
		t.Errorf("not in one folder: %+v", k)
	}
}
