// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/reference"
)

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func inspectFile(t *testing.T, path string) *Report {
	t.Helper()
	r, err := File(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// can is the verdict of a platform.
func (r *Report) can(platform string) string {
	for _, v := range r.Platforms {
		if v.Platform == platform {
			return v.Can + ": " + v.Why
		}
	}
	return "not asked"
}

func TestReference(t *testing.T) {
	r := inspectFile(t, write(t, "reference.elf", reference.Image()))
	if !r.Multiboot || r.Entry == 0 || len(r.Segments) == 0 || len(r.Sections) == 0 || r.Program != nil {
		t.Errorf("%+v", r)
	}
	for platform, want := range map[string]string{
		"qemu": "yes: multiboot", "qemu1nic": "yes: multiboot", "qemumicrovm": "yes: multiboot",
		"solo5-hvt": "no: no Solo5 image", "process": "no: no program for Linux", "docker": "no: no container's image",
	} {
		if got := r.can(platform); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", platform, got, want)
		}
	}
	var out bytes.Buffer
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"load segments", "platforms", "multiboot header"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, out.String())
		}
	}
}

func padded(head string, at int, more string) []byte {
	b := make([]byte, 4096)
	copy(b, head)
	copy(b[at:], more)
	return b
}

// TestKinds: what is no ELF file.
func TestKinds(t *testing.T) {
	bz := make([]byte, 0x8000)
	binary.LittleEndian.PutUint16(bz[0x1fe:], 0xaa55)
	copy(bz[0x200:], "\xeb\x66HdrS")
	binary.LittleEndian.PutUint16(bz[0x206:], 0x20f)
	binary.LittleEndian.PutUint16(bz[0x20e:], 0x300)
	binary.LittleEndian.PutUint16(bz[0x236:], 1)
	copy(bz[0x500:], "6.1.0-test\x00")
	osv := bytes.Clone(bz)
	copy(osv[0x200:], "\x00\x00")
	qcow2 := padded("QFI\xfb\x00\x00\x00\x03", 24, "\x00\x00\x00\x00\x40\x00\x00\x00")
	mb := make([]byte, 4096)
	for i, v := range []uint32{0x1badb002, 1 << 16, 0, 0x100000, 0x100000, 0, 0, 0x100020} {
		binary.LittleEndian.PutUint32(mb[i*4:], v)
	}
	sum := uint32(0x1badb002 + 1<<16)
	binary.LittleEndian.PutUint32(mb[8:], -sum)
	tests := []struct {
		name     string
		content  []byte
		format   string
		platform string
		verdict  string
	}{
		{"bzImage", bz, "bzImage (compressed Linux kernel): 6.1.0-test", "qemu", "yes: Linux boot protocol 2.15, 32-bit and 64-bit entry"},
		{"OSv's vmlinuz.bin", osv, "bzImage", "qemu", "no: a bzImage with nothing at its real-mode entry"},
		{"OSv's vmlinuz.bin on a microvm", osv, "bzImage", "qemumicrovm", "no: a bzImage with nothing at its real-mode entry"},
		{"bzImage on Firecracker", bz, "bzImage", "firecracker", "no: a bzImage: Firecracker takes uncompressed kernels"},
		{"multiboot with addresses", mb, "multiboot, no ELF file", "qemu", "yes: multiboot, loaded by the addresses in its header"},
		{"qcow2", qcow2, "qcow2 disk image, version 3", "firecracker", "no: qcow2"},
		{"qcow2 on QEMU", qcow2, "qcow2", "qemu", "perhaps: a BIOS boots the disk"},
		{"qcow2 on a microvm", qcow2, "qcow2", "qemumicrovm", "no: a microvm has no BIOS"},
		{"raw disk", padded("", 510, "\x55\xaa"), "raw disk image", "qemu", "perhaps"},
		{"ext4", padded("", 1080, "\x53\xef"), "raw disk image", "qemu", "no: the disk has no boot sector"},
		{"cpio", []byte("070701"), "cpio archive", "qemu", "no: an initrd"},
		{"gzip", []byte("\x1f\x8b"), "compressed with gzip", "qemu", "no: compressed with gzip: unpack it"},
		{"tar", padded("", 257, "ustar"), "tar archive", "docker", "perhaps"},
		{"empty", nil, "empty file", "qemu", "no: no kernel: empty file"},
		{"text", []byte("hello"), "unknown (it begins with 68656c6c6f)", "qemu", "no: no kernel"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := inspectFile(t, write(t, "f", tt.content))
			if !strings.HasPrefix(r.Format, tt.format) || !strings.HasPrefix(r.can(tt.platform), tt.verdict) {
				t.Errorf("format %q, %s %q", r.Format, tt.platform, r.can(tt.platform))
			}
		})
	}
}

func TestLayout(t *testing.T) {
	dir := t.TempDir()
	if _, err := File(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "no OCI layout") {
		t.Errorf("a folder: %v", err)
	}
	index := `{"schemaVersion":2,"manifests":[{"digest":"sha256:00","platform":{"os":"linux","architecture":"amd64"},"annotations":{"org.opencontainers.image.ref.name":"example.org/a:1"}}]}`
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(index), 0o644); err != nil {
		t.Fatal(err)
	}
	r := inspectFile(t, dir)
	if diff := cmp.Diff([]LayoutImage{{"example.org/a:1", "sha256:00", "linux", "amd64"}}, r.Layout.Images); diff != "" || r.can("docker") != "yes: OCI image layout" {
		t.Error(diff, r.can("docker"))
	}
}

