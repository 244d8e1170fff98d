// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func sampleTree() tree {
	t := tree{}
	t.file("/usr/bin/tool", []byte("tool"), 0o755)
	t.file("/etc/empty", nil, 0o640)
	t.folder("/run")
	return t
}

func TestPack(t *testing.T) {
	type entry struct {
		Name, Data string
		Mode       cpio.FileMode
		Uid, Gid   int
		Time       int64
	}
	const folder = cpio.TypeDir | 0o755
	want := []entry{
		{Name: "etc", Mode: folder},
		{Name: "etc/empty", Mode: cpio.TypeReg | 0o640},
		{Name: "run", Mode: folder},
		{Name: "usr", Mode: folder},
		{Name: "usr/bin", Mode: folder},
		{Name: "usr/bin/tool", Mode: cpio.TypeReg | 0o755, Data: "tool"},
	}
	var archive bytes.Buffer
	if err := sampleTree().pack(&archive); err != nil {
		t.Fatal(err)
	}
	var got []entry
	for r := cpio.NewReader(&archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, entry{h.Name, string(data), h.Mode, h.Uid, h.Guid, h.ModTime.Unix()})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPackRefusesLinks(t *testing.T) {
	tr := sampleTree()
	tr["/etc/link"] = node{mode: fs.ModeSymlink | 0o777}
	if got, want := errText(tr.pack(io.Discard)), "/etc/link: a L--------- cannot be packed"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

// TestPackDevices has another program, busybox, unpack an archive with device
// nodes and files.
func TestPackDevices(t *testing.T) {
	needRoot(t)
	need(t, "busybox")
	tr := sampleTree()
	tr.device("/dev/null", 1, 3)
	tr.device("/dev/net/tun", 10, 200)
	tr.file("/dev/README", []byte("text"), 0o644)
	var archive bytes.Buffer
	if err := tr.pack(&archive); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	unpack := exec.Command("busybox", "cpio", "-i", "-d")
	unpack.Dir, unpack.Stdin = dir, &archive
	if text, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for name, want := range map[string]uint64{"dev/null": unix.Mkdev(1, 3), "dev/net/tun": unix.Mkdev(10, 200)} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, name), &st); err != nil {
			t.Fatal(err)
		}
		if st.Rdev != want || st.Mode&unix.S_IFMT != unix.S_IFCHR {
			t.Errorf("%s: mode %o, device %#x, want a character device %#x", name, st.Mode, st.Rdev, want)
		}
	}
	for name, want := range map[string]string{"dev/README": "text", "usr/bin/tool": "tool"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestWriteTo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	tr := sampleTree()
	if err := tr.writeTo(dir); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		got[path[len(dir):]] = info.Mode().String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/etc": "drwxr-xr-x", "/etc/empty": "-rw-r-----", "/run": "drwxr-xr-x",
		"/usr": "drwxr-xr-x", "/usr/bin": "drwxr-xr-x", "/usr/bin/tool": "-rwxr-xr-x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if data, err := os.ReadFile(dir + "/usr/bin/tool"); string(data) != "tool" || tr.size() != int64(len(data)) {
		t.Errorf("the file holds %q (%v); the tree's size is %d", data, err, tr.size())
	}
}
