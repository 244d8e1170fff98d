// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Verify takes out of the figures the latencies that cannot be, each with the reason, and
// notes them. It is for what every generator tells: no answer takes no time, quantiles
// rise, nothing is longer than the longest; and where c has so many requests without an
// answer at the most, so many are on their way on average at the most, which is their rate
// times their mean latency (J. D. C. Little, 1961).
func (f *Figures) Verify(c Command) {
	program := c.Name
	of := f.Latency
	if f.Apart > 0 { // the longest of another run says nothing
		of = maps.Clone(of)
		delete(of, "max")
	}
	for _, kind := range []string{"", Uncorrected} {
		wrong := implausible(of, kind)
		for _, name := range slices.Sorted(maps.Keys(wrong)) {
			f.lose(program, name, wrong[name])
		}
	}
	name := Uncorrected + "mean" // from the sending
	if _, told := f.Latency[name]; !told {
		name = "mean"
	}
	mean := f.Latency[name]
	if n := f.PerSecond * mean.Seconds(); c.AtOnce > 0 && n > float64(c.AtOnce)*(1+rounding) {
		f.lose(program, name, fmt.Sprintf("%.5g requests a second of %v each are %.3g at a time, and %d are the most: it is not of what was sent", f.PerSecond, mean, n, c.AtOnce))
	}
}

// rounding is how much a mean may be off by the digits that it is told with: sysbench's
// are 10 µs.
const rounding = 0.05

// Uncorrected begins the names of latencies that count from the sending, where there are
// others that count from the moment due.
const Uncorrected = "uncorrected_"

// lose takes a latency out.
func (f *Figures) lose(program, name, why string) {
	delete(f.Latency, name)
	if f.Missing == nil {
		f.Missing = map[string]string{}
	}
	f.Missing[name] = program + ": " + why
	note := fmt.Sprintf("%s: latency %s is left out: %s", program, name, why)
	f.Notes = append(f.Notes, note)
}

// implausible says of latencies whose names begin with kind why they cannot be. If their
// quantiles fall none of them is to be trusted: nobody knows which one is wrong.
func implausible(times map[string]time.Duration, kind string) map[string]string {
	out := map[string]string{}
	most, hasMost := times[kind+"max"]
	var told []string
	fall := false
	last := time.Duration(0)
	for _, name := range slices.Sorted(maps.Keys(times)) { // p50, p90, p99, p999: in their order
		d := times[name]
		short, ofKind := strings.CutPrefix(name, kind)
		if !ofKind || kind == "" && strings.HasPrefix(name, Uncorrected) {
			continue
		}
		if d <= 0 {
			out[name] = "it was told as 0, which no answer takes"
		}
		if short != "max" && hasMost && most > 0 && d > most {
			out[name] = fmt.Sprintf("%v are more than the longest, %v", d, most)
		}
		if isQuantile(short) {
			told = append(told, name)
			fall = fall || d < last
			last = max(last, d)
		}
	}
	if !fall {
		return out
	}
	var words []string
	for _, name := range told {
		words = append(words, strings.TrimPrefix(name, kind)+" "+times[name].String())
	}
	for _, name := range told {
		out[name] = "quantiles that fall are none: " + strings.Join(words, ", ")
	}
	return out
}

// isQuantile tells p50 from mean and max.
func isQuantile(name string) bool {
	return len(name) > 1 && name[0] == 'p' && strings.Trim(name[1:], "0123456789") == ""
}
