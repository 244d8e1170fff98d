// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/results"
)

// TestEnviron: what was in the environment is there again when the run goes on, in another
// folder too; another program is refused.
func TestEnviron(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	set := func(firecracker, jailer, temp string) {
		t.Setenv(platform.EnvFirecracker, firecracker)
		t.Setenv(platform.EnvJailer, jailer)
		t.Setenv(tempDir, temp)
	}
	set("./fc", "jailer-1", "tmp")
	var a results.Asked
	if err := askEnviron(&a); err != nil {
		t.Fatal(err)
	}
	want := results.Asked{Firecracker: filepath.Join(dir, "fc"), Jailer: "jailer-1", TempDir: filepath.Join(dir, "tmp")}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	t.Chdir("/")
	set("", "", "/elsewhere")
	if err := restoreEnviron(a); err != nil {
		t.Fatal(err)
	}
	for name, value := range environ(&want) {
		if got := os.Getenv(name); got != *value {
			t.Errorf("%s is %q, want %q", name, got, *value)
		}
	}
	for _, name := range []string{platform.EnvFirecracker, platform.EnvJailer} {
		set("", "", "")
		t.Setenv(name, "/another")
		if err := restoreEnviron(a); err == nil || !strings.Contains(err.Error(), "leave "+name+" out") {
			t.Errorf("another %s: %v", name, err)
		}
	}
	set("", "", "/elsewhere")
	if err := restoreEnviron(results.Asked{}); err != nil {
		t.Fatal(err)
	}
	if _, there := os.LookupEnv(tempDir); there {
		t.Error("TMPDIR is set, and was not then")
	}
}
