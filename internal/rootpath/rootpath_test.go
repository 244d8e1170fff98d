// SPDX-License-Identifier: Apache-2.0

package rootpath

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"lib", "lib64"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "lib/libz.so.1.2"), []byte("z"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"lib/libz.so.1":  "libz.so.1.2",
		"lib64/absolute": "/lib/libz.so.1",
		"lib64/above":    "../../../../lib/libz.so.1",
		"lib/loop":       "loop",
		"lib/dangling":   "/etc/hostname",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ name, want, wantErr string }{
		{"/lib/libz.so.1.2", "/lib/libz.so.1.2", ""},
		{"/lib/libz.so.1", "/lib/libz.so.1.2", ""},
		{"/lib64/absolute", "/lib/libz.so.1.2", ""},
		{"/lib64/above", "/lib/libz.so.1.2", ""},
		{"/lib/loop", "", "too many links"},
		{"/lib/dangling", "", "no such file or directory"}, // not the host's
		{"/lib", "", "is neither a file nor a link"},
	}
	for _, tt := range tests {
		got, err := Resolve(root, tt.name)
		if got != "" {
			got = got[len(root):]
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != tt.want || !strings.HasSuffix(text, tt.wantErr) || (err == nil) != (tt.wantErr == "") {
			t.Errorf("%s: %q, %q; want %q, %q", tt.name, got, text, tt.want, tt.wantErr)
		}
	}
}
