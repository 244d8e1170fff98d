// SPDX-License-Identifier: Apache-2.0

package extfs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mke2fs makes a file system of a folder's content.
func mke2fs(t testing.TB, dir, size string, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("mke2fs")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/mke2fs"); err != nil {
			t.Skip("no mke2fs: apt-get install e2fsprogs")
		}
	}
	image := filepath.Join(t.TempDir(), "image")
	args = append(append([]string{"-q", "-F"}, args...), "-d", dir, image, size)
	if said, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, said)
	}
	return image
}

// filled is a folder of files of all sizes that a block map tells apart, and the sum of
// each by its name.
func filled(t testing.TB) (dir string, sums map[string]string) {
	t.Helper()
	dir, sums = t.TempDir(), map[string]string{}
	source := rand.NewChaCha8([32]byte{1})
	for name, size := range map[string]int{"empty": 0, "small": 10, "a/direct": 12 * 1024, "a/one": 100 << 10, "a/b/two": 20 << 20, "a/b/odd": 1<<20 + 7} {
		data := make([]byte, size)
		_, _ = source.Read(data)
		write(t, filepath.Join(dir, name), data)
		sums["/"+name] = sum(data)
	}
	for n := range 300 { // a hashed folder
		name := fmt.Sprintf("many/file-with-a-name-%d", n)
		write(t, filepath.Join(dir, name), []byte(name))
		sums["/"+name] = sum([]byte(name))
	}
	hole := append(append([]byte("x"), make([]byte, 1<<20)...), 'y')
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err == nil {
		_, err = f.WriteAt([]byte("x"), 0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte("y"), int64(len(hole)-1))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	sums["/sparse"] = sum(hole)
	for link, target := range map[string]string{"short": "/a/one", "long": strings.Repeat("d/", 100)} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		sums["/"+link] = "-> " + target
	}
	if err := os.Link(filepath.Join(dir, "small"), filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	sums["/again"] = sums["/small"]
	return dir, sums
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err = errors.Join(err, os.WriteFile(name, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

func sum(data []byte) string { return fmt.Sprintf("%d %x", len(data), sha256.Sum256(data)) }

func TestWalk(t *testing.T) {
	dir, want := filled(t)
	for name, args := range map[string][]string{
		"ext2":              {"-t", "ext2", "-b", "1024"},
		"ext2 of ukprobe's": {"-t", "ext2", "-b", "4096", "-I", "128", "-O", "none,filetype,sparse_super,large_file"},
		"ext3":              {"-t", "ext3", "-b", "2048"},
		"ext4":              {"-t", "ext4", "-b", "4096"},
		"ext4, 64bit":       {"-t", "ext4", "-b", "1024", "-O", "64bit"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(mke2fs(t, dir, "64M", args...))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			e, err := Open(f, 64<<20)
			if err != nil {
				t.Fatal(err)
			}
			if e.Size() != 64<<20 || e.Used() < 21<<20 || e.Used() > 48<<20 {
				t.Errorf("%d bytes, %d in use", e.Size(), e.Used())
			}
			got, inodes := map[string]string{}, map[string]uint64{}
			err = e.Walk(func(e Entry) error {
				inodes[e.Name] = e.Inode
				switch e.Mode {
				case fs.ModeSymlink:
					got[e.Name] = "-> " + e.Target
				case 0:
					data, err := io.ReadAll(e.Content)
					got[e.Name] = sum(data)
					return err
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if inodes["/small"] != inodes["/again"] || inodes["/small"] == inodes["/empty"] {
				t.Errorf("two names of one file: %v", inodes["/small"])
			}
		})
	}
}

func TestOpenOthers(t *testing.T) {
	dir := t.TempDir()
	image := mke2fs(t, dir, "64M", "-t", "ext4", "-O", "inline_data")
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"short":       {make([]byte, 2000), ErrNone},
		"zeros":       {make([]byte, 4096), ErrNone},
		"inline data": {data, ErrUnknown},
	} {
		if _, err := Open(bytes.NewReader(tt.data), int64(len(tt.data))); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if _, err := Open(bytes.NewReader(data[:1<<20]), 1<<20); !errors.Is(err, errDamaged) {
		t.Errorf("cut: %v", err)
	}
	clear(data[1120:1124]) // of its features
	cut, err := Open(bytes.NewReader(data[:5000]), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := cut.Walk(func(Entry) error { return nil }); !errors.Is(err, errDamaged) {
		t.Errorf("cut below its size: %v", err)
	}
}

// No image makes it go on for ever, or read beyond what there is.
func FuzzWalk(f *testing.F) {
	dir := f.TempDir()
	write(f, filepath.Join(dir, "a/b"), bytes.Repeat([]byte("x"), 15000))
	if err := os.Symlink("b", filepath.Join(dir, "a/c")); err != nil {
		f.Fatal(err)
	}
	for _, kind := range []string{"ext2", "ext4"} {
		image, err := os.ReadFile(mke2fs(f, dir, "80k", "-t", kind, "-b", "1024", "-N", "16", "-O", "^has_journal,^resize_inode"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(image)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		entries, bytes := 0, int64(0)
		_ = e.Walk(func(e Entry) error {
			if entries++; entries > 1000 || bytes > 10<<20 {
				return errors.New("enough")
			}
			if e.Content != nil {
				n, err := io.Copy(io.Discard, io.LimitReader(e.Content, 1<<20))
				bytes += n
				return err
			}
			return nil
		})
	})
}
