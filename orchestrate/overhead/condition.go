// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"fmt"
	"slices"

	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// rungs are those that can be asked for, cheapest first.
var rungs = []probe.Rung{probe.Fentry, probe.TPBTF, probe.RawTP, probe.Kprobe, probe.Tracepoint}

// conditions are those of a measurement, with these rungs one by one; none given
// means all.
func conditions(only []probe.Rung) []rig.Condition {
	out := []rig.Condition{
		{Name: results.OverheadNone, What: "nothing attached"},
		{Name: results.OverheadControl, What: "the same once more: what two equal conditions differ by"},
		{Name: results.OverheadBystander, What: "--probes boot for another guest that is about to boot, hooks by auto", Attach: probe.Auto},
		{Name: results.OverheadBoot, What: "--probes boot, hooks by auto", Attach: probe.Auto, Watch: true},
		{Name: results.OverheadFull, What: "--probes full, hooks by auto", Attach: probe.Auto, Watch: true, Full: true},
	}
	for _, r := range rungs {
		if len(only) == 0 || slices.Contains(only, r) || slices.Contains(only, probe.Auto) {
			out = append(out, rig.Condition{Name: string(r), What: fmt.Sprintf("--probes boot, hooks by %s where they have it", r), Attach: r, Watch: true})
		}
	}
	return out
}

// available tries each condition once; what cannot be had here is returned with its
// reason only.
func available(all []rig.Condition) (have []rig.Condition, info []results.OverheadCondition, err error) {
	for _, c := range all {
		rungs, missing, err := c.Try()
		if err != nil {
			return nil, nil, fmt.Errorf("condition %s: %w", c.Name, err)
		}
		i := results.OverheadCondition{Name: c.Name, Missing: missing}
		if missing == "" {
			i.Rungs = rungs
			have = append(have, c)
		}
		info = append(info, i)
	}
	return have, info, nil
}
