// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
)

// entry finds a cell's image in the catalogue: the one that it names or else, if its
// cell names no file of its own, the first that fits. It is nil if there is none.
func (e Env) entry(system string, w Want) (*catalogue.Image, error) {
	if w.Settings.Image == "" && (w.Settings.Kernel != "" || w.Settings.Disk != "") {
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
		b.Disks = append(b.Disks, Disk{Path: d.Path, Format: d.Format, ReadOnly: d.ReadOnly, Name: d.Name})
	}
	if b.Cmdline = cmp.Or(b.Entry.Cmdline, b.Cmdline); b.Cmdline == "" && len(l.Args) > 0 {
		b.Cmdline = "{network} -- " + strings.Join(l.Args, " ") // as Unikraft's kraft would
	}
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

// locate makes the entry's files local, verifies them and measures the image.
func (e Env) locate(ctx context.Context, b *Boot) error {
	l, err := e.Images.Local(ctx, *b.Entry, b.Platform)
	if err != nil {
		return err
	}
	b.place(l)
	return b.measureLocal(l)
}

// find makes the files of a described boot local and measures them: the cell's own, and
// for the others those of its entry.
func (e Env) find(ctx context.Context, system string, w Want, b *Boot) error {
	if _, err := e.entry(system, w); err != nil {
		return err
	}
	switch {
	case b.Entry != nil:
		if err := e.locate(ctx, b); err != nil {
			return err
		}
		b.override(w.Settings)
	case b.Kernel == Unbuilt:
		return e.errNoImage(system, w)
	}
	return b.examine()
}

// measureLocal finds the size and checksum that stand for the image, and where it runs.
func (b *Boot) measureLocal(l catalogue.Local) (err error) {
	switch {
	case b.Platform == catalogue.Docker:
		b.Image = Image{Path: b.Container, SHA256: strings.TrimPrefix(l.Container.Digest, "sha256:"), Size: l.Container.Size}
		return nil
	case b.Kernel != "":
		return b.examine()
	}
	b.Image, err = imageOf(b.Disks[0].Path)
	return err
}
