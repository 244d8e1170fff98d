// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/shell"
	"github.com/ukprobe/ukprobe/results"
)

// launch is how the guests of one or several cells were started: all that it takes to do
// so again.
type launch struct {
	cells  []string // their names
	image  string   // files, and what the kernel says of itself
	vmm    string   // firmware
	argv   string   // as a shell takes it
	system string
	kernel string
}

// launches are those of the cells that were measured, the same one once.
func launches(f *results.File) []launch {
	var out []launch
	for i := range f.Cells {
		c := &f.Cells[i]
		if len(c.Samples) == 0 || len(c.Argv) == 0 {
			continue
		}
		l := launch{image: imageWords(c.Image), vmm: c.Firmware, argv: shell.Join(c.Argv), system: c.System, kernel: kernelWords(c)}
		at := slices.IndexFunc(out, func(o launch) bool {
			return o.image == l.image && o.vmm == l.vmm && o.argv == l.argv && o.system == l.system
		})
		if at < 0 {
			at = len(out)
			out = append(out, l)
		}
		out[at].cells = append(out[at].cells, c.Name())
	}
	return out
}

// words name the cells, of many the first ones.
func (l launch) words() string {
	const most = 4
	if n := len(l.cells) - most; n > 1 {
		return fmt.Sprintf("%s; and %d more cells", strings.Join(l.cells[:most], "; "), n)
	}
	return strings.Join(l.cells, "; ")
}

// launchTable has a row for each.
func launchTable(f *results.File) figureTable {
	t := figureTable{Name: "How guests were started", Head: []string{"cells", "image", "firmware", "command line"}}
	for _, l := range launches(f) {
		t.Rows = append(t.Rows, []string{l.words(), l.image, orDash(l.vmm), l.argv})
	}
	return t
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// imageWords name an image's files, each with the beginning of its checksum.
func imageWords(m *results.Image) string {
	if m == nil {
		return "–"
	}
	file := func(kind, name, sum string) string {
		if kind != "" {
			kind += " "
		}
		return fmt.Sprintf("%s%s (SHA-256 %s…)", kind, path.Base(name), sum[:min(12, len(sum))])
	}
	var out []string
	for _, f := range m.Files {
		out = append(out, file(f.Kind, f.Path, f.SHA256))
	}
	if len(out) == 0 {
		out = append(out, file("", m.Path, m.SHA256))
	}
	if m.KernelVersion != "" {
		out = append(out, "its kernel: "+m.KernelVersion)
	}
	return strings.Join(out, "; ")
}

// kernelWords are what a cell's guest runs as its kernel: what that says of itself, or else
// its file's name; "" if it runs none of its own, or nobody says which file it is.
func kernelWords(c *results.Cell) string {
	m := c.Image
	switch {
	case m == nil || c.Platform == "process" || c.Platform == "docker":
		return ""
	case m.KernelVersion != "":
		version, _, _ := strings.Cut(m.KernelVersion, " ")
		return "Linux " + version
	}
	for _, f := range m.Files {
		if f.Kind == "kernel" {
			return path.Base(f.Path)
		}
	}
	return path.Base(m.Path)
}

// guestKernels are the kernels that the guests of each system ran.
func guestKernels(f *results.File) string {
	of := map[string][]string{}
	for _, l := range launches(f) {
		if l.kernel != "" && !slices.Contains(of[l.system], l.kernel) {
			of[l.system] = append(of[l.system], l.kernel)
		}
	}
	var out []string
	for _, system := range slices.Sorted(maps.Keys(of)) {
		out = append(out, display(system)+": "+strings.Join(of[system], ", "))
	}
	return strings.Join(out, "; ")
}

// programVersions are those of the programs that a run has used.
func programVersions(f *results.File) []fact {
	var out []fact
	for _, v := range sortedFacts(f.Host.Versions) {
		out = append(out, fact{"version of " + v.Name, v.Text})
	}
	return out
}

// methodFacts are what a reader of tables alone has to know of how a run was made.
func methodFacts(f *results.File) []fact {
	out := programVersions(f)
	if k := guestKernels(f); k != "" {
		out = append(out, fact{"kernels of the guests", k})
	}
	return out
}
