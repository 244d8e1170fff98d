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
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// attempts is how often a blob is asked for; each goes on where the last ended.
const attempts = 3

// path is where a blob is kept.
func (c *Cache) path(digest v1.Hash) string {
	return filepath.Join(c.Dir, "blobs", digest.Algorithm, digest.Hex)
}

// read returns a small blob that is there, verified again: a disk can lie as well.
func (c *Cache) read(digest v1.Hash, most int64) ([]byte, error) {
	if err := known(digest); err != nil {
		return nil, err
	}
	text, err := readDocument(c.path(digest), most)
	if err != nil {
		return nil, err
	}
	if digestOf(text) != digest {
		return nil, fmt.Errorf("%w: %s is damaged: remove it and pull again", ErrDigest, c.path(digest))
	}
	return text, nil
}

// keep stores a manifest.
func (c *Cache) keep(digest v1.Hash, text []byte) error {
	if got := digestOf(text); got != digest {
		return fmt.Errorf("%w: the registry calls %s what has %s", ErrDigest, digest, got)
	}
	return writeFile(c.path(digest), func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(text))
		return err
	})
}

// blob makes a blob local and returns its path.
func (s *source) blob(ctx context.Context, d v1.Descriptor) (string, error) {
	path := s.cache.path(d.Digest)
	if err := known(d.Digest); err != nil {
		return "", err
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
	for try, again := 1, false; ; try++ {
		err = s.download(ctx, d, part)
		if err == nil {
			break
		}
		if errors.Is(err, errPieces) && !again && ctx.Err() == nil {
			s.cache.logf("%s: %v: getting all of it again", d.Digest, err)
			if err := part.restart(); err != nil {
				return err
			}
			try, again = 0, true
			continue
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

// errPieces is wrapped if a blob's pieces do not make it: what is there may be at
// fault, and not what the registry would send.
var errPieces = errors.New("its pieces do not fit")

// part is a blob on its way. The file is not embedded: io.Copy would find its
// ReadFrom, and go round the hash.
type part struct {
	file   *os.File
	have   int64
	pieces bool // it is not of one response alone
	hash   interface {
		io.Writer
		Sum([]byte) []byte
	}
}

// openPart opens what is there of a blob, and hashes it.
func openPart(ctx context.Context, path string) (*part, error) {
	if err := ownFile(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, err
	}
	p := &part{file: f, hash: sha256.New()}
	st, err := f.Stat()
	if err == nil {
		err = ownStat(path, st) // it may be another by now
	}
	if err == nil {
		p.have, err = io.Copy(p.hash, regular.NewReader(ctx, f))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	p.pieces = p.have > 0
	return p, nil
}

// restart forgets what is there.
func (p *part) restart() error {
	p.have, p.hash, p.pieces = 0, sha256.New(), false
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
		if p.pieces {
			return fmt.Errorf("%w: %w: together they have sha256:%s, and nothing of them is kept", ErrDigest, errPieces, got)
		}
		if err := p.restart(); err != nil {
			return err
		}
		return fmt.Errorf("%w: the registry sent what has sha256:%s: nothing of it is kept", ErrDigest, got)
	}
	return nil
}

func (s *source) rest(ctx context.Context, d v1.Descriptor, p *part) error {
	resp, err := s.get(ctx, d, p.have)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK && p.have > 0 { // it sends all of it again
		if err := p.restart(); err != nil {
			return err
		}
	}
	p.pieces = p.have > 0
	if _, err := io.Copy(p, io.LimitReader(resp.Body, d.Size-p.have)); err != nil {
		return err
	}
	if p.have < d.Size {
		return io.ErrUnexpectedEOF
	}
	if n, _ := resp.Body.Read(make([]byte, 1)); n > 0 {
		if p.pieces {
			return fmt.Errorf("%w: %w: the registry sends more than the %d bytes that its manifest says", ErrDigest, errPieces, d.Size)
		}
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
		return nil, said(err)
	}
	if err := checkAnswer(resp, from); err != nil {
		_ = resp.Body.Close()
		return nil, said(err)
	}
	return resp, nil
}

// checkAnswer holds an answer against the place that it was to begin at.
func checkAnswer(resp *http.Response, from int64) error {
	switch {
	case from > 0 && resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: the registry has nothing from byte %d on", errPieces, from)
	case from > 0 && resp.StatusCode == http.StatusPartialContent:
		if got := resp.Header.Get("Content-Range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", from)) {
			return fmt.Errorf("%w: the registry was asked for what begins at byte %d, and sends %q", errPieces, from, got)
		}
	}
	return transport.CheckError(resp, http.StatusOK, http.StatusPartialContent)
}
