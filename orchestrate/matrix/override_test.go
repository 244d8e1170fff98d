// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const overridden = `version: 1
defaults: {interference: {at_most_percent: 2}, until: {within_percent: 4}}
cells:
- {system: a, app: x, platform: p, load: {duration: 1m, rate: 9}, memory_search: {to_mib: 64}}
- {system: a, app: y, platform: p, kernel: vmlinux, parallel: [1, 4], until: off}
- {system: b, app: x, platform: p, accel: kvm}
- {system: b, app: x, platform: p, accel: tcg}
`

// override applies settings of the command line, given in /here, to the cells above.
func override(t *testing.T, settings ...string) ([]Cell, error) {
	t.Helper()
	m, err := Parse("m.yaml", []byte(overridden))
	if err != nil {
		t.Fatal(err)
	}
	cells, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	var overrides []Override
	for _, s := range settings {
		o, err := ParseOverride(s, "/here")
		if err != nil {
			return nil, err
		}
		overrides = append(overrides, o)
	}
	return cells, Apply(overrides, cells)
}

// TestOverride: each sets what it names in every cell, and leaves everything else.
func TestOverride(t *testing.T) {
	latency := 5 * time.Microsecond
	for name, tt := range map[string]struct {
		settings []string
		change   func(c *Cell)
	}{
		"nothing":           {nil, func(*Cell) {}},
		"a number":          {[]string{"samples=5"}, func(c *Cell) { c.Samples = 5 }},
		"blanks":            {[]string{" warmup = 3 "}, func(c *Cell) { c.Warmup = 3 }},
		"nested":            {[]string{"load.duration=5s"}, func(c *Cell) { c.Load.Duration = 5 * time.Second }},
		"several of one":    {[]string{"load.duration=5s", "load.threads=2"}, func(c *Cell) { c.Load.Duration, c.Load.Threads = 5*time.Second, 2 }},
		"a mapping":         {[]string{"memory_search={from_mib: 2, step_mib: 4}"}, func(c *Cell) { c.MemorySearch.FromMiB, c.MemorySearch.StepMiB = 2, 4 }},
		"of the rest":       {[]string{"interference.repeat=3"}, func(c *Cell) { c.Interference.Repeat = 3 }},
		"off":               {[]string{"interference=off"}, func(c *Cell) { c.Interference = Interference{Off: true} }},
		"a CPU":             {[]string{"cpu.vcpu=3"}, func(c *Cell) { c.CPU.VCPU = []int{3} }},
		"CPUs":              {[]string{"cpu.client=[4, 5]"}, func(c *Cell) { c.CPU.Client = []int{4, 5} }},
		"the host":          {[]string{"cpu.cstates=5us", "cpu.governor=performance"}, func(c *Cell) { c.CPU.Host = HostSettings{CStates: &latency, Governor: "performance"} }},
		"a path":            {[]string{"kernel=images/k"}, func(c *Cell) { c.Kernel = "/here/images/k" }},
		"an absolute path":  {[]string{"disk=/d/e"}, func(c *Cell) { c.Disk = "/d/e" }},
		"text with signs":   {[]string{"args='a=1, b: #2'"}, func(c *Cell) { c.Args = "a=1, b: #2" }},
		"a regexp":          {[]string{`ready=^up$`}, func(c *Cell) { c.Ready = "^up$" }},
		"no stopping rule":  {[]string{"until=off"}, func(c *Cell) { c.Until = Until{} }},
		"another rule":      {[]string{"until.within_percent=9"}, func(c *Cell) { c.Until = Until{9, 100} }},
		"the last one wins": {[]string{"load={rate: 1, threads: 3}", "load.rate=2"}, func(c *Cell) { c.Load.Rate, c.Load.Threads = 2, 3 }},
		"together no error": {[]string{"memory_search.from_mib=100", "memory_search.to_mib=200"}, func(c *Cell) { c.MemorySearch.FromMiB, c.MemorySearch.ToMiB = 100, 200 }},
		"a truth value":     {[]string{"timeout_learnt=true"}, func(c *Cell) { c.TimeoutLearnt = true }},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := override(t)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				tt.change(&want[i])
			}
			got, err := override(t, tt.settings...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestBadOverride(t *testing.T) {
	for setting, want := range map[string]string{
		"samples":              `"samples" is not of the form key=value: write for example load.duration=5s`,
		"=5":                   `"" is not a key of the matrix file`,
		"load.=5":              `"load." is not a key`,
		"Samples=5":            `"Samples" is not a key`,
		"samples=":             `"samples=": samples has no value`,
		"samples=5\nwarmup: 3": "the value has more than one line",
		"sampels=5":            `unknown key "sampels" in the settings of a cell; did you mean "samples"?`,
		"load.durations=5s":    `unknown key "durations" in load; did you mean "duration"?`,
		"load=5":               "load is a mapping (key: value), not a number",
		"samples.x=5":          "samples is a whole number, not a mapping",
		"samples=010":          `samples "010" is not a plain decimal number`,
		"samples=0":            "samples 0 is not between 1 and",
		"timeout=5":            "timeout has no unit: write 5s for seconds",
		"probes=all":           `probes "all" is none of boot, full, none`,
		"cpu.turbo=maybe":      `turbo "maybe" is none of on, off`,
		"args=a: b":            `"args=a: b": `,
		"args=*x":              "anchors, aliases and merge keys are not part of a setting: write it out",
		"load={duration: 5s":   `"load={duration: 5s": `,
		"app=nginx":            "app is no setting: --only chooses cells",
		"experiment=boot":      "experiment is no setting",
		"cells=[]":             `unknown key "cells"`,
		"version=1":            `unknown key "version"`,
		"claims=[]":            "claims stand in the matrix file only",
		"parallel=[1, 2]":      "parallel is one number here: a list makes cells",
		"parallel=2":           "m.yaml:5:3 and m.yaml:5:3 ask for the same cell a/y/p/boot/parallel=2",
		"accel=kvm":            "m.yaml:6:3 and m.yaml:7:3 ask for the same cell b/x/p/boot: choose one with --only",
	} {
		_, err := override(t, setting)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "--set:") {
			t.Errorf("%s: %v, want %q", setting, err, want)
		}
	}
}

// TestBoundOfARule: a rule and its bound may be given in either order, the bound alone is
// for the cells that have a rule, and there has to be one.
func TestBoundOfARule(t *testing.T) {
	const none = "no cell has a stopping rule that it could bound: give one too, such as until.within_percent=5"
	off, usual := Until{}, Until{4, 100}
	for name, tt := range map[string]struct {
		settings []string
		want     []Until // of the first entry, of the second, which has until: off, and of the third
		err      string
	}{
		"nothing":                    {nil, []Until{usual, off, usual}, ""},
		"a bound":                    {[]string{"until.at_most=50"}, []Until{{4, 50}, off, {4, 50}}, ""},
		"a bound in a mapping":       {[]string{"until={at_most: 50}"}, []Until{{4, 50}, off, {4, 50}}, ""},
		"the bound first":            {[]string{"until.at_most=50", "until.within_percent=9"}, []Until{{9, 50}, {9, 50}, {9, 50}}, ""},
		"the rule first":             {[]string{"until.within_percent=9", "until.at_most=50"}, []Until{{9, 50}, {9, 50}, {9, 50}}, ""},
		"the rule as a mapping":      {[]string{"until.at_most=50", "until={within_percent: 9}"}, []Until{{9, 50}, {9, 50}, {9, 50}}, ""},
		"a rule alone":               {[]string{"until.within_percent=9"}, []Until{{9, 100}, {9, 100}, {9, 100}}, ""},
		"no rule left":               {[]string{"until=off", "until.at_most=50"}, nil, `"until.at_most=50": ` + none},
		"no rule left, in a mapping": {[]string{"until=off", "until={at_most: 50}"}, nil, `"until={at_most: 50}": ` + none},
		"too low":                    {[]string{"until.at_most=5", "until.within_percent=9"}, nil, "at_most 5 is not between 6 and"},
	} {
		t.Run(name, func(t *testing.T) {
			cells, err := override(t, tt.settings...)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("%v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, []Until{cells[0].Until, cells[1].Until, cells[3].Until}); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// FuzzOverride: what cannot be read is an error, and what can sets something readable.
func FuzzOverride(f *testing.F) {
	for _, s := range []string{"samples=5", "load.duration=5s", "memory_search={from_mib: 2}", "a.b.c=[1, {x: y}]", "args='x'", "cpu.vcpu=[1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ParseOverride(text, "/here")
		if err != nil {
			return
		}
		cells := []Cell{{System: "a", App: "x", Platform: "p", Experiment: "boot", Settings: DefaultSettings()}}
		if err := Apply([]Override{o}, cells); err == nil && (cells[0].Samples < 1 || cells[0].Samples > MaxSamples || cells[0].Timeout <= 0) {
			t.Errorf("%q is taken: %+v", text, cells[0])
		}
	})
}
