// SPDX-License-Identifier: Apache-2.0

package pagecache

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// onDisk is a folder for files that can be cold, and one in memory.
func onDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := Coolable(dir); err != nil {
		t.Skipf("the folder for temporary files: %v: set TMPDIR to one on a disk", err)
	}
	return dir
}

func put(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o644); err != nil {
		t.Fatal(err)
	}
}

func of(t *testing.T, paths ...string) Set {
	t.Helper()
	s, err := Of(paths)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestWarmAndCool: files that were just written go, come back, and an odd size counts to
// the byte.
func TestWarmAndCool(t *testing.T) {
	dir := onDisk(t)
	put(t, filepath.Join(dir, "tree/kernel"), 3<<20+5)
	put(t, filepath.Join(dir, "tree/below/initrd"), 100_000)
	put(t, filepath.Join(dir, "tree/empty"), 0)
	put(t, filepath.Join(dir, "other"), 1<<20)
	if err := os.Link(filepath.Join(dir, "tree/kernel"), filepath.Join(dir, "tree/link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "tree/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, other := of(t, filepath.Join(dir, "tree")), of(t, filepath.Join(dir, "other"))
	const size = 3<<20 + 5 + 100_000
	steps := []struct {
		name string
		do   func(context.Context) (State, error)
		want State
	}{{"written", s.Look, State{size, size}}, {"cool", s.Cool, State{size, 0}}, {"looked at", s.Look, State{size, 0}}, {"warm", s.Warm, State{size, size}}}
	for _, step := range steps {
		got, err := step.do(t.Context())
		if err != nil || got != step.want {
			t.Fatalf("%s: %+v, %v; want %+v", step.name, got, err, step.want)
		}
	}
	if got, err := other.Look(t.Context()); err != nil || got.Resident != 1<<20 {
		t.Errorf("another file: %+v, %v", got, err)
	}
}

// TestHolders: what is mapped and touched stays, and who has it is said.
func TestHolders(t *testing.T) {
	path := filepath.Join(onDisk(t), "mapped")
	put(t, path, 8*os.Getpagesize())
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 8*os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	s := of(t, path)
	left, err := s.Cool(t.Context())
	if err != nil || left.Resident == 0 {
		t.Fatalf("%+v, %v", left, err)
	}
	if who := strings.Join(s.Holders(), ", "); !strings.Contains(who, "pagecache.test (pid ") {
		t.Errorf("held by %q", who)
	}
}

func TestNothing(t *testing.T) {
	if _, err := Of([]string{filepath.Join(t.TempDir(), "missing")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if p := (State{}).Percent(); p != 100 {
		t.Errorf("of nothing %v %% are in memory", p)
	}
	if p := (State{Bytes: 8, Resident: 2}).Percent(); p != 25 {
		t.Errorf("%v %%", p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "f")
	put(t, path, 1)
	if _, err := of(t, path).Warm(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after an interrupt: %v", err)
	}
}

func TestCoolable(t *testing.T) {
	const shm = "/dev/shm"
	if _, err := os.Stat(shm); err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	if err := Coolable(shm); !errors.Is(err, ErrInMemory) || !strings.Contains(err.Error(), "tmpfs") {
		t.Errorf("%s: %v", shm, err)
	}
}
