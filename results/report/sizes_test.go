// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// TestSizes: the boots of images whose size was taken, by size; not those with another
// image, of several guests at once or with a cold cache, and none of another accelerator.
func TestSizes(t *testing.T) {
	cell := func(system, key, experiment, accel string, s results.Sample) results.Cell {
		c := results.Cell{System: system, App: "nginx", Platform: "qemu", Experiment: experiment, Accel: accel, Status: results.CellOK,
			Image: &results.Image{Key: key}, Settings: &results.Settings{}, Samples: []results.Sample{s}}
		c.Summary = c.Summarize()
		return c
	}
	size := func(files, unpacked float64) results.Sample {
		return results.Sample{Status: results.SampleOK, Values: map[string]float64{"file_bytes": files, "unpacked_bytes": unpacked}}
	}
	parallel, cold := cell("osv", "b", "boot", "kvm", boot(1, 1, 33_000)), cell("osv", "b", "boot", "kvm", boot(1, 1, 44_000))
	parallel.Settings.Parallel, cold.Settings.Cache = 8, "cold"
	cells := []results.Cell{
		cell("linux", "a", "image-size", "none", size(20<<20, 40<<20)), cell("osv", "b", "image-size", "none", size(7<<20, 8<<20)),
		cell("linux", "a", "boot", "kvm", boot(1000, 1000, 200_000)), cell("osv", "b", "boot", "kvm", boot(1000, 1000, 50_000)),
		cell("rump", "a", "boot", "kvm", boot(1000, 1000, 66_000)), cell("osv", "c", "boot", "kvm", boot(1000, 1000, 77_000)),
		cell("osv", "b", "boot", "tcg", boot(1000, 1000, 88_000)), parallel, cold,
	}
	var b strings.Builder
	Options{}.sizes(&b, &results.File{Cells: cells})
	const want = `
image size and boot, accelerator kvm
system app   platform    files unpacked   total   guest
────────────────────────────────────────────────────────
osv    nginx qemu     7.00 MiB 8.00 MiB 52.0 ms 50.0 ms
linux  nginx qemu     20.0 MiB 40.0 MiB  202 ms  200 ms
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s", got)
	}
	b.Reset()
	Options{}.sizes(&b, &results.File{Cells: cells[:3]})
	if b.Len() > 0 {
		t.Errorf("one row shows no relation:\n%s", b.String())
	}
	if err := Table(&b, &results.File{Cells: cells}, Options{}); err != nil || strings.Count(b.String(), "image size and boot") != 1 {
		t.Errorf("%v\n%s", err, b.String())
	}
}
