// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

func find(t *testing.T, e Env, name string) System {
	t.Helper()
	s, err := Find(All(e), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFind(t *testing.T) {
	all := All(Env{})
	seen := map[string]bool{}
	for _, s := range all {
		if got, err := Find(all, s.Name()); err != nil || got != s || seen[s.Name()] {
			t.Errorf("%s: %v, %v", s.Name(), got, err)
		}
		seen[s.Name()] = true
		if len(s.Apps()) == 0 || len(s.Platforms()) == 0 {
			t.Errorf("%s has apps %v and platforms %v", s.Name(), s.Apps(), s.Platforms())
		}
	}
	if _, err := Find(all, "plan9"); err == nil || !strings.HasPrefix(err.Error(), `system "plan9": not known: use one of reference, linux, `) {
		t.Errorf("plan9: %v", err)
	}
}

func TestSupports(t *testing.T) {
	tests := []struct {
		system, app, platform string
		err                   string
	}{
		{"reference", "hello", "qemu", ""},
		{"reference", "http", "qemumicrovm", ""},
		{"linux", "nginx", "qemu1nic", ""},
		{"process", "nginx", "process", ""},
		{"reference", "nginx", "qemu", "unsupported: reference has no nginx (it has hello, http)"},
		{"reference", "hello", "process", "unsupported: reference does not run on process (it runs on qemu, qemu1nic, qemumicrovm, firecracker)"},
		{"linux", "hello", "qemumicrovm", "unsupported: hello on qemumicrovm: Debian's cloud kernel takes no virtio-mmio devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES is off), and with ACPI it hangs at some starts: use system lupine"},
		{"lupine", "mysql", "qemumicrovm", ""},
		{"lupine", "http", "qemu", "unsupported: lupine has no http (it has dnsmasq, fio, hello, memcached, mysql, nginx, redis, sqlite)"},
		{"linux", "hello", "firecracker", "unsupported: hello on firecracker: Debian's cloud kernel is compressed, and takes no virtio-mmio devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES is off): use system lupine"},
		{"lupine", "hello", "firecracker", ""},
		{"process", "hello", "qemu", "unsupported: process does not run on qemu (it runs on process)"},
	}
	for _, tt := range tests {
		err := Supports(find(t, Env{}, tt.system), Want{App: tt.app, Platform: tt.platform})
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != tt.err || (err != nil && !errors.Is(err, ErrUnsupported)) {
			t.Errorf("%s/%s/%s: %v, want %q", tt.system, tt.app, tt.platform, err, tt.err)
		}
	}
}

func TestCommandLine(t *testing.T) {
	a := Addresses{Prefix: netip.MustParsePrefix("198.18.0.9/24"), Gateway: netip.MustParseAddr("198.18.0.1")}
	for name, want := range map[string]string{
		"reference": "own ip=198.18.0.9/24 gw=198.18.0.1 last  words",
		"linux":     "own ip=198.18.0.9::198.18.0.1:255.255.255.0::eth0:off last  words",
		"lupine":    "own ip=198.18.0.9::198.18.0.1:255.255.255.0::eth0:off last  words",
		"process":   "",
	} {
		s, b := find(t, Env{}, name), Boot{Cmdline: "own ", Args: "last  words"}
		if got, err := s.CommandLine(b, &a); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
		if got, err := s.CommandLine(b, nil); want != "" && got != "own last  words" || err != nil {
			t.Errorf("%s without a network: %q, %v", name, got, err)
		}
	}
}

func TestOverride(t *testing.T) {
	get := httpGet()
	own := []byte("own request")
	tests := []struct {
		name     string
		boot     Boot
		settings matrix.Settings
		want     Boot
	}{
		{"nothing", Boot{Ready: "^a$", Cmdline: "x"}, matrix.Settings{}, Boot{Ready: "^a$", Cmdline: "x"}},
		{"a ready line", Boot{Ready: "^a$"}, matrix.Settings{Ready: "^b$"}, Boot{Ready: "^b$"}},
		{"a ready line for a service", Boot{Service: &Service{80, get}}, matrix.Settings{Ready: "^b$"}, Boot{Ready: "^b$"}},
		{"another port", Boot{Service: &Service{80, own}}, matrix.Settings{Port: 8080}, Boot{Service: &Service{8080, own}}},
		{"a port for what had none", Boot{Ready: "^a$"}, matrix.Settings{Port: 81}, Boot{Service: &Service{81, get}}},
		{"both", Boot{Ready: "^a$"}, matrix.Settings{Port: 81, Ready: "^b$"}, Boot{Ready: "^b$", Service: &Service{81, get}}},
		{"more words", Boot{Cmdline: "quiet"}, matrix.Settings{Args: "debug x=1"}, Boot{Cmdline: "quiet", Args: "debug x=1"}},
		{"the only words", Boot{}, matrix.Settings{Args: " debug "}, Boot{Args: "debug"}},
	}
	for _, tt := range tests {
		shared := tt.boot.Service
		got := tt.boot
		got.override(tt.settings)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if shared != nil && shared.Port != 80 {
			t.Errorf("%s: the app's own service has changed to %+v", tt.name, *shared)
		}
	}
}

func TestImageOf(t *testing.T) {
	data := []byte("an image")
	sum := sha256.Sum256(data)
	path := write(t, data)
	got, _, err := imageOf(t.Context(), path)
	if diff := cmp.Diff(Image{Path: path, SHA256: hex.EncodeToString(sum[:]), Size: 8}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "nothing"): "no such file or directory",
		dir:                           "is a directory",
		write(t, nil):                 "is empty",
		fifo:                          "not a regular file",
	} {
		if _, _, err := imageOf(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names it and says %q", path, err, want)
		}
	}
}

func TestPrepareReference(t *testing.T) {
	dir := t.TempDir()
	ref := find(t, Env{WorkDir: dir}, "reference")
	hello, err := ref.Prepare(t.Context(), Want{App: Hello})
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(hello.Kernel)
	if err != nil || string(written) != string(reference.Image()) || filepath.Dir(hello.Kernel) != dir {
		t.Errorf("%s (%v) is not the guest in the run's folder", hello.Kernel, err)
	}
	if !hello.FPUFree || hello.Service != nil || hello.Image.Size != int64(len(written)) || len(hello.Segments) == 0 {
		t.Errorf("hello: %+v", hello)
	}
	if re := regexp.MustCompile(hello.Ready); !re.MatchString("ukprobe-reference: ready tsc=1") || re.MatchString("ukprobe-reference: start tsc=1") {
		t.Errorf("ready pattern %q", hello.Ready)
	}
	http, err := ref.Prepare(t.Context(), Want{App: HTTP, Settings: matrix.Settings{Args: "pio=3"}})
	if err != nil {
		t.Fatal(err)
	}
	if http.Ready != "" || http.Service == nil || http.Service.Port != 80 || http.Cmdline != "port=80 end=hold" || http.Args != "pio=3" || !strings.HasPrefix(string(http.Service.Request), "GET / HTTP/1.1\r\n") {
		t.Errorf("http: %+v", http)
	}
	own := write(t, elf32(3, load{1, rx, 0x100000, 0x100000, 16}))
	replaced, err := ref.Prepare(t.Context(), Want{App: Hello, Settings: matrix.Settings{Kernel: own}})
	if err != nil || replaced.Kernel != own || replaced.FPUFree {
		t.Errorf("a kernel in its place: %+v, %v: nothing is known of its FPU", replaced, err)
	}
}

// TestPrepareRefusesImages: what a person may name by mistake, for both systems
// that boot kernels.
func TestPrepareRefusesImages(t *testing.T) {
	dir := t.TempDir()
	good := write(t, bzImage())
	for _, name := range []string{"reference", "linux"} {
		s := find(t, Env{WorkDir: dir, CacheDir: dir}, name)
		for kernel, want := range map[string]string{
			filepath.Join(dir, "nothing"): "no such file",
			dir:                           "is a directory",
			write(t, nil):                 "is empty",
			write(t, []byte("text")):      "neither an ELF file nor a bzImage",
		} {
			_, err := s.Prepare(context.Background(), Want{App: Hello, Settings: matrix.Settings{Kernel: kernel, Initrd: good}})
			if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrUnsupported) {
				t.Errorf("%s with kernel %s: %v, want %q", name, kernel, err, want)
			}
		}
	}
	linux := find(t, Env{CacheDir: dir}, "linux")
	if _, err := linux.Prepare(t.Context(), Want{App: Hello, Settings: matrix.Settings{Kernel: good, Initrd: dir}}); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("linux with a folder as initrd: %v", err)
	}
	b, err := linux.Prepare(t.Context(), Want{App: Nginx, Settings: matrix.Settings{Kernel: good, Initrd: write(t, []byte("cpio"))}})
	if err != nil || b.Ready != "" || b.Service == nil || b.Service.Port != 80 || len(b.Segments) != 3 || !strings.Contains(b.Cmdline, "console=ttyS0") {
		t.Errorf("linux with files of one's own: %+v, %v", b, err)
	}
}
