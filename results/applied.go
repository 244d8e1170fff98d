// SPDX-License-Identifier: Apache-2.0

package results

import "maps"

// FigureSettings are the settings that the cell's figures depend on, as JSON by the names
// that they have in run.json ([Flat]): "memory_mib", "load.threads". Not among them are how
// many samples there were to be, what names the cell ([Variant]), and what does not apply to
// it ([SettingApplies]).
func (c *Cell) FigureSettings() map[string]string {
	if c.Settings == nil {
		return nil
	}
	s := *c.Settings
	s.Samples, s.Warmup, s.TimeoutNs, s.TimeoutLearnt = 0, 0, 0, false
	s.Image, s.Parallel, s.Cache, s.Tap = "", 0, "", ""
	s.Claims, s.Until, s.CPUs, s.Interference = nil, nil, nil, nil
	out := Flat(s)
	maps.DeleteFunc(out, func(name, _ string) bool { return !SettingApplies(c.Platform, c.Experiment, name) })
	return out
}

// SettingApplies says whether figures of an experiment on a platform can depend on a setting,
// by its name in run.json. Whatever the matrix says, a process has the memory and the CPUs of
// the host, unless they are what is limited; an address is for guests with a network device
// of their own; and sizes of files depend on none.
func SettingApplies(platform, experiment, name string) bool {
	switch {
	case experiment == "image-size":
		return false
	case name == "memory_mib":
		return platform != "process" || experiment == "memory-min"
	case name == "vcpus":
		return platform != "process"
	case name == "address":
		return platform != "process" && platform != "docker" && platform != "qemu"
	}
	return true
}
