// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"context"
	"strings"
)

// Verify holds all files of an image against what they have to be, and says in words
// what it could hold them against. It asks no registry: an image of one has to be in
// the cache.
func (s *Images) Verify(ctx context.Context, m Image) (string, error) {
	here := *s
	if s.Registry != nil {
		registry := *s.Registry
		registry.Offline, registry.Update = true, false
		here.Registry = &registry
	}
	var ok []string
	for _, platform := range m.Platforms {
		l, err := here.Local(ctx, m, platform)
		if err != nil {
			return "", err
		}
		switch digest := l.digest(); {
		case digest == "":
		case l.fromRegistry(m):
			if err := here.Registry.Verify(ctx, digest); err != nil {
				return "", err
			}
			fallthrough
		default:
			ok = append(ok, platform+": manifest "+digest)
		}
	}
	return words(m, ok), nil
}

// words say which files are sound, and which are only there.
func words(m Image, ok []string) string {
	var only []string
	for _, f := range m.files(len(ok) > 0) {
		if f.SHA256 == "" {
			only = append(only, f.Path)
			continue
		}
		ok = append(ok, f.Path+": sha256 "+f.SHA256)
	}
	var out []string
	if len(ok) > 0 {
		out = append(out, "ok: "+strings.Join(ok, "; "))
	}
	if len(only) > 0 {
		out = append(out, "there; the catalogue has no checksum of "+strings.Join(only, ", "))
	}
	return strings.Join(out, "; ")
}

// digest is the manifest's of an image of a registry or a container; "" for others.
func (l Local) digest() string {
	if l.Manifest != "" {
		return l.Manifest
	}
	return l.Container.Digest
}

// fromRegistry says whether the image is kept in the registries' cache.
func (Local) fromRegistry(m Image) bool {
	_, ok := m.File.Reference()
	return ok
}

// files are those that the entry names; if it has a manifest, those beside it.
func (m Image) files(manifest bool) []File {
	var out []File
	for i, f := range []File{m.File, m.Initrd} {
		if f.Path != "" && (i > 0 || !manifest) {
			out = append(out, f)
		}
	}
	for _, d := range m.Disks {
		out = append(out, d.File)
	}
	return out
}
