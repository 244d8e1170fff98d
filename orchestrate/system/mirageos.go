// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"fmt"
	"slices"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/internal/solo5"
)

// MirageOS is a unikernel in OCaml, and with it any other Solo5 image that reads the
// same words or none.
type MirageOS struct{ env Env }

// Name implements System.
func (*MirageOS) Name() string { return "mirageos" }

// Apps implements System.
func (m *MirageOS) Apps() []string { return m.env.apps(m.Name(), Hello, HTTP, DNS) }

// foreignApps are those of the matrix that are programs in C.
var foreignApps = []string{Nginx, redisApp, sqliteApp, memcachedApp, dnsmasqApp, linux.Fio, "mysql"}

// Platforms implements System.
func (*MirageOS) Platforms() []string { return []string{solo5HVT, solo5SPT, solo5Virtio} }

// Limit implements System.
func (*MirageOS) Limit(w Want) string {
	if app := w.App; slices.Contains(foreignApps, app) {
		return "MirageOS has no C library, no processes and no system calls: it runs programs in OCaml that are written for it, and there is no " + app + " among them"
	}
	return ""
}

// mirageHTTP is the port of mirage-skeleton's web servers, of which the published
// evaluation's is one (E21, fig_13 src/mirage-solo5-httpreply/config.ml).
const mirageHTTP = 8080

// Describe implements System. hello is told nothing of its network: those that are
// published declare no device, and would refuse options that they do not have.
func (m *MirageOS) Describe(w Want) Boot {
	b := Boot{Platform: w.Platform, Kernel: Unbuilt}
	switch w.App {
	case Hello:
		// mirage-skeleton's logs it, E21's prints it.
		b.Ready, b.Unaddressed = "hello", true
	case HTTP:
		b.Service = &Service{Port: mirageHTTP, Request: httpGet()}
	case DNS:
		b.Service = dnsService()
	}
	if e, err := m.env.entry(m.Name(), w); err == nil {
		b.describe(e)
	}
	if b.Entry != nil && b.Entry.Network != "" {
		b.Unaddressed = false
	}
	b.override(w.Settings)
	return b
}

// Prepare implements System.
func (m *MirageOS) Prepare(ctx context.Context, w Want) (Boot, error) {
	b, err := m.env.prepared(ctx, m, w)
	if err != nil {
		return Boot{}, err
	}
	img, err := solo5.ReadFile(b.Kernel)
	if err != nil {
		return Boot{}, err
	}
	if len(img.Of(solo5.Net)) == 0 {
		if b.Service != nil && b.Ready == "" {
			return Boot{}, fmt.Errorf("%w: %s is ready at its first response, and image %s declares no network device", ErrUnsupported, w.App, b.Kernel)
		}
		b.Unaddressed = true // it has no such options, then
	}
	return b, nil
}

// CommandLine implements System, with the options of Mirage's Key.ipv4 and
// Key.ipv4_gateway, as E21's fig_13 impl/mirage-solo5-httpreply.sh gives them.
func (*MirageOS) CommandLine(b Boot, net *Addresses) (string, error) {
	if b.Unaddressed {
		net = nil
	}
	return b.commandLine(b.words(net, func(a Addresses) string {
		return "--ipv4=" + a.Prefix.String() + " --ipv4-gateway=" + a.Gateway.String()
	})), nil
}
