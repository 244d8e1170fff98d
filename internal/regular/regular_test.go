// SPDX-License-Identifier: Apache-2.0

package regular

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestOpen: what is not a file is refused at once, a pipe without a writer too.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, file, "x")
	for path, want := range map[string]error{file: nil, fifo: ErrNotRegular, dir: ErrNotRegular, "/dev/null": ErrNotRegular, filepath.Join(dir, "none"): os.ErrNotExist} {
		begun := time.Now()
		f, err := Open(path)
		if !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), path) || time.Since(begun) > 5*time.Second {
			t.Errorf("%s: %v after %v, want %v", path, err, time.Since(begun), want)
		}
		if err == nil {
			_ = f.Close()
		}
	}
}

// TestDigest: of sha256sum; the same file is read once, another of the same size is not
// taken for it.
func TestDigest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "abc") // FIPS 180-2's example
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	sum, stamp, err := Digest(t.Context(), path)
	if err != nil || sum != abc || stamp.Size != 3 {
		t.Fatalf("%s, %+v, %v", sum, stamp, err)
	}
	if _, ok := known.Load(stamp); ok {
		t.Error("a file that was just written is remembered: a change in the same tick would not show")
	}
	time.Sleep(settled + 100*time.Millisecond)
	if _, stamp, err = Digest(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if _, ok := known.Load(stamp); !ok {
		t.Error("the digest is not remembered")
	}
	write(t, path, "xyz")
	if other, _, err := Digest(t.Context(), path); err != nil || other == abc {
		t.Errorf("after a change: %s, %v", other, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Digest(ctx, path); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), path) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestStamp(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "f"), filepath.Join(dir, "g")
	write(t, path, "abc")
	_, stamp, err := Digest(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func() error
		want string
	}{
		{"nothing", func() error { return nil }, ""},
		{"a new link", func() error { return os.Link(path, other) }, ""},
		{"touched", func() error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) }, "was written to"},
		{"longer", func() error { return os.WriteFile(path, []byte("abcd"), 0o644) }, "it had 3 bytes and has 4"},
		{"replaced", func() error { write(t, other+"2", "abc"); return os.Rename(other+"2", path) }, "replaced by another file"},
		{"gone", func() error { return os.Remove(path) }, "no such file"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		err := stamp.Check()
		if (err == nil) != (step.want == "") || err != nil && (!strings.Contains(err.Error(), step.want) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%s: %v, want %q", step.name, err, step.want)
		}
	}
}