// compile builds a program from C, or from assembly.
func compile(t *testing.T, source, suffix string, flags ...string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("gcc is not installed: it builds the program that is inspected")
	}
	out := filepath.Join(t.TempDir(), "program")
	args := append([]string{"-o", out}, flags...)
	if text, err := exec.Command(gcc, append(args, write(t, "source"+suffix, []byte(source)))...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, text)
	}
	return out
}

// where is how each system call was found.
func where(p *Program) map[string]string {
	out := map[string]string{}
	for _, c := range p.Calls {
		out[c.Name] = c.Where
	}
	return out
}

// TestOwnCalls: the known answer. Numbers come by a constant, by zeroing, by another
// register and by one that nobody knows; a constant before a call is none after it.
func TestOwnCalls(t *testing.T) {
	r := inspectFile(t, compile(t, `
.globl _start
_start:
	mov $39, %eax        # getpid
	syscall
	xor %eax, %eax       # read
	syscall
	mov $231, %edx       # exit_group, by way of edx, as glibc does
	mov %edx, %eax
	syscall
	mov (%rsp), %rax     # nobody knows
	syscall
	mov $57, %eax        # fork: gone after the call
	call 1f
	syscall
1:	ret
	.section .note.ABI-tag, "a"
	.long 4, 16, 1
	.asciz "GNU"
	.long 0, 3, 2, 0
`, ".s", "-nostdlib", "-static"))
	if r.Program == nil {
		t.Fatalf("no program: %+v", r)
	}
	if diff := cmp.Diff(map[string]string{"getpid": Own, "read": Own, "exit_group": Own}, where(r.Program)); diff != "" || r.Program.Unknown != 2 {
		t.Errorf("%d unknown; %s", r.Program.Unknown, diff)
	}
	if got := r.can("uhyve"); !strings.HasPrefix(got, Perhaps) {
		t.Errorf("uhyve: %s", got)
	}
}

// TestCalledLibraries: through libc's own code, and no further than it goes.
func TestCalledLibraries(t *testing.T) {
	r := inspectFile(t, compile(t, "#include <unistd.h>\n#include <sys/socket.h>\nint main(void) { return socket(1, 1, 0) + getppid(); }\n", ".c"))
	got := where(r.Program)
	for name, want := range map[string]string{"socket": Called, "getppid": Called, "bind": Contained, "execve": Contained} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if r.Program.Interpreter == "" || len(r.Program.Libraries) < 2 || len(r.Program.missing()) > 0 || !strings.HasPrefix(r.can("process"), Yes) {
		t.Errorf("%+v, process %q", r.Program.Libraries, r.can("process"))
	}
}

// TestMissingLibrary: below the root of an image that lacks one.
func TestMissingLibrary(t *testing.T) {
	program := compile(t, "int main(void) { return 0; }\n", ".c")
	root := t.TempDir()
	interpreter := inspectFile(t, program).Program.Interpreter
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Dir(interpreter), "/bin"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	loader, err := os.ReadFile(interpreter)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{interpreter: loader, "/bin/program": content} {
		if err := os.WriteFile(filepath.Join(root, name), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := inspectFile(t, filepath.Join(root, "bin", "program"))
	if r.Program.Root != root || r.can("process") != "no: libraries that are not there: libc.so.6" {
		t.Errorf("root %s, process %q", r.Program.Root, r.can("process"))
	}
}

// TestSolo5: real images, where there are some.
func TestSolo5(t *testing.T) {
	dir := os.Getenv("UKPROBE_GUESTS")
	if dir == "" {
		t.Skip("UKPROBE_GUESTS names no folder with solo5/: real Solo5 images are inspected there")
	}
	for _, target := range []string{"hvt", "spt", "virtio"} {
		path := filepath.Join(dir, "solo5/tests/test_net/test_net."+target)
		if _, err := os.Stat(path); err != nil {
			t.Skip(err)
		}
		r := inspectFile(t, path)
		if got := r.can("solo5-" + target); got != "yes: with the devices of its manifest: service0 (network device)" {
			t.Errorf("%s: %q", target, got)
		}
		if got := r.can("qemu"); (target == "virtio") != strings.HasPrefix(got, Yes) {
			t.Errorf("%s on qemu: %q", target, got)
		}
	}
}

// FuzzFile: whatever a file holds, no panic and no endless loop.
func FuzzFile(f *testing.F) {
	f.Add(reference.Image())
	if true, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(true)
	}
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Add(padded("QFI\xfb", 24, "\xff"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := File(t.Context(), write(t, "f", content))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := r.WriteText(&out); err != nil {
			t.Fatal(err)
		}
		if len(r.Platforms) != 10 || bytes.ContainsAny(out.Bytes(), "\x00\x1b\r") {
			t.Fatalf("%q", out.String())
		}
	})
}
