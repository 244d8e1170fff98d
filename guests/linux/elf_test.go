// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const nginxPath = "/usr/sbin/nginx"

// TestLibrariesAreTheLoaders compares the libraries found in the files with
// those that the loader itself lists, inside the root folder.
func TestLibrariesAreTheLoaders(t *testing.T) {
	root := process(t, "nginx")
	got, err := libraries(root.Dir, nginxPath)
	if err != nil {
		t.Fatal(err)
	}
	const loader = "/lib64/ld-linux-x86-64.so.2"
	cmd := &exec.Cmd{
		Path: loader, Args: []string{loader, "--list", nginxPath}, Dir: "/",
		SysProcAttr: &syscall.SysProcAttr{Chroot: root.Dir},
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	want := []string{loader}
	for _, m := range regexp.MustCompile(`=> (/\S+)`).FindAllStringSubmatch(string(out), -1) {
		want = append(want, m[1])
	}
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
		t.Errorf("-loader +libraries:\n%s", diff)
	}
}

func TestStaticProgramNeedsNoLibraries(t *testing.T) {
	root := process(t, "hello")
	got, err := libraries(root.Dir, busyboxPath)
	if err != nil || len(got) != 0 {
		t.Errorf("libraries of a static program: %v, %v", got, err)
	}
}

func TestLibraryMissing(t *testing.T) {
	full := process(t, "nginx")
	bare := t.TempDir()
	data, err := os.ReadFile(filepath.Join(full.Dir, nginxPath))
	if err != nil {
		t.Fatal(err)
	}
	tr := tree{}
	tr.file(nginxPath, data, 0o755)
	if err := tr.writeInto(bare); err != nil {
		t.Fatal(err)
	}
	_, err = libraries(bare, nginxPath)
	const want = "/usr/sbin/nginx needs /lib64/ld-linux-x86-64.so.2: it is in none of the recipe's packages"
	if !strings.HasPrefix(errText(err), want) {
		t.Errorf("error %q, want %q…", errText(err), want)
	}
}
