// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/guests/lupine"
	"github.com/ukprobe/ukprobe/matrices"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/watch"
)

// values are what flags take, by their names: the words, or a function of what is typed,
// and what else the shell may offer. A flag that is not here takes what nobody can list.
var values = map[string]struct {
	words func(typed string) []string
	also  string
}{
	"accel":       {these(matrix.AccelAuto, matrix.AccelKVM, matrix.AccelTCG), alsoNothing},
	"attach":      {rungs, alsoNothing},
	"cache":       {nil, alsoDirs},
	"catalogue":   {nil, alsoFiles},
	"dir":         {nil, alsoDirs},
	"into":        {nil, alsoDirs},
	"journal-dir": {nil, alsoDirs},
	"matrix":      {these(matrices.Names()...), alsoFiles},
	"across":      {these("rung", "accel", "host"), alsoNothing},
	"by":          {these("system", "platform", "host", "version"), alsoNothing},
	"correct":     {these("holm", "bh", "none"), alsoNothing},
	"fail-on":     {these("regression", "difference"), alsoNothing},
	"format":      {these(reportFormats...), alsoNothing},
	"only":        {selectorWords, alsoNothing},
	"out":         {nil, alsoDirs},
	"push-config": {nil, alsoFiles},

	// Where a command's is another one's than the others':
	"compare format": {these(compareFormats...), alsoNothing},
	"report out":     {nil, alsoFiles},
	"export out":     {nil, alsoFiles},
	"platform":       {these(platformNames()...), alsoNothing},
	"probes":         {these(matrix.ProbesLevels...), alsoNothing},
	"qemu":           {nil, alsoFiles},
	"resume":         {nil, alsoDirs},
	"schema":         {these(schemas()...), alsoNothing},
	"set":            {settingWords, alsoNothing},
	"sort":           {these(sorts()...), alsoNothing},
	"state-dir":      {nil, alsoDirs},
	"web-config":     {nil, alsoFiles},
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

func rungs(string) []string {
	return []string{string(probe.Auto), string(probe.Kprobe), string(probe.Fentry), string(probe.TPBTF), string(probe.RawTP), string(probe.Tracepoint)}
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
		for _, k := range matrix.SelectorKeys() {
			if !strings.Contains(","+before, ","+k+"=") {
				out = append(out, before+k+"=")
			}
		}
		return out
	}
	head := before + key + "="
	if i := strings.LastIndexByte(list, '|'); i >= 0 {
		head += list[:i+1]
	}
	known := map[string]func() []string{"system": systemNames, "app": appNames, "platform": platformNames, "experiment": orchestrate.Experiments}[key]
	if known == nil {
		return nil
	}
	for _, v := range known() {
		out = append(out, head+v)
	}
	return out
}

// settingValues are the values of settings that are words.
var settingValues = map[string][]string{
	"accel": {matrix.AccelAuto, matrix.AccelKVM, matrix.AccelTCG}, "address": {matrix.AddressStatic, matrix.AddressDHCP},
	"cache": {matrix.CacheAsIs, matrix.CacheWarm, matrix.CacheCold}, "interference": {matrix.SettingOff},
	"cpu.aslr": {"full", "partial", matrix.SettingOff}, "cpu.irqs": {matrix.IRQsAway}, "cpu.ksm": {"on", matrix.SettingOff}, "cpu.smt": {"on", matrix.SettingOff},
	"cpu.thp": {"always", "madvise", "never"}, "cpu.turbo": {"on", matrix.SettingOff}, "probes": matrix.ProbesLevels,
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
			return plain([]string{"bash", "fish", "zsh"}), alsoNothing
		}
	case a.Name + " help", a.Name + " man":
		if len(at.arguments) == 0 {
			return commandWords(a.Commands), alsoNothing
		}
	case a.Name + " image build":
		return plain(toBuild(at.arguments)), alsoNothing
	case a.Name + " image inspect":
		return nil, alsoFiles
	case a.Name + " report", a.Name + " compare":
		return nil, alsoDirs
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
