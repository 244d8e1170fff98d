// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
)

// CPUPlan says which CPUs a cell's guests and client run on, and how the host's CPUs
// are set meanwhile. Zero values are what the file leaves out: a role without CPUs is
// planned automatically, a setting without a value is not touched.
type CPUPlan struct {
	VCPU, VMM, Client []int
	Host              HostSettings
}

// HostSettings are the host's while a run lasts: the same for all its cells.
type HostSettings struct {
	Governor string         // of cpufreq, such as performance
	Turbo    string         // on, off
	SMT      string         // on, off
	CStates  *time.Duration // idle states that take longer to leave are switched off
	THP      string         // transparent huge pages: always, madvise, never
	KSM      string         // merging of equal pages: on, off
	ASLR     string         // of the host's processes: full, partial, off
	IRQs     string         // away: devices' interrupts go to other CPUs than the guests'
}

// Words of the settings.
const (
	SettingOn  = "on"
	SettingOff = "off"
	IRQsAway   = "away"
)

// What the host's settings of that name can be.
var (
	THPWords  = []string{"always", "madvise", "never"}
	ASLRWords = []string{"full", "partial", SettingOff}
	OnOff     = []string{SettingOn, SettingOff}
)

// maxCPUNumber is what a CPU set of the kernel's interface holds (CPU_SETSIZE).
const maxCPUNumber = 1023

// maxExitLatency is more than any idle state has.
const maxExitLatency = time.Second

// Interference says what disturbs a sample, and what is done then.
type Interference struct {
	Off           bool // it is not measured
	AtMostPercent int  // of one CPU's time; a sample with more is disturbed
	Repeat        int  // so often a disturbed sample is taken again, at most
}

// DefaultInterference is where the file says nothing: measured, marked, not repeated.
func DefaultInterference() Interference { return Interference{AtMostPercent: 1} }

// cpu decodes a plan. The host's settings stand in defaults only: they hold for the
// whole run.
func (d *decoder) cpu(n ast.Node, p *CPUPlan, host bool) {
	fields := map[string]strictyaml.Field{
		"vcpu":   func(v ast.Node) { d.cpus(v, "vcpu", &p.VCPU) },
		"vmm":    func(v ast.Node) { d.cpus(v, "vmm", &p.VMM) },
		"client": func(v ast.Node) { d.cpus(v, "client", &p.Client) },
	}
	h := &p.Host
	for key, decode := range map[string]strictyaml.Field{
		"governor": func(v ast.Node) { d.Name(v, "governor", &h.Governor) },
		"turbo":    func(v ast.Node) { d.onOff(v, "turbo", &h.Turbo) },
		"smt":      func(v ast.Node) { d.onOff(v, "smt", &h.SMT) },
		"cstates":  func(v ast.Node) { d.exitLatency(v, &h.CStates) },
		"thp":      func(v ast.Node) { d.OneOf(v, "thp", THPWords, &h.THP) },
		"ksm":      func(v ast.Node) { d.onOff(v, "ksm", &h.KSM) },
		"aslr":     func(v ast.Node) { d.OneOf(v, "aslr", ASLRWords, &h.ASLR) },
		"irqs":     func(v ast.Node) { d.OneOf(v, "irqs", []string{IRQsAway}, &h.IRQs) },
	} {
		if !host {
			decode = func(v ast.Node) {
				d.Fail(v, "%s is a setting of the host, for the whole run: put it into defaults", key)
			}
		}
		fields[key] = decode
	}
	d.Mapping(n, "cpu", fields)
}

func (d *decoder) onOff(n ast.Node, what string, out *string) {
	d.OneOf(n, what, OnOff, out)
}

// cpus is a number or a list of numbers of CPUs.
func (d *decoder) cpus(n ast.Node, what string, out *[]int) {
	*out = nil
	for _, item := range d.Items(n, what, "leave it out to have it planned") {
		c := -1
		d.Integer(item, what, 0, maxCPUNumber, &c)
		if c < 0 {
			continue
		}
		for _, other := range *out {
			if other == c {
				d.Fail(item, "%s: cpu %d is already in the list", what, c)
			}
		}
		*out = append(*out, c)
	}
}

// exitLatency is a span in microseconds, or 0 for no idle state but polling.
func (d *decoder) exitLatency(n ast.Node, out **time.Duration) {
	var v time.Duration
	if i, ok := n.(*ast.IntegerNode); ok && i.GetToken().Value == "0" {
		*out = &v
		return
	}
	var s string
	if !d.String(n, "cstates", &s) {
		return
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 || v > maxExitLatency {
		d.Fail(n, "cstates %q is not a longest time to leave an idle state, such as 10us, or 0 for polling only (at most 1s)", s)
		return
	}
	*out = &v
}

// interference takes a mapping, of which what is left out stays, or off.
func (d *decoder) interference(n ast.Node, i *Interference) {
	if off, word := d.off(n, "interference", "at_most_percent and repeat"); word {
		if off {
			*i = Interference{Off: true}
		}
		return
	}
	if i.Off {
		*i = DefaultInterference()
	}
	d.Mapping(n, "interference", map[string]strictyaml.Field{
		"at_most_percent": func(v ast.Node) { d.Integer(v, "at_most_percent", 0, 100, &i.AtMostPercent) },
		"repeat":          func(v ast.Node) { d.Integer(v, "repeat", 0, 100, &i.Repeat) },
	})
}
