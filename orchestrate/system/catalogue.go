// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
)

// entry finds a cell's image in the catalogue: the one that it names or else, if its
// cell names no kernel of its own, the first that fits. It is nil if there is none. A
// disk that OSv boots from takes the place of its kernel.
func (e Env) entry(system string, w Want) (*catalogue.Image, error) {
	ownKernel := w.Settings.Kernel != "" || system == osvName && w.Settings.Disk != ""
	if w.Settings.Image == "" && ownKernel {
		return nil, nil
	}
	m, ok, err := e.Images.For(w.Settings.Image, system, w.App, w.Platform)
	if err != nil || !ok {
		return nil, err
	}
	return &m, nil
}

// errNoImage says what to do where a system has no image for an app.
func (e Env) errNoImage(system string, w Want) error {
	where := "there is no catalogue"
	if e.Images != nil && e.Images.Catalogue != nil {
		where = "the catalogue " + e.Images.File + " has none"
	}
	return fmt.Errorf("%w: of %s %s for %s (%s): name a kernel in the cell, or add an entry to a catalogue (docs/catalogue.md)", ErrNoImage, system, w.App, w.Platform, where)
}

// describe takes over from an entry of the catalogue what it says; the rest stays.
// The cell's own settings come after it: see override.
func (b *Boot) describe(m *catalogue.Image) {
	if m == nil {
		return
	}
	b.Entry, b.Version, b.FPUFree = m, m.Version, m.FPUFree
	b.place(m.Files(b.Platform))
	if m.Ready != "" {
		b.Ready, b.Service = m.Ready, nil
	}
	if m.Port == 0 {
		return
	}
	s := Service{Port: uint16(m.Port), Request: httpGet()}
	switch {
	case m.Request != "":
		s.Request = []byte(m.Request)
	case b.Service != nil:
		s.Request = b.Service.Request
	}
	b.Service, b.Ready = &s, m.Ready
}

// place sets where an entry's files are.
func (b *Boot) place(l catalogue.Local) {
	b.Kernel, b.Initrd, b.Container, b.Disks = l.Kernel, l.Initrd, l.Container.Path, nil
	for _, d := range l.Disks {
		b.Disks = append(b.Disks, Disk{Path: d.Path, Format: cmp.Or(d.Format, diskFormat(d.Path)), ReadOnly: d.ReadOnly, Name: d.Name})
	}
	b.Cmdline = cmp.Or(b.Entry.Cmdline, b.Cmdline)
}

// words are those of the network: by the entry's template or else the system's own,
// which may be nil. Without a network there are none.
func (b Boot) words(net *Addresses, own func(Addresses) string) string {
	switch {
	case net == nil:
		return ""
	case b.Entry != nil && b.Entry.Network != "":
		return b.Entry.NetworkWords(catalogue.Address(*net))
	case own != nil:
		return own(*net)
	}
	return ""
}

// Netmask is a prefix's length as an address: 255.255.255.0 for /24.
func Netmask(p netip.Prefix) string { return catalogue.Netmask(p) }

// noNetworkWords refuses an entry's templates where the system's network is not told by
// words. why says how it is.
func (b Boot) noNetworkWords(why string) error {
	if b.Entry == nil {
		return nil
	}
	if b.Entry.Network != "" {
		return fmt.Errorf("%s: %s: leave network: out", b.Entry.Pos, why)
	}
	if strings.Contains(b.Entry.Cmdline, "{network}") {
		return fmt.Errorf("%s: %s: leave {network} out of its cmdline", b.Entry.Pos, why)
	}
	return nil
}

// locate makes the entry's files local and verifies them. The arguments of a unikernel
// of a registry take the place of the system's own: Cmdline, unless the system puts
// them elsewhere.
func (e Env) locate(ctx context.Context, b *Boot) error {
	l, err := e.Images.Local(ctx, *b.Entry, b.Platform)
	if err != nil {
		return err
	}
	b.place(l)
	b.Packed, b.PackedArgs = l.Manifest != "", l.Args
	return nil
}

// apps are a system's own, and those that the catalogue has for it.
func (e Env) apps(system string, own ...string) []string {
	if e.Images == nil {
		return own
	}
	for _, app := range e.Images.Apps(system) {
		if !slices.Contains(own, app) {
			own = append(own, app)
		}
	}
	return own
}
