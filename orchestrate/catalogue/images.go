// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ukprobe/ukprobe/internal/oci"
	"github.com/ukprobe/ukprobe/internal/regular"
)

// Images is a catalogue, and what makes local files of its entries. The nil *Images
// is empty.
type Images struct {
	*Catalogue
	Registry *oci.Cache // of images at oci:// references
}

// Open loads the catalogue at path; if path is "", the one in the cache folder if it
// is there.
func Open(path, cacheDir string) (*Catalogue, error) {
	if path != "" {
		return Load(path)
	}
	path = filepath.Join(cacheDir, FileName)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return Load(path)
}

// Find is the catalogue's.
func (s *Images) Find(system, app, platform string) (Image, bool) {
	if s == nil {
		return Image{}, false
	}
	return s.Catalogue.Find(system, app, platform)
}

// For is the catalogue's.
func (s *Images) For(name, system, app, platform string) (Image, bool, error) {
	if s == nil {
		return (*Catalogue)(nil).For(name, system, app, platform)
	}
	return s.Catalogue.For(name, system, app, platform)
}

// Has says whether there is an image of that name.
func (s *Images) Has(name string) bool {
	if s == nil {
		return false
	}
	_, err := s.Named(name)
	return err == nil
}

// Docker is the platform whose images are containers, and Process the one that takes
// none: it runs the app of a package.
const (
	Docker  = "docker"
	Process = "process"
)

// Local is an image whose files are here and are what the catalogue says.
type Local struct {
	Kernel, Initrd string
	Disks          []Disk
	Args           []string   // of the app, that a unikernel in a registry brings
	Manifest       string     // digest of a unikernel's in a registry: sha256:…
	Container      oci.Layout // for platform docker
}

// Files is where the catalogue says that the image's files are, for that platform.
// They may be missing, wrong, or in a registry: see Images.Local.
func (m Image) Files(platform string) Local {
	l := Local{Kernel: m.File.Path, Initrd: m.Initrd.Path, Disks: slices.Clone(m.Disks)}
	if platform == Docker {
		l.Container.Path, l.Kernel = l.Kernel, ""
	}
	return l
}

// Local makes the image's files local and verifies their checksums.
func (s *Images) Local(ctx context.Context, m Image, platform string) (Local, error) {
	out := m.Files(platform)
	if err := s.local(ctx, m, platform, &out); err != nil {
		return Local{}, fmt.Errorf("image %s (%s): %w", m.Name, m.Pos, err)
	}
	if err := makeAbsolute(&out); err != nil {
		return Local{}, err
	}
	return out, nil
}

func (s *Images) local(ctx context.Context, m Image, platform string, out *Local) (err error) {
	if ref, ok := m.File.Reference(); ok {
		err = s.fetch(ctx, m, ref, platform, out)
	} else if out.Container.Path != "" {
		out.Container, err = oci.OpenLayout(ctx, out.Container.Path)
	}
	if err != nil {
		return err
	}
	files := []File{{out.Kernel, m.File.SHA256}, {out.Initrd, m.Initrd.SHA256}}
	for _, d := range out.Disks {
		files = append(files, d.File)
	}
	for _, f := range files {
		if f.Path == "" {
			continue
		}
		if err := f.verify(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Images) fetch(ctx context.Context, m Image, ref, platform string, out *Local) error {
	if s == nil || s.Registry == nil {
		return fmt.Errorf("%s: nothing here asks registries", m.File.Path)
	}
	var err error
	if platform == Docker {
		out.Container, err = s.Registry.Container(ctx, ref)
		return err
	}
	g, err := s.Registry.Guest(ctx, ref, platform)
	out.Kernel, out.Args, out.Manifest = g.Kernel, g.Args, g.Digest
	if out.Initrd == "" {
		out.Initrd = g.Initrd
	}
	return err
}

// makeAbsolute: VMMs start in /.
func makeAbsolute(l *Local) error {
	paths := []*string{&l.Kernel, &l.Initrd, &l.Container.Path}
	for i := range l.Disks {
		paths = append(paths, &l.Disks[i].Path)
	}
	for _, p := range paths {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("image %s: %w", *p, err)
		}
		*p = abs
	}
	return nil
}

// ErrMismatch is wrapped by the error of a file that is not what the catalogue says.
var ErrMismatch = errors.New("checksum mismatch")

// verify holds a file against its checksum, if it has one.
func (f File) verify(ctx context.Context) error {
	if f.SHA256 == "" {
		_, err := os.Stat(f.Path)
		return err
	}
	got, _, err := regular.Digest(ctx, f.Path)
	if err != nil {
		return err
	}
	if got != f.SHA256 {
		return fmt.Errorf("%w: %s has sha256 %s, and the catalogue says %s: get the file again, or correct the catalogue", ErrMismatch, f.Path, got, f.SHA256)
	}
	return nil
}
