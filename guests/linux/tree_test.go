// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/google/go-cmp/cmp"
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

func TestPackRefusesDevices(t *testing.T) {
	tr := sampleTree()
	tr.device("/dev/null", 1, 3)
	if got, want := errText(tr.pack(io.Discard)), "/dev/null: a Dc--------- cannot be packed"; got != want {
		t.Errorf("error %q, want %q", got, want)
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
