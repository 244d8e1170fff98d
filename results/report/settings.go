// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// likeCells are cells of several runs that are about the same.
func likeCells(cells []sourced) [][]sourced {
	key := func(c sourced) string {
		return strings.Join([]string{c.System, c.App, c.Platform, experimentOf(c.Cell), c.Variant().String(), c.Accel, csvProbes(c.Cell)}, "\x00")
	}
	at := map[string]int{}
	var out [][]sourced
	for _, c := range cells {
		if len(c.Samples) == 0 {
			continue
		}
		k := key(c)
		i, has := at[k]
		if !has {
			i = len(out)
			at[k], out = i, append(out, nil)
		}
		out[i] = append(out[i], c)
	}
	return slices.DeleteFunc(out, func(like []sourced) bool { return len(like) < 2 })
}

// settingsDiffer says of each cell that several runs have which settings that its figures
// depend on ([results.Cell.FigureSettings]) are not the same in all of them.
func settingsDiffer(like []sourced) string {
	has := make([]map[string]string, len(like))
	all := map[string]bool{}
	for i, c := range like {
		has[i] = c.FigureSettings()
		for name := range has[i] {
			all[name] = true
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var values []string
		runs := map[string][]string{}
		for i, c := range like {
			v := settingText(has[i][name])
			if v == "" {
				v = "nothing"
			}
			if runs[v] == nil {
				values = append(values, v)
			}
			runs[v] = append(runs[v], c.run)
		}
		if len(values) < 2 {
			continue
		}
		for i, v := range values {
			values[i] = v + " in " + strings.Join(runs[v], " and ")
		}
		out = append(out, name+" "+strings.Join(values, ", "))
	}
	if len(out) == 0 {
		return ""
	}
	return settingsWords + strings.Join(out, "; ")
}

const settingsWords = "settings differ: "

// settingText is a setting's value without the quotes that it has as JSON.
func settingText(v string) string {
	if text, ok := strings.CutPrefix(v, `"`); ok && !strings.Contains(v, `\`) {
		return strings.TrimSuffix(text, `"`)
	}
	return v
}

// noteSettings marks the cells whose settings differ between runs, and returns a warning for
// each way in which they do.
func noteSettings(cells []sourced) []string {
	of := map[*results.Cell]string{}
	count := map[string]int{}
	var texts []string
	for _, like := range likeCells(cells) {
		text := settingsDiffer(like)
		if text == "" {
			continue
		}
		if count[text]++; count[text] == 1 {
			texts = append(texts, text)
		}
		for _, c := range like {
			of[c.Cell] = text
		}
	}
	for i := range cells {
		cells[i].differs = of[cells[i].Cell]
	}
	for i, text := range texts {
		texts[i] = fmt.Sprintf("Settings differ between the runs, of %s: %s.", counted(count[text], "cell"), strings.TrimPrefix(text, settingsWords))
	}
	return texts
}

// versionsDiffer says which programs the runs had in different versions.
func versionsDiffer(sources []Source) []string {
	var out []string
	for i := range sources[min(1, len(sources)):] {
		a, b := sources[0], sources[i+1]
		for _, name := range slices.Sorted(maps.Keys(a.File.Host.Versions)) {
			if was, is := a.File.Host.Versions[name], b.File.Host.Versions[name]; is != "" && was != is {
				out = append(out, fmt.Sprintf("%s is another in %s (%s) and in %s (%s).", name, a.Label, was, b.Label, is))
			}
		}
	}
	return out
}
