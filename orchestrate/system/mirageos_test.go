// SPDX-License-Identifier: Apache-2.0

package system

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/solo5/solo5test"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
)

// solo5Image writes an image with notes; devices are (name, type) one after the other.
func solo5Image(t *testing.T, name string, target uint32, devices ...any) string {
	t.Helper()
	entries := [][]byte{solo5test.First()}
	for i := 0; i < len(devices); i += 2 {
		entries = append(entries, solo5test.Entry(devices[i].(string), uint32(devices[i+1].(int))))
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, solo5test.File(solo5test.ABI(target, 2), solo5test.Manifest(entries...)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	solo5Block = 1
	solo5Net   = 2
)

func labAddresses() *Addresses {
	return &Addresses{Prefix: netip.MustParsePrefix("198.18.0.9/24"), Gateway: netip.MustParseAddr("198.18.0.1")}
}

func TestMirageOS(t *testing.T) {
	net := solo5Image(t, "https.hvt", 1, "service", solo5Net)
	bare := solo5Image(t, "hello.hvt", 1)
	const words = "--ipv4=198.18.0.9/24 --ipv4-gateway=198.18.0.1" // E21, fig_13 impl/mirage-solo5-httpreply.sh
	for _, tt := range []struct {
		name, app string
		settings  matrix.Settings
		cmdline   string
		err       error
		text      string
	}{
		{"a web server", HTTP, matrix.Settings{Kernel: net}, words, nil, ""},
		{"with words of its own", HTTP, matrix.Settings{Kernel: net, Args: "--http=81", Port: 81}, words + " --http=81", nil, ""},
		{"hello", Hello, matrix.Settings{Kernel: bare}, "", nil, ""},
		{"hello with a network is not told of it", Hello, matrix.Settings{Kernel: net, Args: "verbose"}, "verbose", nil, ""},
		{"a server without a device, ready by its console", HTTP, matrix.Settings{Kernel: bare, Ready: "listening"}, "", nil, ""},
		{"a server without a device", HTTP, matrix.Settings{Kernel: bare}, "", ErrUnsupported, "http is ready at its first response, and image " + bare + " declares no network device"},
		{"no image", Hello, matrix.Settings{}, "", ErrNoImage, "no image: of mirageos hello for solo5-hvt (there is no catalogue): name a kernel in the cell"},
		{"no such image", Hello, matrix.Settings{Kernel: "/nothing.hvt"}, "", os.ErrNotExist, "/nothing.hvt"},
		{"no such disk", Hello, matrix.Settings{Kernel: bare, Disk: "/nothing.raw"}, "", os.ErrNotExist, "/nothing.raw"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &MirageOS{}
			b, err := m.Prepare(t.Context(), Want{App: tt.app, Platform: "solo5-hvt", Settings: tt.settings})
			if !errors.Is(err, tt.err) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("%v, want %q", err, tt.text)
			}
			if err != nil {
				return
			}
			if got, err := m.CommandLine(b, labAddresses()); got != tt.cmdline || err != nil {
				t.Errorf("command line %q, %v, want %q", got, err, tt.cmdline)
			}
			if got, err := m.CommandLine(b, nil); got != tt.settings.Args || err != nil {
				t.Errorf("without a network: %q, %v", got, err)
			}
			if b.Image.Size == 0 || b.Image.SHA256 == "" || b.Kernel != tt.settings.Kernel || b.FPUFree {
				t.Errorf("%+v", b)
			}
			if diff := cmp.Diff([]probe.Segment{{Lo: 0x100000, Hi: 0x101000}}, b.Segments); diff != "" {
				t.Errorf("segments: %s", diff)
			}
		})
	}
}

// TestMirageOSCatalogue: an entry's words for the network are given to hello too.
func TestMirageOSCatalogue(t *testing.T) {
	e, dir := images(t, `
  - {name: a, system: mirageos, app: hello, platform: solo5-hvt, path: m.hvt, ready: ^up, cmdline: -l debug}
  - {name: b, system: mirageos, app: hello, platform: solo5-spt, path: m.hvt, network: "--ip={address}"}
`)
	data, err := os.ReadFile(solo5Image(t, "m.hvt", 1, "service", solo5Net, "data", solo5Block))
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "m.hvt"), data, 0o644)); err != nil {
		t.Fatal(err)
	}
	m := find(t, e, "mirageos")
	for _, tt := range []struct {
		settings       matrix.Settings
		platform, want string
		disks          int
	}{
		{matrix.Settings{}, "solo5-hvt", "-l debug", 0},
		{matrix.Settings{Image: "a", Disk: filepath.Join(dir, "d.img"), Args: "x"}, "solo5-hvt", "-l debug x", 1},
		{matrix.Settings{}, "solo5-spt", "--ip=198.18.0.9", 0},
	} {
		b, err := m.Prepare(t.Context(), Want{App: Hello, Platform: tt.platform, Settings: tt.settings})
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.CommandLine(b, labAddresses())
		if got != tt.want || err != nil || len(b.Disks) != tt.disks || b.Kernel != filepath.Join(dir, "m.hvt") {
			t.Errorf("%+v: %q, %v, %+v; want %q", tt.settings, got, err, b, tt.want)
		}
	}
	if _, err := m.Prepare(t.Context(), Want{App: Hello, Platform: "solo5-hvt", Settings: matrix.Settings{Image: "c"}}); err == nil || !strings.Contains(err.Error(), `image "c"`) {
		t.Errorf("an image that is not there: %v", err)
	}
}

// TestMirageOSLimits: the C programs of the matrix are unsupported, with the reason.
func TestMirageOSLimits(t *testing.T) {
	for _, app := range []string{Nginx, "redis", "sqlite"} {
		if got := (&MirageOS{}).Limit(Want{App: app, Platform: solo5HVT}); !strings.Contains(got, "OCaml") || !strings.HasSuffix(got, "no "+app+" among them") {
			t.Errorf("%s: %q", app, got)
		}
	}
	for _, app := range (&MirageOS{}).Apps() {
		if got := (&MirageOS{}).Limit(Want{App: app, Platform: solo5SPT}); got != "" {
			t.Errorf("%s: %q", app, got)
		}
	}
}
