// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/ukprobe/ukprobe/internal/regular"
)

const (
	// attempts is how often a blob is asked for; each goes on where the last ended.
	attempts = 3
	// stall is how long a registry may send nothing.
	stall = time.Minute
)

// path is where a blob is kept.
func (c *Cache) path(digest v1.Hash) string {
	return filepath.Join(c.Dir, "blobs", digest.Algorithm, digest.Hex)
}

// read returns a small blob that is there, verified again: a disk can lie as well.
func (c *Cache) read(digest v1.Hash) ([]byte, error) {
	if digest.Algorithm != "sha256" {
		return nil, fmt.Errorf("digest %s: only sha256 is known", digest)
	}
	text, err := os.ReadFile(c.path(digest))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != digest.Hex {
		return nil, fmt.Errorf("%w: %s is damaged: remove it and pull again", ErrDigest, c.path(digest))
	}
	return text, nil
}

// keep stores a manifest.
func (c *Cache) keep(digest v1.Hash, text []byte) error {
	if sum := sha256.Sum256(text); digest.Algorithm != "sha256" || hex.EncodeToString(sum[:]) != digest.Hex {
		return fmt.Errorf("%w: the registry calls %s what has sha256:%x", ErrDigest, digest, sum)
	}
	return writeFile(c.path(digest), func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(text))
		return err
	})
}

// blob makes a blob local and returns its path.
func (s *source) blob(ctx context.Context, d v1.Descriptor) (string, error) {
	path := s.cache.path(d.Digest)
	if d.Digest.Algorithm != "sha256" {
		return "", fmt.Errorf("digest %s: only sha256 is known", d.Digest)
	}
	err := s.cache.sound(ctx, d)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, ErrDigest) && !s.cache.Offline: // the disk lied
		s.cache.logf("%v: pulling it again", err)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if err := s.connect(ctx); err != nil {
		return "", fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return path, s.pull(ctx, d, path)
}

// sound reads a blob that is there and holds it against its descriptor.
func (c *Cache) sound(ctx context.Context, d v1.Descriptor) error {
	return checkBlob(ctx, c.path(d.Digest), d)
}

// checkBlob holds a file against a descriptor.
func checkBlob(ctx context.Context, path string, d v1.Descriptor) error {
	got, stamp, err := regular.Digest(ctx, path)
	if err != nil {
		return err
	}
	if got != d.Digest.Hex || stamp.Size != d.Size {
		return fmt.Errorf("%w: %s has sha256 %s and %d bytes, and its manifest says %d: it is damaged", ErrDigest, path, got, stamp.Size, d.Size)
	}
	return nil
}

// pull gets a blob from the registry. Of what is not its digest's nothing is kept.
func (s *source) pull(ctx context.Context, d v1.Descriptor, path string) (err error) {
	part, err := openPart(ctx, path+".part")
	if err != nil {
		return err
	}
	defer part.file.Close()
	defer func() {
		if errors.Is(err, ErrDigest) {
			_ = os.Remove(path + ".part")
		}
	}()
	s.cache.logf("pulling %s, %d bytes, of which %d are there", d.Digest, d.Size, part.have)
	for try := 1; ; try++ {
		err = s.download(ctx, d, part)
		if err == nil {
			break
		}
		if !resumable(err) || try == attempts || ctx.Err() != nil {
			return fmt.Errorf("blob %s: %d of %d bytes: %w", d.Digest, part.have, d.Size, err)
		}
	}
	if err := part.file.Sync(); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// resumable tells a connection that broke from a registry that said no and from a
// disk that is full.
func resumable(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errStalled)
}

var errStalled = fmt.Errorf("the registry sent nothing for %v", stall)

// part is a blob on its way. The file is not embedded: io.Copy would find its
// ReadFrom, and go round the hash.
type part struct {
	file *os.File
	have int64
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
}

// openPart opens what is there of a blob, and hashes it.
func openPart(ctx context.Context, path string) (*part, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	p := &part{file: f, hash: sha256.New()}
	if p.have, err = io.Copy(p.hash, regular.NewReader(ctx, f)); err != nil {
		_ = f.Close()
		return nil, err
	}
	return p, nil
}

// restart forgets what is there.
func (p *part) restart() error {
	p.have, p.hash = 0, sha256.New()
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return p.file.Truncate(0)
}

// Write implements io.Writer: to the file and the hash.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.have += int64(n)
	_, _ = p.hash.Write(b[:n])
	return n, err
}

// download gets the rest of a blob and verifies the whole.
func (s *source) download(ctx context.Context, d v1.Descriptor, p *part) error {
	if p.have > d.Size {
		if err := p.restart(); err != nil {
			return err
		}
	}
	if p.have < d.Size {
		if err := s.rest(ctx, d, p); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(p.hash.Sum(nil)); got != d.Digest.Hex {
		if err := p.restart(); err != nil {
			return err
		}
		return fmt.Errorf("%w: the registry sent what has sha256:%s: nothing of it is kept", ErrDigest, got)
	}
	return nil
}

func (s *source) rest(ctx context.Context, d v1.Descriptor, p *part) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stall, func() { cancel(errStalled) })
	defer watch.Stop()
	resp, err := s.get(ctx, d, p.have)
	if err != nil {
		return stalled(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK && p.have > 0 { // it sends all of it again
		if err := p.restart(); err != nil {
			return err
		}
	}
	body := &watched{resp.Body, watch}
	if _, err := io.Copy(p, io.LimitReader(body, d.Size-p.have)); err != nil {
		return stalled(ctx, err)
	}
	if p.have < d.Size {
		return io.ErrUnexpectedEOF
	}
	if n, _ := body.Read(make([]byte, 1)); n > 0 {
		return errors.Join(fmt.Errorf("%w: the registry sends more than the %d bytes that its manifest says", ErrDigest, d.Size), p.restart())
	}
	return nil
}

func (s *source) get(ctx context.Context, d v1.Descriptor, from int64) (*http.Response, error) {
	repo := s.ref.Context()
	u := url.URL{Scheme: repo.Scheme(), Host: repo.RegistryStr(), Path: "/v2/" + repo.RepositoryStr() + "/blobs/" + d.Digest.String()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, d.Size-1))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// stalled puts the cause in the place of "context canceled".
func stalled(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// watched puts the end of patience off with every read that brought something.
type watched struct {
	io.Reader
	timer *time.Timer
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if n > 0 {
		w.timer.Reset(stall)
	}
	return n, err
}
