// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/internal/askprogram"
)

// program is one that ukprobe starts, or will.
type program struct {
	name    string
	version []string // arguments that make it tell its version; nil: it has none
	use     string
	without Status
	install string
}

const later = "not needed by the built-in matrix; "

// programs: VMMs, what builds the images of systems linux and process, and
// clients.
var programs = []program{
	{"qemu-system-x86_64", []string{"--version"}, "platforms qemu, qemu1nic and qemumicrovm", Fail, "apt-get install qemu-system-x86"},
	{"firecracker", []string{"--version"}, "platform firecracker", Warn, later + "a release of its project, put into PATH (Debian has no package)"},
	{"solo5-hvt", []string{"--version"}, "platform solo5-hvt", Warn, later + "build it from its project's source (Debian has no package)"},
	{"solo5-spt", []string{"--version"}, "platform solo5-spt", Warn, later + "build it from its project's source (Debian has no package)"},
	{"apt-get", []string{"--version"}, "the images of systems linux and process", Fail, "use a Debian machine"},
	{"apt-cache", []string{"--version"}, "the images of systems linux and process", Fail, "use a Debian machine"},
	{"dpkg-deb", []string{"--version"}, "the images of systems linux and process", Fail, "use a Debian machine"},
	{"wrk", []string{"--version"}, "nginx's throughput", Warn, later + "apt-get install wrk"},
	{"redis-benchmark", []string{"--version"}, "redis' throughput", Warn, later + "apt-get install redis-tools"},
	{"memtier_benchmark", []string{"--version"}, "memcached's throughput", Warn, later + "build it from its project's source (Debian 12 has no package)"},
}

// programChecks looks for them in PATH.
func programChecks(ctx context.Context) []Check {
	out := make([]Check, 0, len(programs))
	for _, p := range programs {
		out = append(out, p.check(ctx))
	}
	return out
}

func (p program) check(ctx context.Context) Check {
	const g = group(groupPrograms)
	path, err := exec.LookPath(p.name)
	if errors.Is(err, exec.ErrNotFound) {
		return g.check(p.name, p.without, "not found. Lost: "+p.use, p.install)
	}
	if err != nil {
		return g.check(p.name, p.without, err.Error(), p.install)
	}
	version, err := askVersion(ctx, path, p.version)
	if err != nil {
		return g.warn(p.name, fmt.Sprintf("%s, version unknown: %v", path, err), "see whether it starts at all")
	}
	return g.ok(p.name, path+", "+version)
}

// askVersion is the first line that a program says about itself. wrk says it
// while it exits with 1.
func askVersion(ctx context.Context, path string, args []string) (string, error) {
	text, err := askprogram.Ask(ctx, askprogram.Question{Argv: append([]string{path}, args...), Limit: 5 * time.Second, Stderr: true})
	if v := firstVersion(text); v != "" {
		return v, nil
	}
	if err == nil {
		err = errors.New("it printed no line with a number")
	}
	return "", err
}

// firstVersion is the first line with a digit in it.
func firstVersion(text string) string {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); strings.ContainsAny(l, "0123456789") {
			return l
		}
	}
	return ""
}
