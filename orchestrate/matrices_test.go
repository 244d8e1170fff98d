// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/matrices"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

func builtIn(t *testing.T, name string) string {
	t.Helper()
	text, err := matrices.FS.ReadFile(name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestBuiltInMatrices: each can be run as it is, apart from images and programs.
func TestBuiltInMatrices(t *testing.T) {
	for _, name := range matrices.Names() {
		m, err := matrix.Parse(name, []byte(builtIn(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		if m.Name != name {
			t.Errorf("%s is named %s", name, m.Name)
		}
		if err := (&Options{Matrix: m}).Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !slices.Contains(matrices.Names(), strings.TrimSuffix(matrices.Default, ".yaml")) {
		t.Errorf("the default %s is none of %v", matrices.Default, matrices.Names())
	}
}

// rowsAndColumns is a table of the evaluation: each row has a cell for each column, on at
// least one platform, or on each of those that are columns.
type rowsAndColumns struct {
	title, experiment string
	systems, apps     []string
	platforms         []string // columns; else any
}

var (
	virtual = []string{"firecracker", "qemu", "qemu1nic", "qemumicrovm"}
	four    = []string{"hello", "nginx", "redis", "sqlite"}
	six     = append(slices.Clone(four), "memcached", "mysql")
)

// evaluation are the tables that the first user wants, with their rows and columns.
var evaluation = []rowsAndColumns{
	{"1 image size", matrix.ImageSize, []string{"mirageos", "osv", "hermitux", "lupine", "unikraft", "docker", "linux", "process"}, four, nil},
	{"2 boot time", matrix.Boot, []string{"mirageos", "osv", "hermitux", "lupine", "unikraft", "rump", "linux"}, six, virtual},
	{"2 boot time, at home", matrix.Boot, []string{"mirageos"}, six, []string{"solo5-hvt", "solo5-spt", "solo5-virtio"}},
	{"2 boot time, at home", matrix.Boot, []string{"hermitux"}, six, []string{"uhyve"}},
	{"2 boot time, no VM", matrix.Boot, []string{"docker", "process"}, six, nil},
	{"3 memory", matrix.MemoryMin, []string{"osv", "hermitux", "lupine", "unikraft", "docker", "linux", "rump", "process"}, append(slices.Clone(four), "memcached"), nil},
	{"3 memory in use", matrix.MemoryUse, []string{"osv", "hermitux", "lupine", "unikraft", "docker", "linux", "rump"}, four, nil},
	{"3 how many", matrix.Density, []string{"osv", "hermitux", "lupine", "unikraft", "docker", "linux", "rump"}, four, nil},
	{"4 throughput", matrix.Throughput, []string{"osv", "hermitux", "lupine", "unikraft", "docker", "linux", "rump", "process"}, []string{"redis", "nginx", "memcached", "sqlite", "mysql"}, nil},
	{"5 HTTP", matrix.HTTP, []string{"osv", "lupine", "unikraft", "docker", "linux", "rump", "process"}, []string{"nginx"}, nil},
	{"5 DNS", matrix.DNS, []string{"lupine", "docker", "linux", "process"}, []string{"dnsmasq"}, nil},
	{"5 file systems", matrix.FileSystem, []string{"osv", "lupine", "unikraft", "linux", "rump"}, []string{"fio"}, nil},
	{"5 randomised addresses", matrix.ASLR, []string{"mirageos", "osv", "hermitux", "lupine", "unikraft", "linux", "rump"}, []string{"hello"}, nil},
}

// TestFullIsTheWholeEvaluation: every row and column of every table is in full, and of
// the boot table in boot.
func TestFullIsTheWholeEvaluation(t *testing.T) {
	full := expanded(t, builtIn(t, "full"))
	boot := expanded(t, builtIn(t, "boot"))
	for _, table := range evaluation {
		for _, s := range table.systems {
			for _, a := range table.apps {
				for _, p := range orAny(table.platforms) {
					want := func(c matrix.Cell) bool {
						return c.System == s && c.App == a && c.Experiment == table.experiment && (p == "" || c.Platform == p)
					}
					if !slices.ContainsFunc(full, want) {
						t.Errorf("full, table %s: no %s %s %s", table.title, s, a, p)
					}
					if table.experiment == matrix.Boot && !slices.ContainsFunc(boot, want) {
						t.Errorf("boot, table %s: no %s %s %s", table.title, s, a, p)
					}
				}
			}
		}
	}
	untimed := []string{matrix.ImageSize, matrix.MemoryMin, matrix.Density, matrix.ASLR}
	for _, c := range full {
		if want := map[bool]int{true: 0, false: 3}[slices.Contains(untimed, c.Experiment)]; c.Interference.Repeat != want {
			t.Errorf("%s: disturbed samples are repeated %d times, want %d", c.ID(), c.Interference.Repeat, want)
		}
		if c.VCPUs != 1 || c.MemoryMiB != 512 && c.Experiment != matrix.Density {
			t.Errorf("%s: %+v: want one vCPU and 512 MiB", c.ID(), c.Settings)
		}
	}
}

func expanded(t *testing.T, text string) []matrix.Cell {
	t.Helper()
	m, err := matrix.Parse("m.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	cells, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	return cells
}

func orAny(list []string) []string {
	if list == nil {
		return []string{""}
	}
	return list
}
