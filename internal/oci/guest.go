// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// How Unikraft's kraft packs an image (kraftkit at f02a533: oci/wellknown.go,
// oci/annotations.go, oci/mediatypes.go, oci/pack.go): per platform a manifest whose
// configuration has os = the platform and architecture = x86_64, with a tar layer that
// holds the kernel and perhaps one that holds the initrd, and the application's
// arguments as Cmd.
const (
	kernelPath = "/unikraft/bin/kernel"
	initrdPath = "/unikraft/bin/initrd"

	initrdMediaType = "application/vnd.unikraft.initrd.v1"
)

// vmms are kraft's names of the platforms (machine/platform/platform.go), by ukprobe's.
var vmms = map[string][]string{
	"qemu":        {"qemu", "kvm"},
	"qemu1nic":    {"qemu", "kvm"},
	"qemumicrovm": {"qemu", "kvm"},
	"firecracker": {"fc", "firecracker"},
}

// architectures are the names of this machine's: kraft's and Docker's.
var architectures = []string{"x86_64", "amd64"}

// Guest is a unikernel of a registry.
type Guest struct {
	Kernel string // path
	Initrd string // path, or ""
	Args   []string
	Digest string // of its manifest: sha256:…
}

// Guest makes the unikernel at ref (without oci://) that is packed for a platform of
// ukprobe's local.
func (c *Cache) Guest(ctx context.Context, ref, platform string) (g Guest, err error) {
	names, ok := vmms[platform]
	if !ok {
		return g, fmt.Errorf("oci://%s: unikernels in registries are packed for QEMU and Firecracker, not for %s", ref, platform)
	}
	err = c.pull(ctx, ref, func(s *source, digest v1.Hash) error {
		digest, m, err := s.image(ctx, digest, func(p v1.Platform) bool {
			return slices.Contains(names, p.OS) && slices.Contains(architectures, p.Architecture)
		})
		if err != nil {
			return fmt.Errorf("for %s: %w", platform, err)
		}
		g, err = s.guest(ctx, digest, m)
		return err
	})
	return g, err
}

