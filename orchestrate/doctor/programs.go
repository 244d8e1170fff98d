// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/ukprobe/ukprobe/internal/askprogram"
	"github.com/ukprobe/ukprobe/orchestrate/docker"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

// program is one that ukprobe starts, or will.
type program struct {
	name string
	// variable names one to use in place of that in PATH; "" if there is none.
	variable string
	// find looks for it where its name alone does not tell; nil: in PATH.
	find    func() (string, error)
	version []string // arguments that make it tell its version; nil: it has none
	use     string
	without Status
	install string
}

const later = "not needed by the default matrix; "

const tender = "build Solo5/solo5, and put its tender into PATH or beside the image (Debian has no package)"

var ask = []string{"--version"}

// programs: VMMs, what builds the images of systems linux and process, and
// clients.
var programs = []program{
	{name: "qemu-system-x86_64", variable: platform.EnvQEMU, version: ask, use: "platforms qemu, qemu1nic and qemumicrovm", without: Fail, install: "apt-get install qemu-system-x86"},
	{name: "firecracker", variable: platform.EnvFirecracker, version: ask, use: "platform firecracker", without: Warn, install: later + "put a release of firecracker-microvm/firecracker into PATH, or its path into " + platform.EnvFirecracker + " (Debian has no package)"},
	{name: "solo5-hvt", version: ask, use: "platform solo5-hvt", without: Warn, install: later + tender},
	{name: "solo5-spt", version: ask, use: "platform solo5-spt", without: Warn, install: later + tender},
	{name: "uhyve", find: platform.FindUhyve, version: ask, use: "platform uhyve", without: Warn, install: later + "cargo install --locked uhyve (hermit-os/uhyve), and put it into PATH; HermiTux' own VMM is not looked for here: it goes beside the image"},
	{name: "apt-get", version: ask, use: "the images of systems linux and process", without: Fail, install: "use a Debian machine"},
	{name: "apt-cache", version: ask, use: "the images of systems linux and process", without: Fail, install: "use a Debian machine"},
	{name: "dpkg-deb", version: ask, use: "the images of systems linux and process", without: Fail, install: "use a Debian machine"},
	{name: "wrk", version: ask, use: "nginx's throughput", without: Warn, install: later + "apt-get install wrk"},
	{name: "redis-benchmark", version: ask, use: "redis' throughput", without: Warn, install: later + "apt-get install redis-tools"},
	{name: "memcaslap", version: ask, use: "memcached's throughput", without: Warn, install: later + "apt-get install libmemcached-tools"},
	{name: "sysbench", version: ask, use: "mysql's throughput", without: Warn, install: later + "apt-get install sysbench"},
	{name: "dnsperf", version: []string{"-H"}, use: "experiment dns", without: Warn, install: later + "apt-get install dnsperf"},
}

// programChecks looks for them, and for a Docker Engine.
func programChecks(ctx context.Context) []Check {
	out := make([]Check, 0, len(programs))
	for _, p := range programs {
		out = append(out, p.check(ctx))
	}
	return append(out, dockerCheck(ctx))
}

func (p program) check(ctx context.Context) Check {
	const g = group(groupPrograms)
	path, err := p.look()
	if errors.Is(err, exec.ErrNotFound) && !p.named() {
		return g.check(p.name, p.without, "not found. Lost: "+p.use, p.install)
	}
	if err != nil {
		return g.check(p.name, p.without, err.Error(), p.install)
	}
	version, err := askprogram.Version(ctx, path, p.version...)
	if err != nil {
		return g.warn(p.name, fmt.Sprintf("%s, version unknown: %v", path, err), "see whether it starts at all")
	}
	return g.ok(p.name, path+", "+version)
}

// named says whether the variable names a program: if that is not there, the variable
// is wrong.
func (p program) named() bool { return p.variable != "" && os.Getenv(p.variable) != "" }

// look is the program's path.
func (p program) look() (string, error) {
	if p.find != nil {
		return p.find()
	}
	if !p.named() {
		return exec.LookPath(p.name)
	}
	path, err := exec.LookPath(os.Getenv(p.variable))
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.variable, err)
	}
	return path, nil
}

// dockerCheck asks the engine of DOCKER_HOST, or of Docker's default socket.
func dockerCheck(ctx context.Context) Check {
	const (
		g     = group(groupPrograms)
		name  = "docker-engine"
		start = later + "apt-get install docker.io, start dockerd; DOCKER_HOST says where it is, if not at its default socket"
	)
	e, err := docker.Connect(ctx)
	if err != nil {
		return g.warn(name, err.Error()+". Lost: platform docker", start)
	}
	defer e.Close()
	if err := e.Usable(); err != nil {
		return g.warn(name, e.Description+". Lost: platform docker", later+err.Error())
	}
	return g.ok(name, e.Host()+", "+e.Description)
}
