// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/ukprobe/ukprobe/internal/hostfile"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

// kvmChecks judges /dev/kvm and what is behind it.
func kvmChecks(root fs.FS, h platform.Host, f cpu.HostFacts) []Check {
	const g = group(groupKVM)
	if !h.KVM {
		found, remedy, _ := cutLast(h.KVMReason, ": ")
		return []Check{
			g.fail("device", found, remedy+"; until then guests run under TCG, whose times compare with no others"),
			hypervisor(f),
		}
	}
	modules := f.KVM.String()
	if f.KVM.Absent != "" {
		modules = "modules not visible (" + f.KVM.Absent + ")"
	}
	return []Check{
		g.ok("device", "/dev/kvm opens; "+modules),
		hardware(root, h),
		hypervisor(f),
		nxHugePages(f),
		haltPolling(f),
	}
}

// hardware: without VMX or SVM, KVM runs guests by its instruction emulator.
func hardware(root fs.FS, h platform.Host) Check {
	const g = group(groupKVM)
	if !h.Hardware {
		return g.warn("hardware", "emulated only: the CPU shows neither vmx nor svm; guests that touch FPU or SSE run under TCG, and kvm_entry and kvm_exit may never fire",
			"use a machine whose CPU has them, or switch nested virtualisation on in the hypervisor around this one")
	}
	info, err := fs.ReadFile(root, "proc/cpuinfo")
	if err != nil {
		return g.warn("hardware", "yes; vendor unknown: "+hostfile.NotRead("proc/cpuinfo", err), "mount /proc")
	}
	flags := " " + hostfile.Field(string(info), "flags") + " "
	kind := "SVM"
	if strings.Contains(flags, " vmx ") {
		kind = "VMX"
	}
	return g.ok("hardware", kind+", "+hostfile.Field(string(info), "vendor_id"))
}

// hypervisor says under what this machine itself runs: then each exit of a
// guest may be an exit of this machine too.
func hypervisor(f cpu.HostFacts) Check {
	const g = group(groupKVM)
	switch {
	case f.Hypervisor.Absent != "":
		return g.warn("nested", "unknown: "+f.Hypervisor.Absent, "see systemd-detect-virt")
	case f.Hypervisor.Value == "none":
		return g.ok("nested", "no: this machine runs under no hypervisor")
	}
	return g.warn("nested", fmt.Sprintf("this machine is itself a guest (hypervisor: %s): its neighbours and the outer exits are in every figure", f.Hypervisor.Value),
		"measure on bare metal where absolute times matter")
}

// nxHugePages: since Linux 6.0 KVM_CREATE_VM can wait long for the thread that
// recovers huge pages (Firecracker's docs/prod-host-setup.md, "Linux 6.1 boot
// time regressions"); newer kernels start it at the first KVM_RUN. Only "never"
// leaves it out, "N" does not.
func nxHugePages(f cpu.HostFacts) Check {
	const g = group(groupKVM)
	v, ok := f.KVMParams["kvm.nx_huge_pages"]
	major, _, err := parseRelease(f.Kernel.Value)
	switch {
	case !ok:
		return g.ok("nx_huge_pages", "this kernel's KVM has no such parameter")
	case v == "never" || err == nil && major < 6:
		return g.ok("nx_huge_pages", v)
	}
	return g.warn("nx_huge_pages", v+": each VM starts a thread that recovers huge pages, for which KVM_CREATE_VM may wait (vm_create to vm_created)",
		"where /sys/devices/system/cpu/vulnerabilities/itlb_multihit says \"Not affected\": boot with kvm.nx_huge_pages=never")
}

// cutLast cuts at the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func haltPolling(f cpu.HostFacts) Check {
	const g = group(groupKVM)
	switch v, ok := f.KVMParams["kvm.halt_poll_ns"]; {
	case !ok:
		return g.ok("halt_poll_ns", "this kernel's KVM has no such parameter")
	case v == "0":
		return g.ok("halt_poll_ns", "0: an idle vCPU sleeps at once")
	default:
		return g.ok("halt_poll_ns", v+": an idle vCPU spins up to so many nanoseconds before it sleeps")
	}
}