// guest makes the files of a manifest, if they are not there.
func (s *source) guest(ctx context.Context, digest v1.Hash, m *v1.Manifest) (Guest, error) {
	config, err := s.config(ctx, m)
	if err != nil {
		return Guest{}, err
	}
	dir := filepath.Join(s.cache.Dir, "guests", digest.Hex)
	g := Guest{Kernel: filepath.Join(dir, "kernel"), Args: slices.Concat(config.Config.Entrypoint, config.Config.Cmd), Digest: digest.String()}
	if err := s.unpacked(ctx, m, dir); err != nil {
		return Guest{}, err
	}
	if initrd := filepath.Join(dir, "initrd"); exists(initrd) {
		g.Initrd = initrd
	}
	return g, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// unpacked makes the folder of a guest's files, unless it is there and its files are
// what was unpacked.
func (s *source) unpacked(ctx context.Context, m *v1.Manifest, dir string) error {
	if !exists(filepath.Join(dir, "kernel")) {
		return s.unpack(ctx, m, dir)
	}
	if s.cache.Offline { // Verify compares with the layers, and reports
		return nil
	}
	err := checkUnpacked(ctx, dir)
	if err == nil || ctx.Err() != nil {
		return err
	}
	s.cache.logf("%s: %v: unpacking it again", dir, err)
	return s.unpack(ctx, m, dir)
}

// sumsFile has the digests of a guest's files, by their names.
const sumsFile = "sha256.json"

// checkUnpacked holds a guest's files against their digests.
func checkUnpacked(ctx context.Context, dir string) error {
	text, err := readDocument(filepath.Join(dir, sumsFile), maxDocument)
	if err != nil {
		return err
	}
	var want map[string]string
	if err := json.Unmarshal(text, &want); err != nil {
		return err
	}
	got, err := sumsOf(ctx, dir)
	if err == nil && !maps.Equal(got, want) {
		err = fmt.Errorf("%w: its files are not those of the image", ErrDigest)
	}
	return err
}

// sumsOf are the digests of the files that a guest may have.
func sumsOf(ctx context.Context, dir string) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range []string{"kernel", "initrd"} {
		sum, _, err := regular.Digest(ctx, filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[name] = sum
	}
	return out, nil
}

// unpack takes kernel and initrd out of the layers, into a folder that gets its name
// when both are there.
func (s *source) unpack(ctx context.Context, m *v1.Manifest, dir string) error {
	temp := dir + ".new"
	if err := errors.Join(os.RemoveAll(temp), os.MkdirAll(temp, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	for _, layer := range m.Layers {
		blob, err := s.blob(ctx, layer)
		if err != nil {
			return err
		}
		if err := unpackLayer(ctx, blob, layer, temp); err != nil {
			return fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
	}
	if !exists(filepath.Join(temp, "kernel")) {
		return fmt.Errorf("no %s in its layers: it is no unikernel of Unikraft's kraft; a Linux container is for platform docker", kernelPath)
	}
	sums, err := sumsOf(ctx, temp)
	if err != nil {
		return err
	}
	text, err := json.Marshal(sums)
	if err != nil {
		return err
	}
	err = writeFile(filepath.Join(temp, sumsFile), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	return errors.Join(err, os.RemoveAll(dir), os.Rename(temp, dir))
}

// unpackLayer takes out of a layer what a guest needs.
func unpackLayer(ctx context.Context, blob string, layer v1.Descriptor, dir string) error {
	return guestFiles(ctx, blob, layer, func(name string, size int64, content io.Reader) error {
		return save(content, filepath.Join(dir, name), size)
	})
}

// guestFiles calls do for what a guest needs of a layer, as "kernel" or "initrd".
func guestFiles(ctx context.Context, blob string, layer v1.Descriptor, do func(name string, size int64, content io.Reader) error) error {
	f, err := regular.Open(blob)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := plain(regular.NewReader(ctx, f))
	if err != nil {
		return err
	}
	if string(layer.MediaType) == initrdMediaType && !isTar(r) { // older kraft: the file itself
		return do("initrd", maxFile, r)
	}
	return eachFile(r, func(name string, size int64, content io.Reader) error {
		switch name {
		case kernelPath:
			return do("kernel", size, content)
		case initrdPath:
			return do("initrd", size, content)
		}
		return nil
	})
}

// maxFile bounds a kernel or an initrd, in bytes, so that a small layer cannot fill
// the disk.
const maxFile = 4 << 30

// plain undoes gzip, which is told by its magic: not every media type says so.
func plain(f io.Reader) (*bufio.Reader, error) {
	r := bufio.NewReaderSize(f, 64<<10)
	if head, _ := r.Peek(2); !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return r, nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(z, 64<<10), nil
}

// isTar looks for POSIX's and GNU's magic (pax(1), "ustar Interchange Format").
func isTar(r *bufio.Reader) bool {
	head, _ := r.Peek(262)
	return len(head) == 262 && string(head[257:]) == "ustar"
}

// eachFile calls do for each regular file of a tar archive, with its absolute name.
func eachFile(r io.Reader, do func(name string, size int64, content io.Reader) error) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case h.Typeflag != tar.TypeReg:
			continue
		}
		if err := do(path.Clean("/"+h.Name), h.Size, t); err != nil {
			return err
		}
	}
}

// save writes content of at most size bytes.
func save(content io.Reader, path string, size int64) error {
	if size > maxFile {
		return fmt.Errorf("%s would have %d bytes, more than %d", filepath.Base(path), size, int64(maxFile))
	}
	return writeFile(path, func(w io.Writer) error {
		n, err := io.Copy(w, io.LimitReader(content, size+1))
		if err == nil && n > size {
			err = fmt.Errorf("%s has more than %d bytes", filepath.Base(path), size)
		}
		return err
	})
}
