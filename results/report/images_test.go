// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/results"
)

// TestImages: each image once, with its version and how it was built; what a catalogue
// should say and does not is said to be not known.
func TestImages(t *testing.T) {
	cell := func(system, app, experiment string, m *results.Image) results.Cell {
		return results.Cell{System: system, App: app, Platform: "qemu", Experiment: experiment, Accel: "kvm", Status: results.CellOK, Image: m,
			Samples: []results.Sample{boot(1, 1, 1)}}
	}
	lto := &results.Image{Name: "nginx-lto", Version: "1.22", Built: map[string]string{"allocator": "tlsf", "scheduler": "coop", "optimisations": "DCE+LTO", "from": "unikraft 0.16\x1b[31m"}}
	flags := &results.Image{Name: "nginx", Built: map[string]string{"flags": "-O2"}}
	notRun := cell("osv", "redis", "boot", lto)
	notRun.Samples = nil
	cells := []results.Cell{
		cell("linux", "nginx", "boot", &results.Image{Version: "1.22.1-9"}), cell("linux", "nginx", "throughput", &results.Image{Version: "1.22.1-9"}),
		cell("unikraft", "nginx", "boot", lto), cell("unikraft", "nginx", "image-size", lto), cell("unikraft", "nginx", "boot", flags),
		cell("reference", "hello", "boot", &results.Image{Path: "/img"}), cell("process", "hello", "boot", nil), notRun,
		cell("osv", "hello", "boot", &results.Image{Name: "osv-hello"}),
	}
	want := []string{
		"Images:",
		"  linux nginx: version 1.22.1-9",
		"  unikraft nginx (nginx-lto): version 1.22; allocator tlsf; scheduler coop; optimisations DCE+LTO; from unikraft 0.16",
		"  unikraft nginx (nginx): flags -O2; not known: version, allocator, scheduler",
		"  osv hello (osv-hello): not known: version, allocator, scheduler, optimisations",
	}
	if diff := cmp.Diff(want, Options{Width: 1000}.images(cells)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var b strings.Builder
	if err := Table(&b, &results.File{Cells: cells}, Options{Width: 60}); err != nil {
		t.Fatal(err)
	}
	if text := "\nImages:\n  linux nginx: version 1.22.1-9\n  unikraft nginx (nginx-lto): version 1.22; allocator\n    tlsf;"; !strings.Contains(b.String(), text) {
		t.Errorf("no %q in\n%s", text, b.String())
	}
	if got := (Options{}).images(cells[5:8]); got != nil {
		t.Errorf("%q of images of which nothing is known", got)
	}
}
