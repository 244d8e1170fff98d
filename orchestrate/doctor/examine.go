// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"io/fs"
	"os"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// Options say how to look.
type Options struct {
	Version    string // ukprobe's own
	JournalDir string // "" = journal.DefaultDir
}

// Examine looks at this machine. It returns context.Cause(ctx) if it was
// interrupted; the host is put back then too. That something does not work is no
// error: the report says so.
func Examine(ctx context.Context, o Options) (*Report, error) {
	if o.JournalDir == "" {
		o.JournalDir = journal.DefaultDir
	}
	root := os.DirFS("/")
	facts := cpu.Facts()
	host := platform.DetectHost()
	before := leftovers(o.JournalDir) // this trial's own journal is not one

	p, openErr := probe.Open(probe.Options{})
	t := try(ctx, p, o.JournalDir)
	var hooks []probe.HookStatus
	if p != nil {
		hooks = p.Hooks()
		t.left(p.Close)
	}
	others := t.tryOthers()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r := &Report{Version: FormatVersion, Ukprobe: o.Version, Kernel: facts.Kernel.String(), CPU: facts.CPUModel.String()}
	r.Checks = fromFiles(root, facts)
	r.Checks = append(r.Checks, hookChecks(hooks, openErr, t.device)...)
	r.Checks = append(r.Checks, aliveChecks(t)...)
	r.Checks = append(r.Checks, others...)
	r.Checks = append(r.Checks, kvmChecks(root, host, facts)...)
	r.Checks = append(r.Checks, programChecks(ctx)...)
	r.Checks = append(r.Checks, cgroupChecks(t)...)
	r.Checks = append(r.Checks, networkChecks(t)...)
	plan, planErr := cpu.MakePlan(1)
	r.Checks = append(r.Checks, cpuChecks(facts, plan, planErr)...)
	r.Checks = append(r.Checks, hostChecks(before, t, o.JournalDir)...)
	r.judge()
	return r, nil
}

// fromFiles are the checks that only read.
func fromFiles(root fs.FS, facts cpu.HostFacts) []Check {
	out := privileges(root)
	out = append(out, kernel(root)...)
	return append(out, config(root, facts.Kernel.Value)...)
}
