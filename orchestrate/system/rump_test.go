// SPDX-License-Identifier: Apache-2.0

package system

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// TestRump: the command lines are those of Lupine's scripts/benchmark_apps.sh (hvt) and
// the configuration that rumprun's app-tools/rumprun writes (qemu), with the
// laboratory's addresses.
func TestRump(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// Any sound kernel will do for what is looked at here.
	redis, nginx := file("redis-server.hvt", reference.Image()), file("nginx.hvt", reference.Image())
	disk := file("data.iso", []byte("data"))
	newHello := solo5Image(t, "hello.bin", 1, "rootfs", solo5Block, "tap", solo5Net)
	const hvtNet = `"net":{"if":"ukvmif0","cloner":"True","type":"inet","method":"static","addr":"198.18.0.9","mask":"24","gw":"198.18.0.1"}`
	const qemuNet = `"net":{"if":"vioif0","type":"inet","method":"static","addr":"198.18.0.9","mask":"24","gw":"198.18.0.1"}`
	for _, tt := range []struct {
		name, app, platform string
		settings            matrix.Settings
		want, disk          string
	}{
		{"redis on hvt", "redis", "solo5-hvt", matrix.Settings{Kernel: redis}, `{"cmdline":"redis-server.hvt",` + hvtNet + `}`, "rump-empty.raw"},
		{"nginx on hvt", "nginx", "solo5-hvt", matrix.Settings{Kernel: nginx, Disk: disk},
			`{"cmdline":"nginx.hvt -c /data/conf/nginx.conf",` + hvtNet + `,"blk":{"source":"etfs","path":"/dev/ld0a","fstype":"blk","mountpoint":"/data"}}`, "data.iso"},
		{"nginx on qemu", "nginx", "qemu1nic", matrix.Settings{Kernel: nginx, Disk: disk},
			`{"cmdline":"nginx.hvt -c /data/conf/nginx.conf",` + qemuNet + `,"blk":{"source":"dev","path":"/dev/ld0a","fstype":"blk","mountpoint":"/data"}}`, "data.iso"},
		{"redis on qemu", "redis", "qemu1nic", matrix.Settings{Kernel: redis, Disk: disk},
			`{"cmdline":"redis-server.hvt /data/conf/redis.conf",` + qemuNet + `,"blk":{"source":"dev","path":"/dev/ld0a","fstype":"blk","mountpoint":"/data"}}`, "data.iso"},
		{"memcached on qemu", "memcached", "qemu1nic", matrix.Settings{Kernel: redis}, `{"cmdline":"redis-server.hvt -u root",` + qemuNet + `}`, ""},
		{"an argument of the cell's, as it stands", "redis", "qemu1nic", matrix.Settings{Kernel: redis, Args: "--save '' <&>"}, `{"cmdline":"redis-server.hvt --save '' <&>",` + qemuNet + `}`, ""},
		{"hello with a manifest", "hello", "solo5-spt", matrix.Settings{Kernel: newHello}, `{"cmdline":"hello.bin",` + hvtNet + `}`, "rump-empty.raw"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &Rump{env: Env{WorkDir: t.TempDir()}}
			b, err := r.Prepare(t.Context(), Want{App: tt.app, Platform: tt.platform, Settings: tt.settings})
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.CommandLine(b, labAddresses())
			if got != tt.want || err != nil {
				t.Errorf("%s, %v\nwant %s", got, err, tt.want)
			}
			if !json.Valid([]byte(got)) {
				t.Errorf("no JSON: %s", got)
			}
			if tt.disk == "" != (len(b.Disks) == 0) || tt.disk != "" && filepath.Base(b.Disks[0].Path) != tt.disk {
				t.Errorf("disks %+v, want %s", b.Disks, tt.disk)
			}
			if (b.Ready == "") != (b.Service != nil) {
				t.Errorf("ready %q and service %+v: want one of them", b.Ready, b.Service)
			}
		})
	}
}

func TestRumpRefuses(t *testing.T) {
	r := &Rump{env: Env{WorkDir: t.TempDir()}}
	if _, err := r.Prepare(t.Context(), Want{App: Hello, Platform: "qemu1nic"}); !errors.Is(err, ErrNoImage) || !strings.Contains(err.Error(), "name a kernel in the cell") {
		t.Errorf("no image: %v", err)
	}
	if _, err := r.CommandLine(Boot{Kernel: "/x", Entry: &catalogue.Image{Network: "ip={address}", Pos: "c.yaml:3:5"}}, nil); err == nil || !strings.HasPrefix(err.Error(), "c.yaml:3:5: ") {
		t.Errorf("words for a network: %v", err)
	}
	for _, args := range []string{`a"b`, `a\b`, "a\tb", "é"} {
		if got, err := r.CommandLine(Boot{Kernel: "/x", Platform: "qemu1nic", Args: args}, nil); err == nil || !strings.Contains(err.Error(), "undoes no escapes") {
			t.Errorf("%q: %q, %v", args, got, err)
		}
	}
}

// TestRumpCatalogue: a disk and arguments of an entry.
func TestRumpCatalogue(t *testing.T) {
	e, dir := images(t, `
  - {name: a, system: rump, app: redis, platform: qemu1nic, path: k.elf, disks: [{path: d.img, format: raw}]}
  - {name: b, system: rump, app: nginx, platform: qemu1nic, path: k.elf, disks: [{path: d.img, format: raw}], cmdline: "-c /other"}
`)
	e.WorkDir = t.TempDir()
	for app, want := range map[string]string{"redis": "k.elf /data/conf/redis.conf", "nginx": "k.elf -c /other"} {
		r := find(t, e, "rump")
		b, err := r.Prepare(t.Context(), Want{App: app, Platform: "qemu1nic"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.CommandLine(b, nil)
		if err != nil || !strings.Contains(got, `{"cmdline":"`+want+`","blk":`) || b.Disks[0].Path != filepath.Join(dir, "d.img") {
			t.Errorf("%s: %s, %v, %+v", app, got, err, b.Disks)
		}
	}
}

// TestRumpServices: two boots of one app do not share what an override changes.
func TestRumpServices(t *testing.T) {
	r := &Rump{}
	a := r.Describe(Want{App: "redis", Platform: "qemu1nic"})
	a.Service.Port = 1
	if b := r.Describe(Want{App: "redis", Platform: "qemu1nic"}); b.Service.Port != 6379 || string(b.Service.Request) != "PING\r\n" {
		t.Errorf("%+v", b.Service)
	}
}
