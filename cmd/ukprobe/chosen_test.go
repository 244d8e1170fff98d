// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/only"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/results"
)

// TestAskedIsEnough: what is stored of a command line gives the options again, in
// another folder and after the matrix file is gone.
func TestAskedIsEnough(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("m.yaml", "version: 1\ncells:\n- {system: linux, app: [hello, nginx], platform: qemu1nic, initrd: i}\n")
	var first orchestrate.Options
	a := &cli.App{Name: "x", DisableSliceFlagSeparator: true, Flags: runFlags(), Action: func(c *cli.Context) (err error) {
		first, err = optionsWith(c, "quick.yaml")
		return err
	}}
	if err := a.Run([]string{"x", "--matrix", "m.yaml", "--only", "app=nginx,system=linux", "--set", "kernel=sub/k", "--set", "load={threads: 2, rate: 3}",
		"--samples", "7", "--warmup", "0", "--timeout", "9s", "--accel", "tcg", "--probes", "full", "--attach", "tp_btf", "--schema", "2", "--seed", "5", "--cache", "c"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove("m.yaml"); err != nil {
		t.Fatal(err)
	}
	t.Chdir("/")
	again, err := optionsOf(first.Asked, first.Seed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again, cmp.AllowUnexported(matrix.Matrix{}), cmp.Comparer(func(a, b only.Selector) bool { return a.String() == b.String() }),
		cmpopts.IgnoreFields(orchestrate.Options{}, "Matrix", "Set", "Images", "Out", "JournalDir", "StateDir", "Observer")); diff != "" {
		t.Errorf("(-first +again):\n%s", diff)
	}
	cells := func(o orchestrate.Options) []matrix.Cell {
		cells, err := o.Matrix.Expand()
		if err != nil {
			t.Fatal(err)
		}
		if cells, err = matrix.Select(cells, o.Only); err != nil {
			t.Fatal(err)
		}
		if err := matrix.Apply(o.Set, cells); err != nil {
			t.Fatal(err)
		}
		for i := range cells { // the file's name is now its whole path
			cells[i].Pos, cells[i].Initrd = "", filepath.Base(cells[i].Initrd)
		}
		return cells
	}
	got := cells(again)
	if diff := cmp.Diff(cells(first), got); diff != "" || len(got) != 1 || got[0].Kernel != filepath.Join(dir, "sub/k") {
		t.Errorf("cells: %+v (-first +again):\n%s", got, diff)
	}
}

// TestBuiltInByName: the built-in matrix comes first, and a file of that name is ./NAME.
func TestBuiltInByName(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("boot", []byte("version: 1\nname: mine\ncells: [{system: a, app: b, platform: c}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "quick", "quick": "quick", "boot": "boot", "full": "full", "./boot": "mine"} {
		m, err := loadMatrix(name, "quick.yaml")
		if err != nil || m.Name != want {
			t.Errorf("%q: %v, %v; want %s", name, m, err, want)
		}
	}
}

// TestResumeOfAnOlderRun: without what it was asked for there is nothing to go by.
func TestResumeOfAnOlderRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: run asks for it first")
	}
	dir := t.TempDir()
	s, err := results.Create(dir, results.Run{ID: "r", Version: "0.0.1"}, results.Host{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(results.RunInterrupted); err != nil {
		t.Fatal(err)
	}
	if _, text, status := ukprobe(t, "run", "--resume", dir); status != exitFailed || !strings.Contains(text, "an older ukprobe (0.0.1) wrote it") {
		t.Errorf("%d, %q", status, text)
	}
}
