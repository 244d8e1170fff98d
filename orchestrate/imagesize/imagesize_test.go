// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func measure(t *testing.T, img Image) Size {
	t.Helper()
	s, err := Measure(t.Context(), img, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantValues holds some figures against what they have to be; -1 is missing, with a
// reason.
func wantValues(t *testing.T, s Size, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		got, there := s.Values[name]
		if v >= 0 && (!there || got != v) {
			t.Errorf("%s is %v (%v), want %v", name, got, there, v)
		}
		if v < 0 {
			reason := ""
			for _, l := range s.Lacking {
				if l.Name == name {
					reason = l.Reason
				}
			}
			if there || reason == "" {
				t.Errorf("%s is %v, because %q; want it missing", name, got, reason)
			}
		}
	}
}

// compiled is a small program by the compiler that is here.
func compiled(t *testing.T, flags ...string) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc: apt-get install gcc")
	}
	source := write(t, "a.c", []byte("#include <stdio.h>\nstatic char zero[100000];\nint set[1000] = {1};\nint main(void) { printf(\"%p %d\", zero, set[3]); return 0; }\n"))
	out := filepath.Join(t.TempDir(), "nginx")
	if said, err := exec.Command("gcc", append(flags, "-o", out, source)...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, said)
	}
	return out
}

func sizeOf(t *testing.T, path string) float64 {
	t.Helper()
	return float64(must[os.FileInfo](t)(os.Stat(path)).Size())
}

// One file of library OS and application: what is whose it does not say.
func TestUnikernel(t *testing.T) {
	data := reference.Image()
	path := write(t, "guest.elf", data)
	s := measure(t, Image{Boot: system.Boot{Kernel: path}, App: "hello"})
	n := float64(len(data))
	wantValues(t, s, map[string]float64{FileBytes: n, UnpackedBytes: n, StrippedBytes: n, UnikernelBytes: n, "kernel_file_bytes": n,
		"unikernel_debug_bytes": 0, KernelBytes: -1, AppBytes: -1})
	if s.Values["unikernel_text_bytes"] <= 0 || s.Values["unikernel_bss_bytes"] <= 0 || s.Values[AllocatedBytes] < 512 {
		t.Errorf("%v", s.Values)
	}
	want := map[string]string{"zstd": s.Facts["zstd"], "unikernel_stripped": "yes", "optimisations": NotKnown, "libc": NotKnown, "compiler": NotKnown}
	if d := cmp.Diff(want, s.Facts); d != "" {
		t.Error(d)
	}
	if !strings.Contains(s.Facts["zstd"], "level default (zstd's 3), github.com/klauspost/compress ") {
		t.Errorf("zstd: %q", s.Facts["zstd"])
	}
}

// What the catalogue says of the build comes before what the image shows.
func TestFactsOfTheCatalogue(t *testing.T) {
	e := &catalogue.Image{Built: catalogue.Built{Optimisations: "DCE+LTO", Libc: "musl", Allocator: "tlsf"}}
	s := measure(t, Image{Boot: system.Boot{Kernel: compiled(t, "-O2", "-g"), Entry: e}, App: "nginx"})
	for name, want := range map[string]string{"optimisations": "DCE+LTO", "optimisations_by": "catalogue", "libc": "musl", "allocator": "tlsf"} {
		if s.Facts[name] != want {
			t.Errorf("%s: %q, want %q", name, s.Facts[name], want)
		}
	}
}

// strip takes away what is said to be strippable, to the bytes of headers and padding.
func TestStripped(t *testing.T) {
	program := compiled(t, "-O2", "-g")
	whole := measure(t, Image{Boot: system.Boot{Kernel: program}, App: "nginx"})
	if said, err := exec.Command("strip", program).CombinedOutput(); err != nil {
		t.Fatalf("strip: %v: %s", err, said)
	}
	less := measure(t, Image{Boot: system.Boot{Kernel: program}, App: "nginx"})
	const headers = 4096
	if off := whole.Values[StrippedBytes] - less.Values[FileBytes]; off < 0 || off > headers {
		t.Errorf("of %v bytes %v stay, by strip %v", whole.Values[FileBytes], whole.Values[StrippedBytes], less.Values[FileBytes])
	}
	for name, want := range map[string]string{"unikernel_stripped": "no: symbols and debug information", "optimisations": "-O2", "optimisations_by": "image"} {
		if whole.Facts[name] != want {
			t.Errorf("%s: %q, want %q", name, whole.Facts[name], want)
		}
	}
	if less.Facts["unikernel_stripped"] != "yes" || !strings.HasPrefix(less.Facts["compiler"], "GCC") {
		t.Errorf("stripped: %v", less.Facts)
	}
	for _, section := range []string{"text", "rodata", "data", "bss"} { // what is in memory stays
		name := "unikernel_" + section + "_bytes"
		if whole.Values[name] != less.Values[name] {
			t.Errorf("%s: %v, stripped %v", name, whole.Values[name], less.Values[name])
		}
	}
	if whole.Values["unikernel_bss_bytes"] < 100000 || whole.Values["unikernel_data_bytes"] < 4000 {
		t.Errorf("bss %v, data %v", whole.Values["unikernel_bss_bytes"], whole.Values["unikernel_data_bytes"])
	}
}

