// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
)

// TestWriteExt2 has e2fsprogs check the file system and tell what is in it: that is
// the tree, all of it root's, and the same bytes every time.
func TestWriteExt2(t *testing.T) {
	need(t, "mke2fs", "debugfs", "e2fsck")
	tr := sampleTree()
	tr.file("/lib/big file", bytes.Repeat([]byte("0123456789abcdef"), 1<<17), 0o644) // indirect blocks, a name with a blank
	var sums []string
	var disk string
	for i := range 2 {
		disk = filepath.Join(t.TempDir(), fmt.Sprint("disk", i))
		if err := tr.writeExt2(t.Context(), disk); err != nil {
			t.Fatal(err)
		}
		sum, size, err := cache.Digest(disk)
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(33<<20) + 1<<20 + 1<<19; size != want { // the tree's 2 MiB, a quarter, 32 MiB
			t.Errorf("%d bytes, want %d", size, want)
		}
		sums = append(sums, sum)
	}
	if sums[0] != sums[1] {
		t.Errorf("SHA-256 of the same tree: %v", sums)
	}
	if text, err := exec.Command("e2fsck", "-f", "-n", disk).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v: %s", err, text)
	}
	want := []string{
		"/40700/0/0/lost+found", "/40755/0/0/etc", "/40755/0/0/lib", "/40755/0/0/run", "/40755/0/0/usr",
		"/100640/0/0/empty", "/100644/0/0/big file", "/40755/0/0/bin", "/100755/0/0/tool",
	}
	if diff := cmp.Diff(want, listing(t, disk, "/", "/etc", "/lib", "/run", "/usr", "/usr/bin")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := debugfs(t, disk, `cat "/lib/big file"`); got != string(tr["/lib/big file"].data) {
		t.Errorf("the big file has %d bytes, or others", len(got))
	}
}

// listing is what the folders of a file system hold: type and permissions, user,
// group and name.
func listing(t *testing.T, disk string, folders ...string) []string {
	t.Helper()
	var out []string
	for _, folder := range folders {
		for line := range strings.Lines(debugfs(t, disk, "ls -p "+folder)) {
			// /INODE/MODE/UID/GID/NAME/SIZE/
			f := strings.Split(strings.TrimSpace(line), "/")
			if len(f) < 6 || f[5] == "." || f[5] == ".." || f[1] == "0" {
				continue
			}
			out = append(out, "/"+strings.TrimLeft(f[2], "0")+"/"+f[3]+"/"+f[4]+"/"+f[5])
		}
	}
	return out
}

func debugfs(t *testing.T, disk, command string) string {
	t.Helper()
	text, err := exec.Command("debugfs", "-R", command, disk).Output()
	if err != nil {
		t.Fatalf("debugfs -R %q: %v", command, err)
	}
	return string(text)
}

// TestWriteExt2Fails: what e2fsprogs says is in the error, and nothing is left.
func TestWriteExt2Fails(t *testing.T) {
	need(t, "mke2fs")
	dir := t.TempDir()
	err := sampleTree().writeExt2(t.Context(), filepath.Join(dir, "nowhere", "disk"))
	if got := errText(err); !strings.HasPrefix(got, "mke2fs: exit status 1: ") || !strings.Contains(got, "No such file or directory") {
		t.Errorf("error %q", got)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestPlainDisk: each app, its first process where a kernel looks for it, where the
// kernel puts its devices, and room.
func TestPlainDisk(t *testing.T) {
	need(t, "mke2fs", "debugfs", "e2fsck")
	for _, app := range Apps() {
		disk, err := treeBuilder(t).PlainDisk(t.Context(), app)
		if err != nil {
			t.Error(err)
			continue
		}
		if text, err := exec.Command("e2fsck", "-f", "-n", disk.Path).CombinedOutput(); err != nil {
			t.Errorf("%s: e2fsck: %v: %s", app, err, text)
		}
		r := apps[app]
		want := []string{"/40755/0/0/dev", "/100755/0/0/init", "/100755/0/0/" + path.Base(r.programs[0])}
		if r.proc {
			want = append(want, "/40755/0/0/proc")
		}
		got := strings.Join(listing(t, disk.Path, "/", "/sbin", path.Dir(r.programs[0])), "\n") + "\n"
		for _, w := range want {
			if !strings.Contains(got, w+"\n") {
				t.Errorf("%s: no %s in\n%s", app, w, got)
			}
		}
		if free := freeBytes(t, disk.Path); free < 30<<20 {
			t.Errorf("%s: %d bytes free of %d", app, free, disk.Size)
		}
		if disk.App != app || disk.Version == "" || disk.SHA256 == "" {
			t.Errorf("%+v", disk)
		}
	}
}

// freeBytes is the room in a file system of blocks of 4 KiB.
func freeBytes(t *testing.T, disk string) int64 {
	t.Helper()
	_, rest, _ := strings.Cut(debugfs(t, disk, "show_super_stats -h"), "Free blocks:")
	blocks, err := strconv.ParseInt(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return blocks * 4096
}
