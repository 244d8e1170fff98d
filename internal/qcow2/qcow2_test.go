// SPDX-License-Identifier: Apache-2.0

package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// qemuImg runs qemu-img, which knows the format best.
func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("needs qemu-img: apt-get install qemu-utils")
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// content is a disk of a few clusters: noise, zeros, text, and an odd end.
func content() []byte {
	out := make([]byte, 1<<20+512*7)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(out[:150_000])
	copy(out[300_000:], strings.Repeat("the same again ", 20_000))
	_, _ = src.Read(out[1<<20:])
	return out
}

func open(t *testing.T, path string) *Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	m, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestReadAt reads what qemu-img has written, in all its forms.
func TestReadAt(t *testing.T) {
	want := content()
	raw := filepath.Join(t.TempDir(), "raw")
	if err := os.WriteFile(raw, want, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string][]string{
		"plain":          nil,
		"compressed":     {"-c"},
		"version 2":      {"-o", "compat=0.10"},
		"small clusters": {"-o", "cluster_size=512"},
		"big clusters":   {"-c", "-o", "cluster_size=2M"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			qemuImg(t, append(append([]string{"convert", "-O", "qcow2"}, args...), raw, path)...)
			m := open(t, path)
			if m.Size != int64(len(want)) {
				t.Fatalf("size %d, want %d", m.Size, len(want))
			}
			got, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %d bytes, error %v; the content is the same: %v", len(got), err, bytes.Equal(got, want))
			}
			odd := make([]byte, 100_001)
			if _, err := m.ReadAt(odd, 99_999); err != nil || !bytes.Equal(odd, want[99_999:200_000]) {
				t.Errorf("a read across clusters differs, error %v", err)
			}
			if n, err := m.ReadAt(odd, m.Size-5); n != 5 || !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %d bytes, error %v", n, err)
			}
		})
	}
}

func TestUnknownFeatures(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "base.qcow2")
	tests := map[string]struct {
		args []string
		want string
	}{
		"backing file": {[]string{"create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2"}, ErrOtherFile.Error()},
		"data file":    {[]string{"create", "-q", "-f", "qcow2", "-o", "data_file=" + filepath.Join(dir, "data")}, "external data file"},
		"zstd":         {[]string{"create", "-q", "-f", "qcow2", "-o", "compression_type=zstd"}, "features that are not known"},
		"extended L2":  {[]string{"create", "-q", "-f", "qcow2", "-o", "extended_l2=on"}, "features that are not known"},
	}
	qemuImg(t, "create", "-q", "-f", "qcow2", base, "1M")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			qemuImg(t, append(tt.args, path, "1M")...)
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := Open(f); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestOverlay has qemu-img check an overlay and read the disk through it.
func TestOverlay(t *testing.T) {
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			want := content()
			raw, base, over, flat := filepath.Join(dir, "raw"), filepath.Join(dir, "base, with a comma"), filepath.Join(dir, "over.qcow2"), filepath.Join(dir, "flat")
			if err := os.WriteFile(raw, want, 0o600); err != nil {
				t.Fatal(err)
			}
			qemuImg(t, "convert", "-f", "raw", "-O", format, raw, base)
			before, err := os.ReadFile(base)
			if err != nil {
				t.Fatal(err)
			}
			start := []byte("a command line of its own\x00")
			image, err := Overlay(base, format, int64(len(want)), start)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(over, image, 0o600); err != nil {
				t.Fatal(err)
			}
			qemuImg(t, "check", "-q", over)
			qemuImg(t, "convert", "-O", "raw", over, flat)
			got, err := os.ReadFile(flat)
			if err != nil {
				t.Fatal(err)
			}
			clear(want[:OverlaySize])
			copy(want, start)
			if !bytes.Equal(got, want) {
				t.Error("the disk seen through the overlay is not the changed one")
			}
			if after, err := os.ReadFile(base); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the backing file has changed, or cannot be read (%v)", err)
			}
		})
	}
}

func TestOverlayRefuses(t *testing.T) {
	for name, make := range map[string]func() ([]byte, error){
		"too much of its own": func() ([]byte, error) { return Overlay("/x", "raw", 1<<20, make([]byte, OverlaySize+1)) },
		"no backing file":     func() ([]byte, error) { return Overlay("", "raw", 1<<20, nil) },
		"a path too long":     func() ([]byte, error) { return Overlay(strings.Repeat("x", 1024), "raw", 1<<20, nil) },
		"no size":             func() ([]byte, error) { return Overlay("/x", "raw", 0, nil) },
		"too large":           func() ([]byte, error) { return Overlay("/x", "raw", 5<<40, nil) },
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzReadAt: no file makes it panic or read for long.
func FuzzReadAt(f *testing.F) {
	overlay, err := Overlay("/base", "raw", 1<<20, []byte("start"))
	if err != nil {
		f.Fatal(err)
	}
	binary.BigEndian.PutUint64(overlay[8:], 0) // without the backing file it can be read
	f.Add(overlay[:clusterData<<overlayBits+16], int64(0))
	small := bytes.Clone(overlay[:headerSize])
	binary.BigEndian.PutUint32(small[20:], minClusterBits)
	f.Add(small, int64(12345))
	f.Fuzz(func(t *testing.T, file []byte, off int64) {
		m, err := Open(bytes.NewReader(file))
		if err != nil {
			return
		}
		p := make([]byte, 70_000)
		n, err := m.ReadAt(p, off)
		if n < len(p) && err == nil {
			t.Errorf("%d of %d bytes and no error", n, len(p))
		}
	})
}
