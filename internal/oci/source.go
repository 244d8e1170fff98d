// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// source is one reference's registry, asked only for what the cache lacks.
type source struct {
	cache *Cache
	ref   name.Reference

	client *http.Client // with the registry's authentication, once it was needed
}

func stringReader(s string) io.Reader { return strings.NewReader(s) }

func (s *source) options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithUserAgent("ukprobe"), remote.WithTransport(s.cache.transport())}
}

// ask gets a manifest or an index.
func (s *source) ask(ctx context.Context, ref name.Reference) (*remote.Descriptor, error) {
	d, err := unlessEnded(ctx, func() (*remote.Descriptor, error) { return remote.Get(ref, s.options(ctx)...) })
	return d, said(err)
}

// askTag asks which digest the tag has now, and keeps the manifest that came with it.
func (s *source) askTag(ctx context.Context) (v1.Hash, error) {
	if s.cache.Offline {
		return v1.Hash{}, ErrOffline
	}
	d, err := s.ask(ctx, s.ref)
	if err != nil {
		return v1.Hash{}, err
	}
	return d.Digest, s.cache.keep(d.Digest, d.Manifest)
}

// manifest returns the bytes of an index or a manifest.
func (s *source) manifest(ctx context.Context, digest v1.Hash) ([]byte, error) {
	text, err := s.cache.read(digest, maxDocument)
	if err == nil {
		return text, nil
	}
	if s.cache.Offline {
		return nil, offline(err)
	}
	d, err := s.ask(ctx, s.ref.Context().Digest(digest.String()))
	if err != nil {
		return nil, err
	}
	return d.Manifest, s.cache.keep(digest, d.Manifest)
}

// offline is why something of the cache cannot be had without a registry.
func offline(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrOffline
	}
	return err
}

// connect makes a client that authenticates itself, for blobs.
func (s *source) connect(ctx context.Context) error {
	if s.cache.Offline {
		return ErrOffline
	}
	if s.client != nil {
		return nil
	}
	reg := s.ref.Context().Registry
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, s.ref.Context())
	if err != nil {
		return fmt.Errorf("login of %s: %w", reg, err)
	}
	t, err := unlessEnded(ctx, func() (http.RoundTripper, error) {
		return transport.NewWithContext(ctx, reg, auth, transport.NewRetry(s.cache.transport()), []string{s.ref.Scope(transport.PullScope)})
	})
	if err != nil {
		return said(err)
	}
	s.client = &http.Client{Transport: t}
	return nil
}

// image finds the manifest of an image: digest's own, or the one of an index that
// choose accepts.
func (s *source) image(ctx context.Context, digest v1.Hash, choose func(v1.Platform) bool) (v1.Hash, *v1.Manifest, error) {
	text, err := s.manifest(ctx, digest)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(text))
	if err != nil {
		return v1.Hash{}, nil, fmt.Errorf("manifest %s: %w", digest, err)
	}
	if !index.MediaType.IsIndex() && len(index.Manifests) == 0 {
		m, err := s.chosen(ctx, text, choose)
		return digest, m, err
	}
	var there []string
	for _, d := range index.Manifests {
		if d.Platform == nil {
			continue
		}
		if choose(*d.Platform) {
			text, err := s.manifest(ctx, d.Digest)
			if err != nil {
				return v1.Hash{}, nil, err
			}
			m, err := parseManifest(d.Digest, text)
			return d.Digest, m, err
		}
		there = append(there, d.Platform.OS+"/"+d.Platform.Architecture)
	}
	return v1.Hash{}, nil, noPlatform(there)
}

// chosen holds a manifest without an index against the platform that its
// configuration names.
func (s *source) chosen(ctx context.Context, text []byte, choose func(v1.Platform) bool) (*v1.Manifest, error) {
	m, err := parseManifest(v1.Hash{}, text)
	if err != nil {
		return nil, err
	}
	config, err := s.config(ctx, m)
	if err != nil {
		return nil, err
	}
	if p := (v1.Platform{OS: config.OS, Architecture: config.Architecture}); !choose(p) {
		return nil, noPlatform([]string{p.OS + "/" + p.Architecture})
	}
	return m, nil
}

func noPlatform(there []string) error {
	if len(there) == 0 {
		there = []string{"none that are named"}
	}
	return said(fmt.Errorf("%w: the image is for %s", ErrNoPlatform, strings.Join(there, ", ")))
}

func parseManifest(digest v1.Hash, text []byte) (*v1.Manifest, error) {
	m, err := v1.ParseManifest(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", digest, err)
	}
	if m.MediaType.IsIndex() || m.Config.Digest == (v1.Hash{}) {
		return nil, fmt.Errorf("manifest %s: no image: it has no configuration", digest)
	}
	if err := bounded(m); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", digest, err)
	}
	return m, nil
}

// maxImage bounds an image, in bytes as a registry has them: what a manifest says of its
// sizes must not fill the disk. The largest images in public registries have some 20 GB.
const maxImage = 32 << 30

// bounded holds the sizes that a manifest says against the limit.
func bounded(m *v1.Manifest) error {
	room := int64(maxImage)
	for _, d := range blobsOf(m) {
		if d.Size < 0 || d.Size > room {
			return fmt.Errorf("blob %s of %d bytes: images of more than %d bytes are not taken", d.Digest, d.Size, int64(maxImage))
		}
		room -= d.Size
	}
	return nil
}

// maxConfig bounds a configuration, in bytes; containerd's own limit is 8 MiB.
const maxConfig = 8 << 20

// config reads an image's configuration.
func (s *source) config(ctx context.Context, m *v1.Manifest) (*v1.ConfigFile, error) {
	if m.Config.Size > maxConfig {
		return nil, fmt.Errorf("configuration %s has %d bytes, more than %d", m.Config.Digest, m.Config.Size, maxConfig)
	}
	if _, err := s.blob(ctx, m.Config); err != nil {
		return nil, err
	}
	text, err := s.cache.read(m.Config.Digest, maxConfig)
	if err != nil {
		return nil, err
	}
	c, err := v1.ParseConfigFile(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", m.Config.Digest, err)
	}
	return c, nil
}

// explain adds what a person can do.
func explain(err error, ref name.Reference) error {
	var status *transport.Error
	var cert *tls.CertificateVerificationError
	var network net.Error // of the operating system, of names, of HTTP
	registry := ref.Context().RegistryStr()
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		return fmt.Errorf("%w: the registry wants a login (or says so of what does not exist): docker login %s", err, registry)
	case errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %s has no such image: see the name and the tag", err, registry)
	case errors.As(err, &status):
		return fmt.Errorf("%w: is the reference right? Is %s a registry, and up?", err, registry)
	case errors.As(err, &cert):
		return fmt.Errorf("%w: if the registry has a certificate of its own authority, name that authority's file in SSL_CERT_FILE", err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: free some room, or choose another cache folder (--cache)", err)
	case errors.As(err, &network):
		return fmt.Errorf("%w: is the reference right? Is the registry %s up, and can this machine reach it (a proxy's name goes into HTTPS_PROXY)?", err, registry)
	}
	return err
}