// bzImage makes a compressed kernel of a payload.
func bzImage(payload []byte) []byte {
	out := make([]byte, 3*512+64)
	out[0x1f1] = 2
	copy(out[0x1fe:], "\x55\xaa")
	copy(out[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(out[0x206:], 0x20f)
	binary.LittleEndian.PutUint32(out[0x248:], 64)
	binary.LittleEndian.PutUint32(out[0x24c:], uint32(len(payload)))
	return append(append(out, payload...), make([]byte, 100)...)
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
}

func by(t *testing.T, data []byte, program string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("no %s", program)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return out
}

func TestBzImage(t *testing.T) {
	kernel := reference.Image()
	sized := func(packed []byte) []byte { // as the kernel's build appends the size
		return binary.LittleEndian.AppendUint32(packed, uint32(len(kernel)))
	}
	enc := must[*zstd.Encoder](t)(zstd.NewWriter(nil))
	for name, payload := range map[string][]byte{
		"gzip": gzipped(kernel),
		"zstd": sized(enc.EncodeAll(kernel, nil)),
		"xz":   sized(by(t, kernel, "xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB", "--stdout")),
		"lzma": sized(by(t, kernel, "xz", "--format=lzma", "--stdout")),
		"lz4":  sized(by(t, kernel, "lz4", "-l", "-9", "-", "-")),
	} {
		t.Run(name, func(t *testing.T) {
			image := bzImage(payload)
			s := measure(t, Image{Boot: system.Boot{Kernel: write(t, "bzImage", image)}, App: "hello"})
			wantValues(t, s, map[string]float64{
				FileBytes: float64(len(image)), KernelBytes: float64(len(kernel)), UnpackedBytes: float64(len(kernel)),
				"bzimage_setup_bytes": 1536, "bzimage_payload_bytes": float64(len(payload)), "bzimage_decompressor_bytes": 164,
			})
			if s.Facts["kernel_compression"] != name || s.Facts["kernel_stripped"] != "yes" {
				t.Errorf("%v", s.Facts)
			}
		})
	}
	for name, payload := range map[string][]byte{"unknown": []byte("nothing that anybody knows"), "damaged": gzipped(kernel)[:2000], "lzo": []byte("\x89LZO and so on")} {
		s := measure(t, Image{Boot: system.Boot{Kernel: write(t, "bzImage", bzImage(payload))}, App: "hello"})
		wantValues(t, s, map[string]float64{"bzimage_setup_bytes": 1536, KernelBytes: -1, UnpackedBytes: -1, StrippedBytes: -1})
		if s.Values[FileBytes] == 0 {
			t.Errorf("%s: %v", name, s.Values)
		}
	}
}

// entry is a file of an archive; a name that ends in a slash is a folder.
type entry struct {
	name, data string
	link       string // target
	inode      int64  // not 0: it has two names
}

func cpioOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := cpio.NewWriter(&b)
	for _, e := range entries {
		h := &cpio.Header{Name: e.name, Mode: cpio.TypeReg | 0o644, Size: int64(len(e.data)), Links: 1, Inode: e.inode}
		switch {
		case strings.HasSuffix(e.name, "/"):
			h.Mode = cpio.TypeDir | 0o755
		case e.link != "":
			h.Mode, h.Linkname, h.Size = cpio.TypeSymlink|0o777, e.link, int64(len(e.link))
		case e.inode != 0:
			h.Links = 2
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		must[int](t)(io.WriteString(w, e.data+e.link))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// An initramfs with a dynamic program: its loader and libraries are resolved inside it,
// through links, and nothing counts twice.
func TestInitramfs(t *testing.T) {
	program := compiled(t, "-O2")
	app := must[[]byte](t)(os.ReadFile(program))
	root := cpioOf(t,
		entry{name: "usr/"}, entry{name: "usr/sbin/"}, entry{name: "usr/sbin/nginx", data: string(app)},
		entry{name: "lib64", link: "/usr/lib64"}, entry{name: "usr/lib64/"},
		entry{name: "usr/lib64/ld-linux-x86-64.so.2", data: strings.Repeat("l", 1000)},
		entry{name: "lib/x86_64-linux-gnu/libc.so.6", link: "libc-2.so"}, entry{name: "lib/x86_64-linux-gnu/libc-2.so", data: strings.Repeat("c", 2000)},
		entry{name: "lib/modules/6.1/virtio_net.ko", data: strings.Repeat("m", 300)},
		entry{name: "a", inode: 7}, entry{name: "b", data: strings.Repeat("x", 50), inode: 7},
		entry{name: "../../../../escaped", data: strings.Repeat("e", 40)},
		entry{name: "passwd", link: "../../../etc/passwd"},
	)
	early := cpioOf(t, entry{name: "kernel/x86/microcode/AuthenticAMD.bin", data: "microcode!"})
	archive := append(append(append(early, make([]byte, 512)...), gzipped(root)...), make([]byte, 64)...)
	s := measure(t, Image{Boot: system.Boot{Kernel: write(t, "bzImage", bzImage(gzipped(reference.Image()))), Initrd: write(t, "initrd", archive)}, App: "nginx"})
	kernel, own := float64(len(reference.Image())), float64(len(app))
	wantValues(t, s, map[string]float64{
		"initrd_file_bytes": float64(len(archive)), AppBytes: own, LibrariesBytes: 3000, "kernel_modules_bytes": 300, KernelBytes: kernel + 300,
		RootFSBytes: own + 3000 + 300 + 50 + 40 + 10, RestBytes: 100, UnpackedBytes: kernel + own + 3400, "app_with_libraries_bytes": own + 3000,
	})
	for name, want := range map[string]string{"initrd_compression": "gzip", "app_program": "/usr/sbin/nginx", "app_linked": "dynamically", "libc": "glibc", "app_stripped": "no: symbols"} {
		if s.Facts[name] != want {
			t.Errorf("%s: %q, want %q", name, s.Facts[name], want)
		}
	}
}

func TestInitrdThatIsNoArchive(t *testing.T) {
	kernel := write(t, "k", reference.Image())
	for name, initrd := range map[string][]byte{"text": []byte("just some text, longer than a magic"), "packed text": gzipped([]byte("just some text")), "zeros": make([]byte, 100)} {
		s := measure(t, Image{Boot: system.Boot{Kernel: kernel, Initrd: write(t, "initrd", initrd)}, App: "nginx"})
		wantValues(t, s, map[string]float64{RootFSBytes: -1, UnpackedBytes: -1, "initrd_file_bytes": float64(len(initrd))})
		if t.Failed() {
			t.Log(name)
		}
	}
}

// A kernel that is given a program in the initrd's place, as HermiTux is.
func TestProgramBesideTheKernel(t *testing.T) {
	program := compiled(t, "-static", "-s")
	s := measure(t, Image{Boot: system.Boot{Kernel: write(t, "k", reference.Image()), Initrd: program}, App: "nginx"})
	wantValues(t, s, map[string]float64{KernelBytes: float64(len(reference.Image())), AppBytes: sizeOf(t, program), UnpackedBytes: float64(len(reference.Image())) + sizeOf(t, program)})
	if s.Facts["app_linked"] != "statically" || s.Facts["app_stripped"] != "yes" {
		t.Errorf("%v", s.Facts)
	}
}

func tarOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.data)), Typeflag: tar.TypeReg}
		switch {
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		case e.link != "" && e.inode != 0:
			h.Typeflag, h.Linkname = tar.TypeLink, e.link
		case e.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		must[int](t)(io.WriteString(w, e.data))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Layers over each other, as docker save writes them: what an upper one removes does
// not count, a file of two names counts once.
func TestContainer(t *testing.T) {
	program := compiled(t, "-static")
	app := must[[]byte](t)(os.ReadFile(program))
	lower := tarOf(t, entry{name: "usr/local/bin/nginx", data: string(app)}, entry{name: "gone", data: "1234"}, entry{name: "etc/"}, entry{name: "etc/a", data: "12"},
		entry{name: "kept", data: "12345"}, entry{name: "also", link: "kept", inode: 1}, entry{name: "../../up", data: "123"})
	upper := gzipped(tarOf(t, entry{name: ".wh.gone"}, entry{name: "etc/.wh..wh..opq"}, entry{name: "etc/b", data: "123456"}, entry{name: "kept", data: "1234567"}))
	config := `{"architecture":"amd64"}`
	manifest := must[[]byte](t)(json.Marshal([]map[string]any{{"Config": "c.json", "Layers": []string{"1/layer.tar", "2/layer.tar"}}}))
	archive := write(t, "saved.tar", tarOf(t, entry{name: "manifest.json", data: string(manifest)}, entry{name: "c.json", data: config},
		entry{name: "1/layer.tar", data: string(lower)}, entry{name: "2/layer.tar", data: string(upper)}))
	img := Image{Boot: system.Boot{Container: "sha256:0", Image: system.Image{Path: archive}}, App: "nginx"}
	s := measure(t, img)
	own := float64(len(app))
	wantValues(t, s, map[string]float64{
		FileBytes: float64(len(lower) + len(upper) + len(config)), "layers": 2, "layers_stored_bytes": float64(len(lower) + len(upper)),
		RootFSBytes: own + 5 + 3 + 6 + 7, AppBytes: own, LibrariesBytes: 0, RestBytes: 21, KernelBytes: -1,
	})
	if s.Facts["layer_compression"] != "gzip" || s.Values["layers_bytes"] <= s.Values["layers_stored_bytes"] {
		t.Errorf("%v %v", s.Facts, s.Values)
	}
	// The same from an engine.
	img.Image.Path, img.Save = "nginx:1", func(_ context.Context, path string) error {
		return os.WriteFile(path, must[[]byte](t)(os.ReadFile(archive)), 0o600)
	}
	saved := measure(t, img)
	saved.Values[AllocatedBytes] = s.Values[AllocatedBytes]
	if d := cmp.Diff(s, saved); d != "" {
		t.Errorf("by an engine: %s", d)
	}
}

func TestArchiveThatIsNone(t *testing.T) {
	for name, files := range map[string][]entry{
		"no such file":  {{name: "manifest.json", data: `[{"Config":"c.json","Layers":["../../../../etc/passwd"]}]`}, {name: "c.json", data: "{}"}},
		"names 2 image": {{name: "manifest.json", data: `[{},{}]`}},
		"manifest.json": {{name: "manifest.json", data: `no`}},
		"no such":       {{name: "index.json", data: `{}`}},
	} {
		img := Image{Boot: system.Boot{Container: "x", Image: system.Image{Path: write(t, "a.tar", tarOf(t, files...))}}, App: "nginx"}
		if _, err := Measure(t.Context(), img, t.TempDir()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The root folder of a process.
func TestProcess(t *testing.T) {
	program := compiled(t, "-static")
	root := t.TempDir()
	for name, data := range map[string][]byte{"/bin/nginx": must[[]byte](t)(os.ReadFile(program)), "/etc/x": []byte("1234")} {
		if err := os.MkdirAll(filepath.Dir(root+name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+name, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(root+"/bin/nginx", root+"/bin/again"); err != nil {
		t.Fatal(err)
	}
	s := measure(t, Image{Boot: system.Boot{RootFS: root, Image: system.Image{Path: root + "/bin/nginx"}}, App: "something"})
	own := sizeOf(t, program)
	wantValues(t, s, map[string]float64{FileBytes: own + 4, UnpackedBytes: own + 4, AppBytes: own, LibrariesBytes: 0, RestBytes: 4, KernelBytes: -1})
}

// Without the app's program nothing is said to be the app's.
func TestNoProgram(t *testing.T) {
	archive := cpioOf(t, entry{name: "nginx", data: "#!/bin/sh\nexec something\n"})
	s := measure(t, Image{Boot: system.Boot{Kernel: write(t, "k", bzImage(gzipped(reference.Image()))), Initrd: write(t, "i", archive)}, App: "nginx"})
	wantValues(t, s, map[string]float64{AppBytes: -1, LibrariesBytes: -1, RestBytes: -1, RootFSBytes: 25, UnpackedBytes: float64(len(reference.Image())) + 25})
}

// A disk is measured by the files on it; what is not known of a disk is missing.
func TestDisks(t *testing.T) {
	program, err := exec.LookPath("mke2fs")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/mke2fs"); err != nil {
			t.Skip("no mke2fs: apt-get install e2fsprogs")
		}
	}
	app := must[[]byte](t)(os.ReadFile(compiled(t, "-static")))
	root, disk := t.TempDir(), filepath.Join(t.TempDir(), "disk")
	for name, data := range map[string][]byte{"/usr/sbin/nginx": app, "/etc/conf": []byte("12345")} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(root+name), 0o755), os.WriteFile(root+name, data, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(root+"/etc/conf", root+"/etc/again"); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(program, "-q", "-F", "-t", "ext2", "-d", root, disk, "8M").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, said)
	}
	kernel, own, size := write(t, "k", bzImage(gzipped(reference.Image()))), float64(len(app)), float64(len(reference.Image()))
	s := measure(t, Image{Boot: system.Boot{Kernel: kernel, Disks: []system.Disk{{Path: disk, Format: "raw"}}}, App: "nginx"})
	wantValues(t, s, map[string]float64{
		RootFSBytes: own + 5, AppBytes: own, LibrariesBytes: 0, RestBytes: 5, UnpackedBytes: size + own + 5, "disk_file_bytes": 8 << 20, "disk_virtual_bytes": 8 << 20,
	})
	if used := s.Values["disk_used_bytes"]; used < own || used > 8<<20 {
		t.Errorf("%v bytes in use", used)
	}
	if s.Values[AllocatedBytes] >= s.Values[FileBytes] {
		t.Errorf("a sparse disk of %v bytes takes %v", s.Values[FileBytes], s.Values[AllocatedBytes])
	}
	s = measure(t, Image{Boot: system.Boot{Disks: []system.Disk{{Path: write(t, "d", make([]byte, 4096)), Format: "raw"}}}, App: "nginx"})
	wantValues(t, s, map[string]float64{RootFSBytes: -1, KernelBytes: -1, AppBytes: -1, UnpackedBytes: -1, FileBytes: 4096})
}

func TestRelative(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"lib64", "/usr/lib64"}: "usr/lib64", {"a/b/c", "/x"}: "../../x", {"a/b/c", "../../../../x"}: "../../x", {"a/b", "c"}: "../a/c", {"a", "/"}: ".", {"a", "."}: ".",
	} {
		if got := relative(in[0], in[1]); got != want {
			t.Errorf("%s -> %s: %q, want %q", in[0], in[1], got, want)
		}
	}
}

func TestOptimisations(t *testing.T) {
	for in, want := range map[string]string{
		"GNU C17 12.2.0 -mtune=generic -O2 -flto=auto -fdata-sections -O2": "-O2 -fdata-sections -flto=auto",
		"GNU C17 -Os -Og": "-Og -Os", "clang version 14": "", "-Output -Ofast": "-Ofast",
	} {
		if got := optimisations(map[string]int{in: 3}); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// What is not everywhere is said with how often it is.
func TestOptimisationsOfSomeUnits(t *testing.T) {
	const want = "-O2 (97 of 100 units) -ffunction-sections (90 of 100 units) -O0 (1 of 100 units)"
	got := optimisations(map[string]int{"GNU C17 -O2 -ffunction-sections": 90, "GNU C++14 -O2": 7, "GNU AS 2.40": 2, "GNU C17 -O0": 1})
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// OSv has its applications on a disk, and not in its kernel.
func TestOSv(t *testing.T) {
	n := float64(len(reference.Image()))
	s := measure(t, Image{Boot: system.Boot{Kernel: write(t, "k", reference.Image()), Disks: []system.Disk{{Path: write(t, "d", make([]byte, 4096)), Format: "raw"}}}, System: "osv", App: "nginx"})
	wantValues(t, s, map[string]float64{KernelBytes: n, "kernel_stripped_bytes": n, AppBytes: -1, UnpackedBytes: -1})
	s = measure(t, Image{Boot: system.Boot{Kernel: write(t, "k", reference.Image())}, System: "osv", App: "nginx"})
	wantValues(t, s, map[string]float64{UnikernelBytes: n, KernelBytes: -1, AppBytes: -1})
}

// The same bytes always compress to the same size.
func TestCompressedIsTheSame(t *testing.T) {
	m := &measurer{ctx: t.Context()}
	data := bytes.Repeat([]byte(fmt.Sprint("words and ", "words, ")), 10000)
	var sizes []int64
	for range 3 {
		sizes = append(sizes, must[int64](t)(m.compressed(func(w io.Writer) error { _, err := w.Write(data); return err })))
	}
	if sizes[0] != sizes[1] || sizes[1] != sizes[2] || sizes[0] <= 0 || sizes[0] > 1000 {
		t.Errorf("%v", sizes)
	}
}
