// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/guests/lupine"
	"github.com/ukprobe/ukprobe/internal/only"
	"github.com/ukprobe/ukprobe/matrices"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results/compare"
	"github.com/ukprobe/ukprobe/watch"
)

// values are what flags take, by their names: the words, or a function of what is typed,
// and what else the shell may offer. A flag that is not here takes what nobody can list.
var values = map[string]struct {
	words func(typed string) []string
	also  string
}{
	"accel":       {these(accels...), alsoNothing},
	"attach":      {these(probe.RungWords()...), alsoNothing},
	"cache":       {nil, alsoDirs},
	"catalogue":   {nil, alsoFiles},
	"dir":         {nil, alsoDirs},
	"into":        {nil, alsoDirs},
	"journal-dir": {nil, alsoDirs},
	"matrix":      {these(matrices.Names()...), alsoFiles},
	"across":      {these(compare.AcrossValues...), alsoNothing},
	"by":          {these(compare.Axes...), alsoNothing},
	"correct":     {these(compare.Corrections...), alsoNothing},
	"fail-on":     {these(failOnValues...), alsoNothing},
	"format":      {these(reportFormats...), alsoNothing},
	"only":        {selectorWords, alsoNothing},
	"out":         {nil, alsoDirs},
	"push-config": {nil, alsoFiles},

	// Where a command's is another one's than the others':
	"compare format":  {these(compareFormats...), alsoNothing},
	"overhead attach": {these(probe.RungWords()[1:]...), alsoNothing}, // auto it measures in any case
	"report out":      {nil, alsoFiles},
	"export out":      {nil, alsoFiles},
	"platform":        {these(platformNames()...), alsoNothing},
	"probes":          {these(matrix.ProbesLevels...), alsoNothing},
	"qemu":            {nil, alsoFiles},
	"resume":          {nil, alsoDirs},
	"schema":          {these(schemas()...), alsoNothing},
	"set":             {settingWords, alsoNothing},
	"sort":            {these(sorts()...), alsoNothing},
	"state-dir":       {nil, alsoDirs},
	"web-config":      {nil, alsoFiles},
}

// valuesOf are the values of a flag.
func valuesOf(path string, f cli.Flag, typed string) (found []candidate, also string) {
	_, command, _ := strings.Cut(path, " ")
	v, ok := values[command+" "+f.Names()[0]]
	if !ok {
		v, ok = values[f.Names()[0]]
	}
	if !ok || v.words == nil {
		return nil, max(v.also, alsoNothing)
	}
	return plain(v.words(typed)), v.also
}

func plain(words []string) []candidate {
	out := make([]candidate, len(words))
	for i, w := range words {
		out[i].word = w
	}
	return out
}

func these(words ...string) func(string) []string {
	return func(string) []string { return slices.Clone(words) }
}

func schemas() []string {
	var out []string
	for n := probe.MinSchema; n <= probe.MaxSchema; n++ {
		out = append(out, fmt.Sprint(n))
	}
	return out
}

func sorts() []string {
	var out []string
	for _, s := range watch.Sorts {
		out = append(out, string(s))
	}
	return out
}

func platformNames() []string {
	var out []string
	for _, p := range platform.All() {
		out = append(out, p.Name())
	}
	return out
}

func systemNames() []string {
	var out []string
	for _, s := range system.All(system.Env{}) {
		out = append(out, s.Name())
	}
	return out
}

// appNames are those of all systems.
func appNames() []string {
	var out []string
	for _, s := range system.All(system.Env{}) {
		out = append(out, s.Apps()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// selectorWords completes a selector: a key, or one of its values.
func selectorWords(typed string) []string {
	before, part := "", typed
	if i := strings.LastIndexByte(typed, ','); i >= 0 {
		before, part = typed[:i+1], typed[i+1:]
	}
	key, list, found := strings.Cut(part, "=")
	var out []string
	if !found {
		for _, k := range only.Keys {
			word := string(k) + "="
			if !strings.Contains(","+before, ","+word) {
				out = append(out, before+word)
			}
		}
		return out
	}
	head := before + key + "="
	if i := strings.LastIndexByte(list, '|'); i >= 0 {
		head += list[:i+1]
	}
	if known := selectorValues[only.Key(key)]; known != nil {
		for _, v := range known() {
			out = append(out, head+v)
		}
	}
	return out
}

// selectorValues are the values of a selector's keys that can be listed.
var selectorValues = map[only.Key]func() []string{
	only.System: systemNames, only.App: appNames, only.Platform: platformNames, only.Experiment: orchestrate.Experiments,
	only.Accel:  func() []string { return slices.Clone(accels) },
	only.Probes: func() []string { return slices.Clone(matrix.ProbesLevels) },
}

// accels are what a cell can ask for.
var accels = []string{matrix.AccelAuto, matrix.AccelKVM, matrix.AccelTCG}

// settingValues are the values of settings that are words.
var settingValues = map[string][]string{
	"accel": accels, "address": {matrix.AddressStatic, matrix.AddressDHCP},
	"cache": {matrix.CacheAsIs, matrix.CacheWarm, matrix.CacheCold}, "interference": {matrix.SettingOff},
	"cpu.aslr": matrix.ASLRWords, "cpu.irqs": {matrix.IRQsAway}, "cpu.ksm": matrix.OnOff, "cpu.smt": matrix.OnOff,
	"cpu.thp": matrix.THPWords, "cpu.turbo": matrix.OnOff, "probes": matrix.ProbesLevels,
	"scratch.cache": {matrix.ScratchWriteback, matrix.ScratchNone}, "tap": {matrix.TapNew, matrix.TapKeep},
	"timeout_learnt": {"true", "false"}, "until": {matrix.SettingOff}, "vhost": {"true", "false"},
}

// settingWords completes KEY=VALUE.
func settingWords(typed string) []string {
	key, _, found := strings.Cut(typed, "=")
	var out []string
	if found {
		for _, v := range settingValues[key] {
			out = append(out, key+"="+v)
		}
		return out
	}
	for _, k := range matrix.SettingKeys() {
		out = append(out, k+"=")
	}
	return out
}

// argumentsOf are what a command takes.
func argumentsOf(a *cli.App, at position) (found []candidate, also string) {
	switch at.path {
	case a.Name + " systems":
		return plain(without(systemNames(), at.arguments)), alsoNothing
	case a.Name + " completion":
		if len(at.arguments) == 0 {
			return plain(slices.Sorted(maps.Keys(scripts))), alsoNothing
		}
	case a.Name + " help", a.Name + " man":
		if len(at.arguments) == 0 {
			return commandWords(a.Commands), alsoNothing
		}
	case a.Name + " image build":
		return plain(toBuild(at.arguments)), alsoNothing
	case a.Name + " image inspect":
		return nil, alsoFiles
	case a.Name + " report", a.Name + " compare", a.Name + " runs":
		return nil, alsoDirs
	case a.Name + " export":
		if len(at.arguments) == 0 {
			return nil, alsoDirs
		}
	case a.Name + " import":
		return nil, alsoFiles
	}
	return nil, alsoNothing
}

func without(words, gone []string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return slices.Contains(gone, w) })
}

// toBuild are the arguments of `image build`: a system first, then its apps.
func toBuild(given []string) []string {
	apps := linux.Apps()
	if len(given) == 0 {
		for name := range builders {
			apps = append(apps, name)
		}
		slices.Sort(apps)
		return apps
	}
	if given[0] == "lupine" {
		apps = append(lupine.Apps(), lupine.General)
	}
	return without(apps, given)
}
