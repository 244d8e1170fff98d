// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func needApt(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("downloads packages: not under -short")
	}
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing", tool)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestDownloadAndUnpack(t *testing.T) {
	ctx := needApt(t)
	f := &Fetcher{Dir: t.TempDir(), Logf: t.Logf}
	pkgs, err := f.Download(ctx, "hello")
	if err != nil {
		t.Fatal(err)
	}
	p := pkgs[0]
	if p.Name != "hello" || p.Version == "" || len(p.SHA256) != 64 {
		t.Errorf("unexpected package %+v", p)
	}
	before, err := os.Stat(p.Path)
	if err != nil {
		t.Fatal(err)
	}

	dest := filepath.Join(t.TempDir(), "root")
	if err := Unpack(ctx, p, dest); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dest, "usr/bin/hello")); err != nil {
		t.Error(err)
	}

	again, err := f.Download(ctx, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pkgs, again); diff != "" {
		t.Errorf("second download (-first +second):\n%s", diff)
	}
	after, err := os.Stat(p.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the cached .deb was fetched again")
	}

	// A damaged .deb must not be used.
	if err := os.WriteFile(p.Path, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	repaired, err := f.Download(ctx, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pkgs, repaired); diff != "" {
		t.Errorf("after damage (-want +got):\n%s", diff)
	}
}

// TestOffline empties apt's view of the archive: only the cache is left.
func TestOffline(t *testing.T) {
	ctx := needApt(t)
	f := &Fetcher{Dir: t.TempDir(), Logf: t.Logf}
	want, err := f.Download(ctx, "hello")
	if err != nil {
		t.Fatal(err)
	}
	a, err := newApt(f.Dir, "", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	a.set("Dir::State::lists", t.TempDir())
	a.updated = true // no network
	_, cause := a.candidates(ctx, []string{"hello"})
	if cause == nil {
		t.Fatal("candidates without lists: no error")
	}
	got, err := a.cachedOnly(ctx, []string{"hello"}, cause)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("offline (-online +offline):\n%s", diff)
	}
	if _, err := a.cachedOnly(ctx, []string{"cowsay"}, cause); err == nil {
		t.Error("a package that was never downloaded: no error offline")
	}
}

func TestConcreteAndClosureOwn(t *testing.T) {
	ctx := needApt(t)
	f := &Fetcher{Dir: t.TempDir(), Logf: t.Logf}
	kernel, err := f.Concrete(ctx, "linux-image-amd64")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^linux-image-[1-9][0-9.]+.*-amd64$`).MatchString(kernel) {
		t.Errorf("linux-image-amd64 is %q", kernel)
	}
	closure, err := f.Closure(ctx, "hello")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hello", "libc6", "libgcc-s1"} {
		if !slices.Contains(closure, want) {
			t.Errorf("%s missing in the closure of hello: %v", want, closure)
		}
	}
	if slices.Contains(closure, "hello-traditional") {
		t.Errorf("too much in the closure of hello: %v", closure)
	}
}

func TestForeignSuite(t *testing.T) {
	ctx := needApt(t)
	f := &Fetcher{Dir: t.TempDir(), Suite: "bookworm-backports", Logf: t.Logf}
	kernel, err := f.Concrete(ctx, "linux-image-amd64")
	if err != nil {
		t.Fatal(err)
	}
	// 6.1 is bookworm's own.
	if !regexp.MustCompile(`^linux-image-6\.([2-9]|[1-9][0-9]).*-amd64$`).MatchString(kernel) {
		t.Errorf("linux-image-amd64 of bookworm-backports is %q", kernel)
	}
}

func TestUnknownPackage(t *testing.T) {
	ctx := needApt(t)
	a, err := newApt(t.TempDir(), "", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	a.updated = true // the lists are not at fault
	for _, name := range []string{"ukprobe-no-such-package", "--help", "Upper", "a"} {
		if _, err := a.candidates(ctx, []string{"hello", name}); err == nil {
			t.Errorf("candidates(%q): no error", name)
		}
	}
}

func TestPinnedDependency(t *testing.T) {
	tests := map[string]string{
		"linux-image-6.1.0-56-amd64 (= 6.1.192-2)\n": "linux-image-6.1.0-56-amd64",
		"libfoo:amd64 (= 1)":                         "libfoo",
		"libc6 (>= 2.34)":                            "",
		"a (= 1), b (= 1)":                           "",
		"a (= 1) | b (= 1)":                          "",
		"a":                                          "",
		"":                                           "",
	}
	for in, want := range tests {
		if got := pinnedDependency(in); got != want {
			t.Errorf("pinnedDependency(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseInst(t *testing.T) {
	out := "NOTE: a simulation\nInst libc6 (2.36 Debian:12 [amd64]) []\nInst gcc-12-base (12 Debian:12 [amd64])\nConf libc6 (2.36)\n"
	if diff := cmp.Diff([]string{"gcc-12-base", "libc6"}, parseInst([]byte(out))); diff != "" {
		t.Error(diff)
	}
}
