// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"context"
	"strings"
)

// Verify holds all files of an image against what they have to be, and says in words
// what it could hold them against.
func (s *Images) Verify(ctx context.Context, m Image) (string, error) {
	var said []string
	for _, platform := range m.Platforms {
		l, err := s.Local(ctx, m, platform)
		if err != nil {
			return "", err
		}
		if digest := l.digest(); digest != "" {
			if err := s.Registry.Verify(digest); err != nil {
				return "", err
			}
			said = append(said, "ok: "+platform+": manifest "+digest)
		}
	}
	if len(said) > 0 {
		return strings.Join(said, "; "), nil
	}
	for _, f := range m.files() {
		if f.SHA256 == "" {
			said = append(said, f.Path)
		}
	}
	if len(said) > 0 {
		return "there; the catalogue has no checksum of " + strings.Join(said, ", "), nil
	}
	return "ok: sha256 " + m.files()[0].SHA256, nil
}

// digest is the manifest's of an image of a registry; "" for others.
func (l Local) digest() string {
	if l.Manifest != "" {
		return l.Manifest
	}
	return l.Container.Digest
}

// files are those that the entry names.
func (m Image) files() []File {
	var out []File
	for _, f := range []File{m.File, m.Initrd} {
		if f.Path != "" {
			out = append(out, f)
		}
	}
	for _, d := range m.Disks {
		out = append(out, d.File)
	}
	return out
}
