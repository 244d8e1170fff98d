// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// inside fails if anything was made beside the folder that archives are unpacked into.
func inside(t *testing.T, unpack func(tree *tree)) {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "root")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tree, err := openTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	unpack(tree)
	if err := tree.root.Close(); err != nil {
		t.Fatal(err)
	}
	beside, err := os.ReadDir(top)
	if err != nil || len(beside) != 1 {
		t.Errorf("%v was made beside it, %v", beside, err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !d.Type().IsRegular() && d.Type() != fs.ModeSymlink {
			t.Errorf("%s is a %v", path, d.Type())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func FuzzInitramfs(f *testing.F) {
	t := &testing.T{}
	f.Add(cpioOf(t, entry{name: "a/"}, entry{name: "a/b", data: "x"}, entry{name: "c", link: "/a"}, entry{name: "../d", data: "1"}))
	f.Add(gzipped(cpioOf(t, entry{name: "a", inode: 3}, entry{name: "b", data: "1", inode: 3})))
	f.Fuzz(func(t *testing.T, data []byte) {
		inside(t, func(tree *tree) { _, _ = tree.initramfs(bufio.NewReader(bytes.NewReader(data))) })
	})
}

func FuzzLayer(f *testing.F) {
	t := &testing.T{}
	f.Add(tarOf(t, entry{name: "a/"}, entry{name: "a/b", data: "x"}, entry{name: "c", link: "../../a"}, entry{name: "c/d", data: "1"}, entry{name: ".wh.a"}, entry{name: "e", link: "a/b", inode: 1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		inside(t, func(tree *tree) { _ = tree.layer(bytes.NewReader(data)) })
	})
}
