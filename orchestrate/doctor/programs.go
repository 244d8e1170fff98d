// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/ukprobe/ukprobe/internal/progversion"
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
	{"memcaslap", []string{"--version"}, "memcached's throughput", Warn, later + "apt-get install libmemcached-tools"},
	{"sysbench", []string{"--version"}, "mysql's throughput", Warn, later + "apt-get install sysbench"},
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
	version, err := progversion.Ask(ctx, path, p.version...)
	if err != nil {
		return g.warn(p.name, fmt.Sprintf("%s, version unknown: %v", path, err), "see whether it starts at all")
	}
	return g.ok(p.name, path+", "+version)
}
