// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIdentify(t *testing.T) {
	const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	tests := []struct {
		what string
		p    Process
		want Identity
	}{
		{"qemu of libvirt", Process{Args: []string{"/usr/bin/qemu-system-x86_64", "-name", "guest=web,debug-threads=on", "-S", "-uuid", "8E0F8A5C-1111-2222-3333-444455556666"},
			Cgroup: `/machine.slice/machine-qemu\x2d3\x2dother.scope/libvirt/emulator`},
			Identity{Name: "web", VMM: "qemu", UUID: "8e0f8a5c-1111-2222-3333-444455556666", Cgroup: `/machine.slice/machine-qemu\x2d3\x2dother.scope/libvirt/emulator`}},
		{"qemu by hand", Process{Args: []string{"qemu-system-x86_64", "--name", "my vm,process=x"}}, Identity{Name: "my vm", VMM: "qemu"}},
		{"a comma in the name", Process{Args: []string{"qemu-kvm", "-name", "guest=a,,b,debug-threads=on"}}, Identity{Name: "a,b", VMM: "qemu"}},
		{"other keys first", Process{Args: []string{"kvm", "-name", "debug-threads=on,guest=late"}}, Identity{Name: "late", VMM: "qemu"}},
		{"no name but a scope", Process{Args: []string{"qemu-system-x86_64"}, Cgroup: `/machine.slice/machine-qemu\x2d3\x2dweb\x2d1.scope`},
			Identity{Name: "web-1", VMM: "qemu", Cgroup: `/machine.slice/machine-qemu\x2d3\x2dweb\x2d1.scope`}},
		{"no name at all", Process{Args: []string{"qemu-system-x86_64", "-name"}, Comm: "qemu-system-x86"}, Identity{VMM: "qemu"}},
		{"a uuid that is none", Process{Args: []string{"qemu-system-x86_64", "-uuid", "'; drop table"}}, Identity{VMM: "qemu"}},
		{"firecracker", Process{Args: []string{"/firecracker", "--id=551e7604-e35c-42b3-b825-416853441234", "--start-time-us=1"}}, Identity{Name: "551e7604-e35c-42b3-b825-416853441234", VMM: "firecracker"}},
		{"firecracker without id", Process{Args: []string{"firecracker", "--api-sock", "/run/vms/db/firecracker.socket"}}, Identity{Name: "db", VMM: "firecracker"}},
		{"firecracker's default id", Process{Args: []string{"firecracker", "--id", "anonymous-instance", "--api-sock", "/tmp/api.sock"}}, Identity{VMM: "firecracker"}},
		{"cloud-hypervisor", Process{Args: []string{"cloud-hypervisor", "--api-socket", "path=/run/ch/mail.sock,fd=3"}}, Identity{Name: "mail", VMM: "cloud-hypervisor"}},
		{"cloud-hypervisor of kata", Process{Args: []string{"/opt/kata/bin/cloud-hypervisor", "--api-socket", "/run/vc/vm/sandbox7/clh-api.sock"}}, Identity{Name: "sandbox7", VMM: "cloud-hypervisor"}},
		{"solo5", Process{Args: []string{"solo5-hvt", "--mem=16", "--net:service=tap0", "/srv/dns.hvt", "--ipv4=1"}}, Identity{Name: "dns", VMM: "solo5-hvt"}},
		{"crosvm", Process{Args: []string{"crosvm", "run", "--name", "arcvm"}}, Identity{Name: "arcvm", VMM: "crosvm"}},
		{"in docker", Process{Args: []string{"/entrypoint-vmm"}, Comm: "entrypoint-vmm", Cgroup: "/system.slice/docker-" + hex64 + ".scope"},
			Identity{Name: "0123456789ab", VMM: "entrypoint-vmm", Cgroup: "/system.slice/docker-" + hex64 + ".scope"}},
		{"in a pod", Process{Comm: "x", Cgroup: "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + hex64 + ".scope"},
			Identity{Name: "0123456789ab", VMM: "x", Cgroup: "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + hex64 + ".scope"}},
		{"docker on v1", Process{Comm: "x", Legacy: []string{"/docker/" + hex64}}, Identity{Name: "0123456789ab", VMM: "x"}},
		{"nspawn", Process{Comm: "x", Cgroup: "/machine.slice/systemd-nspawn@deb\\x2d1.service/payload"},
			Identity{Name: "deb-1", VMM: "x", Cgroup: "/machine.slice/systemd-nspawn@deb\\x2d1.service/payload"}},
		{"a machine of machinectl", Process{Comm: "x", Cgroup: "/machine.slice/machine-box.scope"}, Identity{Name: "box", VMM: "x", Cgroup: "/machine.slice/machine-box.scope"}},
		{"by comm only", Process{Comm: "cloud-hyperviso"}, Identity{VMM: "cloud-hypervisor"}},
		{"not a vmm that begins so", Process{Args: []string{"kvmtop"}, Comm: "kvmtop"}, Identity{VMM: "kvmtop"}},
		{"hostile", Process{Args: []string{"qemu-system-x86_64", "-name", "\x1b]0;pwned\x07"}, Comm: "\x1b[2J"}, Identity{Name: "_]0;pwned_", VMM: "qemu"}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Identify(tt.p)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
