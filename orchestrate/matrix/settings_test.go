// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestExperimentSettings: what the keys of the experiments become, and parallel as a
// dimension of its own.
func TestExperimentSettings(t *testing.T) {
	m, err := Parse("m.yaml", []byte(`version: 1
defaults:
  load: {connections: 5, warmup: 0}
cells:
- system: a
  app: x
  platform: p
  experiment: [boot, throughput]
  parallel: [1, 8]
  cache: cold
  tap: keep
  until: {within_percent: 5}
  load: {duration: 1m, rate: 100, pipeline: 2, block_bytes: [512, 4096]}
  memory_search: {from_mib: 2, to_mib: 64, step_mib: 2, confirm: 5}
  density: {ram_mib: 512, at_most: 9}
  scratch: {size_mib: 8, cache: none, iops: 50, bytes_per_second: 1000000}
`))
	if err != nil {
		t.Fatal(err)
	}
	cells, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range cells {
		ids = append(ids, c.ID())
	}
	if diff := cmp.Diff([]string{
		"a/x/p/boot/cache=cold/tap=keep", "a/x/p/boot/parallel=8/cache=cold/tap=keep",
		"a/x/p/throughput/cache=cold/tap=keep", "a/x/p/throughput/parallel=8/cache=cold/tap=keep",
	}, ids); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	want := DefaultSettings()
	want.Probes = ProbesFull // of throughput, if nothing is said
	want.Parallel, want.Cache, want.Tap, want.Until = 8, CacheCold, TapKeep, Until{WithinPercent: 5, AtMost: 100}
	want.Load = Workload{Duration: time.Minute, Connections: 5, Threads: 1, Pipeline: 2, Rate: 100, ValueBytes: 3, BlockBytes: []int{512, 4096}}
	want.Scratch = ScratchDisk{SizeMiB: 8, Cache: ScratchNone, IOPS: 50, BytesPerSecond: 1000000}
	want.MemorySearch, want.Density = MemorySearch{FromMiB: 2, ToMiB: 64, StepMiB: 2, Confirm: 5}, DensityLimit{RAMMiB: 512, AtMost: 9}
	if diff := cmp.Diff(want, cells[3].Settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestBadExperimentSettings(t *testing.T) {
	for line, want := range map[string]string{
		"load: {duration: 0}":                       "duration has no unit",
		"load: {connections: 0}":                    "connections 0 is not between 1 and",
		"load: {conections: 1}":                     `did you mean "connections"?`,
		"tap: kept":                                 "keep",
		"load: {block_bytes: []}":                   "block_bytes lists 0 sizes",
		"load: {block_bytes: [512, 512]}":           "block_bytes 512 is already in the list",
		"load: {block_bytes: 1000}":                 "block_bytes 1000: not a multiple of 512",
		"scratch: {cache: writethrough}":            "writethrough",
		"parallel: []":                              "parallel is an empty list",
		"parallel: [2, 2]":                          "parallel 2 is already in the list",
		"parallel: 0":                               "parallel 0 is not between 1 and",
		"until: {at_most: 10}":                      "until has no within_percent",
		"until: {within_percent: 5, at_most: 2}":    "at_most 2 is not between 6 and",
		"until: {within_percent: 5, at_most: 6}":    "until.at_most 6 is less than samples 10",
		"until: never":                              `until "never" is neither off nor`,
		"timeout_learnt: 5s":                        "timeout_learnt is true or false",
		"memory_search: {from_mib: 64, to_mib: 64}": "holds no sizes",
		"cache: hot":                                "cache",
		"density: {at_most: 251}":                   "at_most 251 is not between 1 and 250",
		"density: {ram_mib: 0}":                     "ram_mib 0 is not between",
	} {
		_, err := Parse("m.yaml", []byte("version: 1\ncells:\n- system: a\n  app: x\n  platform: p\n  "+line+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// TestProbesOfExperiments: what explains its figures has all probes, unless the file
// says otherwise.
func TestProbesOfExperiments(t *testing.T) {
	for _, tt := range []struct {
		name, defaults, cell string
		want                 map[string]string
	}{
		{"nothing said", "", "", map[string]string{Boot: ProbesBoot, Throughput: ProbesFull, HTTP: ProbesFull}},
		{"in the defaults", "probes: boot", "", map[string]string{Boot: ProbesBoot, Throughput: ProbesBoot, HTTP: ProbesBoot}},
		{"in the cell", "", "probes: none", map[string]string{Boot: ProbesNone, Throughput: ProbesNone, HTTP: ProbesNone}},
		{"in both", "probes: none", "probes: boot", map[string]string{Boot: ProbesBoot, Throughput: ProbesBoot, HTTP: ProbesBoot}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Parse("m.yaml", []byte("version: 1\ndefaults: {samples: 1, "+tt.defaults+"}\ncells:\n- {system: a, app: x, platform: p, experiment: [boot, throughput, http], "+tt.cell+"}\n"))
			if err != nil {
				t.Fatal(err)
			}
			cells, err := m.Expand()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, c := range cells {
				got[c.Experiment] = c.Probes
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestUntilOff: a cell may do without the rule of the defaults, and has as many samples
// at most as its own rule says.
func TestUntilOff(t *testing.T) {
	m, err := Parse("m.yaml", []byte(`version: 1
defaults: {samples: 7, until: {within_percent: 3, at_most: 50}, timeout_learnt: true}
cells:
- {system: a, app: x, platform: p}
- {system: a, app: y, platform: p, until: off}
- {system: a, app: z, platform: p, until: {within_percent: 9}, timeout_learnt: false}
- {system: a, app: w, platform: p, until: {at_most: 9}}
`))
	if err != nil {
		t.Fatal(err)
	}
	cells, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		until  Until
		most   int
		learnt bool
	}{{Until{3, 50}, 50, true}, {Until{}, 7, true}, {Until{9, 50}, 50, false}, {Until{3, 9}, 9, true}} {
		if c := cells[i]; c.Until != want.until || c.MostSamples() != want.most || c.TimeoutLearnt != want.learnt {
			t.Errorf("cell %d: %+v, %d samples, learnt %v; want %+v", i, c.Until, c.MostSamples(), c.TimeoutLearnt, want)
		}
	}
}
