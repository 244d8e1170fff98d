// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ukprobe/ukprobe/internal/oci"
	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/internal/strictyaml"
)

// image is a whole catalogue with one image and these further lines.
func image(lines ...string) string {
	head := "version: 1\nimages:\n  - name: a\n    system: nanos\n    app: hello\n    platform: qemu\n    path: k.elf\n"
	for _, l := range lines {
		head += "    " + l + "\n"
	}
	return head
}

var zeros = strings.Repeat("0", 64)

func TestParse(t *testing.T) {
	text := image("version: '1.25'", "sha256: '"+zeros+"'", "initrd: {path: i.cpio, sha256: '"+zeros+"'}",
		"disks: [{path: d.img, format: qcow2, read_only: true, name: storage}, {path: /e.img}]",
		"cmdline: app {network} -- -c x", "network: ip={address}/{prefix} gw={gateway}", "ready: ^up$", "port: 80", `request: "PING\r\n"`, "fpu_free: true",
		"built: {from: git 123, compiler: gcc 12, flags: -O2, optimisations: LTO, allocator: tlsf, scheduler: cooperative, libc: musl}") +
		"  - name: b\n    system: nanos\n    app: http\n    platform: [qemu, qemu1nic]\n    path: oci://example.org:5000/nanos/http:1.0@sha256:" + zeros + "\n"
	c, err := Parse("dir/c.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Image{{
		Name: "a", System: "nanos", App: "hello", Version: "1.25", Platforms: []string{"qemu"},
		File: File{"dir/k.elf", zeros}, Initrd: File{"dir/i.cpio", zeros},
		Disks:   []Disk{{File{"dir/d.img", ""}, "qcow2", true, "storage"}, {File{"/e.img", ""}, "", false, ""}},
		Cmdline: "app {network} -- -c x", Network: "ip={address}/{prefix} gw={gateway}", Ready: "^up$", Port: 80, Request: "PING\r\n", FPUFree: true,
		Built: Built{"git 123", "gcc 12", "-O2", "LTO", "tlsf", "cooperative", "musl"}, Pos: "dir/c.yaml:3:5",
	}, {
		Name: "b", System: "nanos", App: "http", Platforms: []string{"qemu", "qemu1nic"},
		File: File{Path: "oci://example.org:5000/nanos/http:1.0@sha256:" + zeros}, Pos: "dir/c.yaml:19:5",
	}}
	if diff := cmp.Diff(want, c.Images, cmpopts.IgnoreUnexported(Image{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]string{{"nanos"}, {"hello", "http"}, {"qemu", "qemu1nic"}}, [][]string{c.Systems(), c.Apps("nanos"), c.Platforms("nanos")}); diff != "" {
		t.Error(diff)
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", "c.yaml:1:1: the file is empty: a catalogue has version and images"},
		{"no version", "images: []", "c.yaml:1:1: the catalogue has no version"},
		{"version", "version: 2\nimages: []", "c.yaml:1:10: version 2 is not known"},
		{"unknown key", image("platfrom: x"), `c.yaml:8:5: unknown key "platfrom" in an image; did you mean "platform"?`},
		{"missing", "version: 1\nimages:\n  - name: a\n", "c.yaml:3:5: the image has no system"},
		{"name twice", image() + "  - {name: a, system: b, app: c, platform: d, path: e}\n", `c.yaml:8:12: the name "a" is taken by the image at c.yaml:3:11`},
		{"key twice", image("app: x"), `c.yaml:8:5: mapping key "app" already defined`},
		{"short digest", image("sha256: abc"), `c.yaml:8:13: sha256 "abc" is not 64`},
		{"digest as number", image("sha256: " + zeros), "sha256 reads as a number here: put quotes around it"},
		{"upper-case digest", image("sha256: " + strings.Repeat("A", 64)), "lower-case"},
		{"http", strings.Replace(image(), "k.elf", "https://example.org/k", 1), "c.yaml:7:11: path \"https://example.org/k\": ukprobe fetches nothing by https"},
		{"reference", strings.Replace(image(), "k.elf", "oci://nanos", 1), "is not a reference: write oci://registry/repository:tag"},
		{"reference with spaces", strings.Replace(image(), "k.elf", "oci://a.b/c d", 1), "is not a reference"},
		{"digest beside reference", strings.Replace(image("sha256: '"+zeros+"'"), "k.elf", "oci://a.b/c:d", 1), "sha256 is for local files"},
		{"initrd elsewhere", image("initrd: oci://a.b/c"), "a local path is needed"},
		{"initrd without path", image("initrd: {sha256: '" + zeros + "'}"), "initrd has no path"},
		{"disk format", image("disks: [{path: a, format: qcow}]"), `format "qcow" is none of raw, qcow2; did you mean "qcow2"?`},
		{"disk name", image("disks: [{path: a, name: a b}]"), "is not a device of a solo5 manifest"},
		{"placeholder", image("network: ip={adress}"), `c.yaml:8:14: network: unknown placeholder {adress}; did you mean "{address}"?`},
		{"placeholder of the other", image("cmdline: ip={address}"), "cmdline: unknown placeholder {address} (known: {network})"},
		{"ready", image("ready: '('"), "ready is not a regular expression"},
		{"port", image("port: 65536"), "port 65536 is not between 1 and 65535"},
		{"request alone", image("request: x"), "the image has a request and no port"},
		{"fpu", image("fpu_free: yes"), "fpu_free is true or false, not a text"},
		{"platforms", strings.Replace(image(), "platform: qemu", "platform: [a, a]", 1), `platform "a" is already in the list`},
		{"no platforms", strings.Replace(image(), "platform: qemu", "platform: []", 1), "the image would never be used"},
		{"digest of a folder", strings.Replace(image("sha256: '"+zeros+"'"), "platform: qemu", "platform: [docker]", 1), "c.yaml:3:5: sha256 is for files: a container's image is a folder"},
		{"alias", "version: &a 1\nimages: *a\n", "anchors, aliases and merge keys are not part of a catalogue: write each entry out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("c.yaml", []byte(tt.text))
			var e *strictyaml.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	c, err := Parse("c.yaml", []byte(strings.Replace(image(), "platform: qemu", "platform: [qemu, qemu1nik]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check([]string{"qemu", "qemu1nic", "qemu1nik"}); err != nil {
		t.Error(err)
	}
	p, err := Parse("c.yaml", []byte(strings.Replace(image(), "platform: qemu", "platform: process", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check([]string{"process"}); err == nil || !strings.HasPrefix(err.Error(), "c.yaml:6:15: platform process takes no images") {
		t.Errorf("for process: %v", err)
	}
	err = c.Check([]string{"qemu", "qemu1nic"})
	if want := `c.yaml:6:22: unknown platform "qemu1nik"; did you mean "qemu1nic"?`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestFind(t *testing.T) {
	c, err := Parse("c.yaml", []byte(image()+"  - {name: b, system: nanos, app: hello, platform: [qemu, docker], path: x}\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, system, app, platform, want, wantErr string }{
		{"", "nanos", "hello", "qemu", "a", ""}, // the first in the file
		{"", "nanos", "hello", "docker", "b", ""},
		{"", "nanos", "hello", "uhyve", "", ""},
		{"b", "nanos", "hello", "qemu", "b", ""},
		{"a", "nanos", "hello", "docker", "", `image "a" (c.yaml:3:5) is nanos/hello for qemu, and not for nanos/hello on docker`},
		{"c", "nanos", "hello", "docker", "", `image "c": not in the catalogue c.yaml`},
	}
	for _, tt := range tests {
		m, ok, err := c.For(tt.name, tt.system, tt.app, tt.platform)
		if m.Name != tt.want || ok != (tt.want != "") || (err != nil) != (tt.wantErr != "") || err != nil && !strings.HasPrefix(err.Error(), tt.wantErr) {
			t.Errorf("For(%q, %s, %s, %s) = %q, %v, %v", tt.name, tt.system, tt.app, tt.platform, m.Name, ok, err)
		}
	}
	var none *Images
	if _, ok := none.Find("a", "b", "c"); ok {
		t.Error("nothing has an image")
	}
	if _, _, err := none.For("x", "a", "b", "c"); err == nil || !strings.Contains(err.Error(), "--catalogue") {
		t.Errorf("error %v", err)
	}
}

func TestCommandLine(t *testing.T) {
	a := Address{netip.MustParsePrefix("198.18.0.2/24"), netip.MustParseAddr("198.18.0.1")}
	tests := []struct{ cmdline, network, with, without string }{
		{"", "ip={address}/{prefix} gw={gateway}", "ip=198.18.0.2/24 gw=198.18.0.1", ""},
		{"port=80", "ip={address}", "port=80 ip=198.18.0.2", "port=80"},
		{"nginx {network} -- -c x", "netdev.ip={address}/{prefix}:{gateway}", "nginx netdev.ip=198.18.0.2/24:198.18.0.1 -- -c x", "nginx -- -c x"},
		{"{network} a", "x", "x a", "a"},
		{"--x", "--ip=eth0,{address},{netmask}", "--x --ip=eth0,198.18.0.2,255.255.255.0", "--x"},
		{`{"cmdline":"redis",{network}}`, `"net":{"addr":"{address}","mask":"{prefix}"}`, `{"cmdline":"redis","net":{"addr":"198.18.0.2","mask":"24"}}`, `{"cmdline":"redis",}`},
	}
	for _, tt := range tests {
		m := Image{Cmdline: tt.cmdline, Network: tt.network}
		if got := CommandLine(m.Cmdline, m.NetworkWords(a)); got != tt.with {
			t.Errorf("%q: %q, want %q", tt.cmdline, got, tt.with)
		}
		if got := CommandLine(m.Cmdline, ""); got != tt.without {
			t.Errorf("%q without a network: %q, want %q", tt.cmdline, got, tt.without)
		}
	}
}

func TestLocal(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"k.elf", "i.cpio", "d.img"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	digest, _, err := regular.Digest(t.Context(), filepath.Join(dir, "k.elf"))
	if err != nil {
		t.Fatal(err)
	}
	load := func(lines ...string) (Local, error) {
		c, err := Parse(filepath.Join(dir, "c.yaml"), []byte(image(lines...)))
		if err != nil {
			t.Fatal(err)
		}
		return (&Images{Catalogue: c}).Local(t.Context(), c.Images[0], "qemu")
	}
	l, err := load("sha256: '"+digest+"'", "initrd: i.cpio", "disks: [{path: d.img}]")
	want := Local{Kernel: filepath.Join(dir, "k.elf"), Initrd: filepath.Join(dir, "i.cpio"), Disks: []Disk{{File{Path: filepath.Join(dir, "d.img")}, "", false, ""}}}
	if diff := cmp.Diff(want, l); err != nil || diff != "" {
		t.Error(err, diff)
	}
	_, err = load("sha256: '" + zeros + "'")
	if !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), digest) || !strings.Contains(err.Error(), zeros) || !strings.Contains(err.Error(), "c.yaml:3:5") {
		t.Errorf("mismatch: %v", err)
	}
	if _, err = load("disks: [{path: d.img, sha256: '" + zeros + "'}]"); !errors.Is(err, ErrMismatch) {
		t.Errorf("mismatch of a disk: %v", err)
	}
	if _, err = load("initrd: nosuch"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing initrd: %v", err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if c, err := Open("", dir); c != nil || err != nil {
		t.Errorf("no catalogue: %v, %v", c, err)
	}
	if _, err := Open(filepath.Join(dir, "nosuch.yaml"), dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a catalogue that was named and is not there: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(image()), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := Open("", dir); err != nil || len(c.Images) != 1 {
		t.Errorf("in the cache folder: %v, %v", c, err)
	}
}

// layoutDir writes an OCI image layout with one layer, and says its manifest's digest.
func layoutDir(t *testing.T, dir string) (manifest, layer string) {
	t.Helper()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		name := hex.EncodeToString(sum[:])
		if err := os.WriteFile(filepath.Join(blobs, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	layer = put("a layer")
	manifest = put(`{"schemaVersion":2,"config":{"digest":"sha256:` + put("{}") + `","size":2},"layers":[{"digest":"sha256:` + layer + `","size":7}]}`)
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"manifests":[{"digest":"sha256:`+manifest+`"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	return "sha256:" + manifest, filepath.Join(blobs, layer)
}

// TestLocalContainer: a layout is held against its own digests, wherever it is, and one
// that is not there is no image.
func TestLocalContainer(t *testing.T) {
	dir := t.TempDir()
	manifest, layer := layoutDir(t, filepath.Join(dir, "layout"))
	images := func(path string) *Images {
		text := strings.NewReplacer("platform: qemu", "platform: docker", "k.elf", path).Replace(image())
		c, err := Parse(filepath.Join(dir, "c.yaml"), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return &Images{Catalogue: c}
	}
	here := images("layout")
	l, err := here.Local(t.Context(), here.Images[0], Docker)
	if err != nil || l.Kernel != "" || l.Container.Path != filepath.Join(dir, "layout") || l.Container.Digest != manifest || l.Container.Size < 9 {
		t.Errorf("%+v, %v", l, err)
	}
	if said, err := here.Verify(t.Context(), here.Images[0]); err != nil || said != "ok: docker: manifest "+manifest {
		t.Errorf("%q, %v", said, err)
	}
	if err := os.WriteFile(layer, []byte("a l4yer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := here.Verify(t.Context(), here.Images[0]); !errors.Is(err, oci.ErrDigest) || !strings.Contains(err.Error(), layer) {
		t.Errorf("a damaged layer: %q, %v", said, err)
	}
	none := images("no-such-layout")
	if said, err := none.Verify(t.Context(), none.Images[0]); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "no-such-layout") {
		t.Errorf("nothing there: %q, %v", said, err)
	}
}

// TestVerify: what is held against a checksum, and what is only there.
func TestVerify(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"k.elf", "i.cpio", "d.img"} {
		if err := os.WriteFile(path(name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // of sha256sum
	c, err := Parse(path("c.yaml"), []byte(image("sha256: "+x, "initrd: i.cpio", "disks: [{path: d.img, sha256: '"+x+"'}]")))
	if err != nil {
		t.Fatal(err)
	}
	s := &Images{Catalogue: c}
	want := "ok: " + path("k.elf") + ": sha256 " + x + "; " + path("d.img") + ": sha256 " + x + "; there; the catalogue has no checksum of " + path("i.cpio")
	if said, err := s.Verify(t.Context(), c.Images[0]); err != nil || said != want {
		t.Errorf("%q, %v, want %q", said, err, want)
	}
	// What lies beside an image of a registry is named too.
	m := c.Images[0]
	m.File = File{Path: "oci://example.org/x:1"}
	if got, want := words(m, []string{"qemu: manifest sha256:1"}), "ok: qemu: manifest sha256:1; "+path("d.img")+": sha256 "+x+"; there; the catalogue has no checksum of "+path("i.cpio"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Verify(ctx, c.Images[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// TestPages: the catalogues that the pages show can be read.
func TestPages(t *testing.T) {
	found := map[string]int{}
	err := filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range yamlBlock.FindAllSubmatch(text, -1) {
			if !strings.Contains(string(m[1]), "\nimages:\n") {
				continue
			}
			found[filepath.Base(path)]++
			if _, err := Parse(path, m[1]); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	if err != nil || found["catalogue.md"] == 0 || found["adding-a-system.md"] == 0 {
		t.Errorf("found %v, %v", found, err)
	}
}
