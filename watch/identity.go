// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Identity is what a VM is called and by whom. All of it is clean.
type Identity struct {
	// Name is the VM's own, or "" if nothing names it.
	Name string
	// VMM is the kind of program: qemu, firecracker, cloud-hypervisor, or the
	// process's name.
	VMM string
	// UUID as given to QEMU, "" if none was.
	UUID string
	// Cgroup is the path in the v2 hierarchy.
	Cgroup string
}

// Identify says what a VMM's process runs: by its command line, else by the
// cgroup that libvirt, systemd, docker, podman, containerd or CRI-O put it into.
func Identify(p Process) Identity {
	id := fromArgs(p.Args)
	if id.VMM == "" {
		id.VMM = vmmOf(p.Comm)
	}
	if id.VMM == "" {
		id.VMM = p.Comm
	}
	if id.Name == "" {
		for _, cg := range append([]string{p.Cgroup}, p.Legacy...) {
			if id.Name = nameFromCgroup(cg); id.Name != "" {
				break
			}
		}
	}
	return Identity{
		Name: Clean(id.Name, maxName), VMM: Clean(id.VMM, 16), UUID: id.UUID,
		Cgroup: Clean(p.Cgroup, maxCgroup),
	}
}

// vmmNames are programs by the beginning of their file's name.
var vmmNames = []struct{ prefix, vmm string }{
	{"qemu-system-", "qemu"}, {"qemu-kvm", "qemu"}, {"kvm", "qemu"}, {"firecracker", "firecracker"},
	{"cloud-hypervisor", "cloud-hypervisor"}, {"cloud-hyperviso", "cloud-hypervisor"}, // comm has 15 bytes
	{"crosvm", "crosvm"}, {"solo5-hvt", "solo5-hvt"}, {"uhyve", "uhyve"}, {"lkvm", "kvmtool"},
	{"vmm", "vmm"}, {"bhyve", "bhyve"}, {"stratovirt", "stratovirt"}, {"krunvm", "krunvm"},
}

// vmmOf is the kind of VMM that a program is, "" if it is none that is known.
func vmmOf(program string) string {
	for _, v := range vmmNames {
		if rest, ok := strings.CutPrefix(program, v.prefix); ok && (rest == "" || v.prefix[len(v.prefix)-1] == '-' || !letter(rest[0])) {
			return v.vmm
		}
	}
	return ""
}

func letter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// fromArgs reads a VMM's command line. Nothing in it is clean yet but the UUID.
func fromArgs(args []string) (id Identity) {
	if len(args) == 0 {
		return id
	}
	id.VMM = vmmOf(path.Base(args[0]))
	switch id.VMM {
	case "qemu":
		id.Name = qemuName(option(args, "name"))
		id.UUID = uuid(option(args, "uuid"))
	case "firecracker":
		if id.Name = option(args, "id"); id.Name == "" || id.Name == firecrackerDefault {
			id.Name = socketName(option(args, "api-sock"))
		}
	case "cloud-hypervisor":
		id.Name = socketName(strings.TrimPrefix(option(args, "api-socket"), "path="))
	case "crosvm", "kvmtool":
		if id.Name = option(args, "name"); id.Name == "" {
			id.Name = socketName(option(args, "socket"))
		}
	case "solo5-hvt":
		id.Name = firstWord(args)
	}
	return id
}

// firecrackerDefault is the id of a Firecracker that was given none.
const firecrackerDefault = "anonymous-instance"

// option is the value of an option given as -name V, --name V or --name=V; the
// first counts. A value that only looks like an option is taken as such: which
// options have none is the VMM's knowledge, and the name is only a name.
func option(args []string, name string) string {
	for i, a := range args[1:] {
		word := strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-")
		if word == a {
			continue
		}
		if word == name && i+2 < len(args) {
			return args[i+2]
		}
		if v, ok := strings.CutPrefix(word, name+"="); ok {
			return v
		}
	}
	return ""
}

// qemuName takes -name apart: key=value pairs separated by commas, a doubled
// comma standing for one; a first part without a key is the guest's name
// (qemu(1)).
func qemuName(v string) string {
	for i, part := range splitCommas(v) {
		key, value, ok := strings.Cut(part, "=")
		switch {
		case !ok && i == 0:
			return part
		case key == "guest":
			return value
		}
	}
	return ""
}

func splitCommas(v string) []string {
	const stand = "\x00" // cannot be in an argument
	parts := strings.Split(strings.ReplaceAll(v, ",,", stand), ",")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], stand, ",")
	}
	return parts
}

var uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func uuid(v string) string {
	if !uuidPattern.MatchString(v) {
		return ""
	}
	return strings.ToLower(v)
}

// genericSockets say nothing about the VM; its folder does.
var genericSockets = map[string]bool{"api": true, "ch": true, "clh": true, "clh-api": true, "firecracker": true, "cloud-hypervisor": true, "socket": true, "sock": true, "vmm": true}

// socketName makes a name of the path of a VMM's API socket.
func socketName(p string) string {
	p, _, _ = strings.Cut(p, ",")
	if p == "" {
		return ""
	}
	base := stem(p)
	if !genericSockets[base] {
		return base
	}
	if dir := path.Base(path.Dir(p)); dir != "." && dir != "/" && dir != "run" && dir != "tmp" && dir != "root" {
		return dir
	}
	return ""
}

// stem is a file's name without its extension.
func stem(p string) string {
	base := path.Base(p)
	if s := strings.TrimSuffix(base, path.Ext(base)); s != "" {
		return s
	}
	return base
}

// firstWord is the first argument that is no option, as a name: solo5-hvt's
// options are all of the form --name=value, and the unikernel follows.
func firstWord(args []string) string {
	for _, a := range args[1:] {
		if !strings.HasPrefix(a, "-") {
			return stem(a)
		}
	}
	return ""
}

var (
	// libvirt: machine-qemu\x2d3\x2dweb.scope, with the number of the domain.
	libvirtScope = regexp.MustCompile(`^(?:qemu|lxc|ch)-[0-9]+-(.+)$`)
	// docker-<id>.scope, libpod-<id>.scope, cri-containerd-<id>.scope, crio-<id>.scope
	// and the same without systemd: /docker/<id>.
	containerID = regexp.MustCompile(`^(?:(?:docker|libpod|cri-containerd|crio|containerd|nerdctl)-)?([0-9a-f]{64})(?:\.scope)?$`)
	// systemd-nspawn@web.service, of machinectl.
	nspawnUnit = regexp.MustCompile(`^systemd-nspawn@(.+)\.service$`)
)

// nameFromCgroup finds a name in a cgroup's path, the innermost first.
func nameFromCgroup(cgroup string) string {
	parts := strings.Split(cgroup, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		part := parts[i]
		if m := containerID.FindStringSubmatch(part); m != nil {
			return m[1][:12] // as docker and podman show it
		}
		if m := nspawnUnit.FindStringSubmatch(part); m != nil {
			return unescapeUnit(m[1])
		}
		machine, ok := strings.CutPrefix(part, "machine-")
		if machine, ok2 := strings.CutSuffix(machine, ".scope"); ok && ok2 {
			machine = unescapeUnit(machine)
			if m := libvirtScope.FindStringSubmatch(machine); m != nil {
				return m[1]
			}
			return machine
		}
	}
	return ""
}

// unescapeUnit undoes systemd's escaping of unit names (systemd.unit(5)).
func unescapeUnit(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\x`) && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
