// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/internal/solo5"
)

// Rump is rumprun: a POSIX program on drivers and C library of NetBSD. On QEMU it is
// rumprun's own hw platform, on Solo5 that of nabla-containers' rumprun.
type Rump struct{ env Env }

// Name implements System.
func (*Rump) Name() string { return "rump" }

// rumpApps are what rumprun-packages and the published evaluations have. The
// arguments are taken if the cell gives none; those with a path only where there is
// a disk for it.
var rumpApps = []struct {
	name, ready  string
	service      *Service
	args, onDisk string
}{
	{name: Hello, ready: "^Hello, "}, // rumprun's tests/hello/hello.c
	{name: Nginx, service: &Service{Port: 80, Request: httpGet()}, onDisk: "-c " + rumpMount + "/conf/nginx.conf"},
	{name: redisApp, service: &Service{Port: 6379, Request: redisPing()}, onDisk: rumpMount + "/conf/redis.conf"},
	{name: sqliteApp, ready: "^SQLite version "},
	{name: memcachedApp, service: &Service{Port: 11211, Request: []byte("version\r\n")}, args: "-u root"},
}

// rumpMount is where the packages of rumprun-packages want their disk.
const rumpMount = "/data"

// Apps implements System.
func (r *Rump) Apps() []string {
	out := make([]string, len(rumpApps))
	for i, a := range rumpApps {
		out[i] = a.name
	}
	return r.env.apps(r.Name(), out...)
}

// Platforms implements System. rumprun's hw platform has its devices on PCI.
func (*Rump) Platforms() []string { return []string{qemu1NIC, solo5HVT, solo5SPT} }

// Limit implements System.
func (*Rump) Limit(Want) string { return "" }

// onSolo5 tells the two ports of rumprun apart.
func onSolo5(platform string) bool { return strings.HasPrefix(platform, "solo5-") }

// Describe implements System.
func (r *Rump) Describe(w Want) Boot {
	b := Boot{Platform: w.Platform, Kernel: Unbuilt}
	onDisk := ""
	for _, a := range rumpApps {
		if a.name != w.App {
			continue
		}
		b.Ready, b.Cmdline, onDisk = a.ready, a.args, a.onDisk
		if a.service != nil {
			svc := *a.service
			b.Service = &svc
		}
	}
	if e, err := r.env.entry(r.Name(), w); err == nil {
		b.describe(e)
	}
	b.override(w.Settings)
	if len(b.Disks) > 0 {
		b.Cmdline = cmp.Or(b.Cmdline, onDisk)
	}
	r.addDisk(&b)
	return b
}

// addDisk adds an empty disk where one is declared that the app does not need.
func (r *Rump) addDisk(b *Boot) {
	if len(b.Disks) == 0 && onSolo5(b.Platform) && wantsDisk(b.Kernel) {
		b.Disks = []Disk{{Path: r.emptyDisk(), Format: "raw"}}
	}
}

// emptyDisk is attached where the image declares a disk that its app does not need:
// one sector of zeros, as the published evaluations make it (E21, fig_11
// impl/rump.sh).
func (r *Rump) emptyDisk() string { return filepath.Join(r.env.WorkDir, "rump-empty.raw") }

// wantsDisk: images of the new port all declare one, named rootfs, and tenders of the
// old one wanted one given.
func wantsDisk(kernel string) bool {
	img, err := solo5.ReadFile(kernel)
	return errors.Is(err, solo5.ErrNoNotes) || len(img.Of(solo5.Block)) > 0
}

// Prepare implements System.
func (r *Rump) Prepare(ctx context.Context, w Want) (Boot, error) {
	if err := writeOnce(r.emptyDisk(), make([]byte, 512)); err != nil {
		return Boot{}, fmt.Errorf("write an empty disk for rump: %w", err)
	}
	b, err := r.env.prepared(ctx, r, w)
	if err != nil {
		return Boot{}, err
	}
	r.addDisk(&b) // an image that has only now been fetched
	return b, nil
}

// rumpConfig is rumprun's configuration (its doc/config.md; read by
// lib/librumprun_base/config.c), in the order of the published command lines.
type rumpConfig struct {
	Cmdline string   `json:"cmdline"`
	Net     *rumpNet `json:"net,omitempty"`
	Blk     *rumpBlk `json:"blk,omitempty"`
}

type rumpNet struct {
	If     string `json:"if"`
	Cloner string `json:"cloner,omitempty"` // to be made first
	Type   string `json:"type"`
	Method string `json:"method"`
	Addr   string `json:"addr"`
	Mask   string `json:"mask"` // the prefix's length
	Gw     string `json:"gw,omitempty"`
}

type rumpBlk struct {
	Source     string `json:"source"`
	Path       string `json:"path"`
	FSType     string `json:"fstype"`
	Mountpoint string `json:"mountpoint"`
}

// CommandLine implements System. It is what rumprun's script app-tools/rumprun writes
// for -I, -W, -b and the program, without its line ends and trailing commas, and on
// Solo5 what Lupine's scripts/benchmark_apps.sh gives the tender.
func (r *Rump) CommandLine(b Boot, net *Addresses) (string, error) {
	if err := b.noNetworkWords("rump has its network in a configuration of its own"); err != nil {
		return "", err
	}
	c := rumpConfig{Cmdline: strings.TrimSpace(filepath.Base(b.Kernel) + " " + cmp.Or(b.Args, b.Cmdline))}
	if err := rumpWords(c.Cmdline); err != nil {
		return "", err
	}
	if net != nil {
		c.Net = rumpNetwork(b.Platform, net.Prefix, net.Gateway)
	}
	if len(b.Disks) > 0 && b.Disks[0].Path != r.emptyDisk() {
		c.Blk = &rumpBlk{Source: "dev", Path: "/dev/ld0a", FSType: "blk", Mountpoint: rumpMount}
		if onSolo5(b.Platform) {
			c.Blk.Source = "etfs"
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // rumprun takes strings as they stand: no escape is undone
	if err := e.Encode(c); err != nil {
		return "", err
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// rumpNetwork names the first interface of either port: vioif is a PCI driver that
// finds its device, ukvmif has to be made.
func rumpNetwork(platform string, prefix netip.Prefix, gateway netip.Addr) *rumpNet {
	n := &rumpNet{If: "vioif0", Type: "inet", Method: "static", Addr: prefix.Addr().String(), Mask: strconv.Itoa(prefix.Bits()), Gw: gateway.String()}
	if onSolo5(platform) {
		n.If, n.Cloner = "ukvmif0", "True"
	}
	return n
}

// rumpWords refuses what would not come out of JSON as it went in: rumprun does not
// undo escapes.
func rumpWords(cmdline string) error {
	if i := strings.IndexFunc(cmdline, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }); i >= 0 {
		return fmt.Errorf("%q: rumprun cannot be given %q: its configuration is JSON of which it undoes no escapes; group words with single quotes", cmdline, cmdline[i:i+1])
	}
	return nil
}
