// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/internal/askprogram"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// fingerprint describes the host that is measured on; without a probe there are no
// rungs but user space's.
func fingerprint(h platform.Host, p *probe.Probe, cells []*cell) results.Host {
	f := cpu.Facts()
	out := results.Host{
		Kernel: f.Kernel.Value, CPUModel: f.CPUModel.Value, Hypervisor: f.Hypervisor.Value,
		KVMParameters: f.KVMParams, Governor: f.Governor.Value, SMT: f.SMT.Value,
		IsolatedCPUs: f.Isolated.Value, Cmdline: f.Cmdline.Value,
		Rungs: map[string]results.Rung{}, Accelerators: []string{platform.TCG},
	}
	out.CPUs, _ = strconv.Atoi(f.OnlineCPUs.Value)
	if h.KVM {
		out.Accelerators = append(out.Accelerators, platform.KVM)
	}
	if h.KVM && !h.Hardware {
		if out.KVMParameters == nil {
			out.KVMParameters = map[string]string{}
		}
		out.KVMParameters["hardware"] = "none: KVM emulates every instruction"
	}
	if p != nil {
		for _, s := range p.Hooks() {
			out.Rungs[s.Hook] = results.Rung{Rung: string(s.Rung), Reason: s.Why()}
		}
	}
	if slices.ContainsFunc(cells, func(c *cell) bool { return inContainer(c.Cell) }) {
		out.Rungs[experiment.HookUserspace] = results.Rung{Rung: string(experiment.RungNone), Reason: "ukprobe's own clock, for the calls of an API"}
	}
	if slices.ContainsFunc(cells, func(c *cell) bool { return c.Probes == matrix.ProbesNone }) {
		out.Rungs[experiment.HookUserspace] = results.Rung{Rung: string(experiment.RungNone), Reason: "--probes none: ukprobe's own clock"}
	}
	return out
}

// askTime is how long a program may take to tell its version.
const askTime = 5 * time.Second

// maxVersion is how much of its line is kept, in bytes.
const maxVersion = 200

// unknownVersion is what the version of a program begins with that does not tell.
const unknownVersion = "unknown: "

// versions asks the VMMs that the cells use for their versions, by their first
// line of output. A program that is there and does not tell has one that starts with
// "unknown".
func versions(ctx context.Context, cells []*cell) map[string]string {
	programs := map[string]bool{}
	for _, c := range cells {
		if c.platform != nil && c.platform.Program() != "" {
			programs[c.platform.Program()] = true
		}
	}
	out := map[string]string{}
	for _, c := range cells {
		v, ok := c.platform.(platform.Versioner)
		if _, known := out[c.Platform]; !ok || known {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, askTime)
		if text, err := v.Version(ctx); err == nil {
			out[c.Platform] = text
		}
		cancel()
	}
	for _, c := range cells {
		p, ok := c.client()
		if _, known := out[p.Name]; !ok || known || c.status != "" {
			continue
		}
		if text, err := p.Ask(context.Background()); err == nil {
			out[p.Name] = text
		}
	}
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		text, err := askprogram.Ask(ctx, askprogram.Question{Argv: []string{name, "--version"}, Limit: askTime})
		switch line, _, _ := strings.Cut(text, "\n"); {
		case err == nil:
			out[name] = strings.ToValidUTF8(line[:min(len(line), maxVersion)], "")
		case !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist):
			out[name] = unknownVersion + err.Error()
		}
	}
	return out
}
