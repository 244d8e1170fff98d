// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/internal/hostfile"
)

// Fact is something read from the host, or the reason why it could not be. It
// is never invented: String gives "absent: reason" for what is not there.
type Fact struct {
	Value  string
	Absent string // why there is no value; "" when there is
}

func (f Fact) String() string {
	if f.Absent != "" {
		return "absent: " + f.Absent
	}
	return f.Value
}

// MarshalText makes a Fact its String in JSON.
func (f Fact) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// HostFacts is the part of a host's fingerprint that is about its CPUs and its
// kernel.
type HostFacts struct {
	CPUModel    Fact
	OnlineCPUs  Fact // a count
	SMT         Fact // /sys/devices/system/cpu/smt/control: on, off, forceoff, notsupported, notimplemented
	Isolated    Fact // a CPU list; "none"
	Governor    Fact // "performance", or "powersave (0-3), performance (4-7)"
	Hypervisor  Fact // under which this host itself runs; "none" on bare metal
	KVM         Fact // loaded modules, "kvm kvm_amd"
	KVMParams   map[string]string
	Cmdline     Fact // the kernel's
	Kernel      Fact // uname -r
	TotalMemMiB Fact
}

// Facts reads the host's facts. It changes nothing.
func Facts() HostFacts { return readFacts(os.DirFS("/")) }

func readFacts(root fs.FS) HostFacts {
	info, infoErr := fs.ReadFile(root, "proc/cpuinfo")
	f := HostFacts{
		CPUModel:    cpuModel(string(info), infoErr),
		OnlineCPUs:  onlineCount(root),
		SMT:         file(root, sysCPU+"smt/control"),
		Isolated:    isolated(root),
		Governor:    governor(root),
		Hypervisor:  hypervisor(root, string(info), infoErr),
		Cmdline:     file(root, "proc/cmdline"),
		Kernel:      file(root, "proc/sys/kernel/osrelease"),
		TotalMemMiB: totalMem(root),
	}
	f.KVM, f.KVMParams = kvm(root)
	return f
}

func absent(format string, args ...any) Fact { return Fact{Absent: fmt.Sprintf(format, args...)} }

// file is the fact that a one-line file holds.
func file(root fs.FS, path string) Fact {
	raw, err := fs.ReadFile(root, path)
	if err != nil {
		return absent("%s", hostfile.NotRead(path, err))
	}
	value := strings.TrimSpace(string(raw))
	if value == "" {
		return absent("/%s is empty", path)
	}
	return Fact{Value: value}
}

func cpuModel(info string, err error) Fact {
	if err != nil {
		return absent("%s", hostfile.NotRead("proc/cpuinfo", err))
	}
	for _, key := range []string{"model name", "Model", "cpu model"} { // x86, arm64 boards, mips
		if v := hostfile.Field(info, key); v != "" {
			return Fact{Value: v}
		}
	}
	return absent("/proc/cpuinfo names no model")
}

func onlineCount(root fs.FS) Fact {
	cpus, err := onlineCPUs(root)
	if err != nil {
		return absent("%v", err)
	}
	return Fact{Value: strconv.Itoa(len(cpus))}
}

func isolated(root fs.FS) Fact {
	path := sysCPU + "isolated"
	raw, err := fs.ReadFile(root, path)
	if err != nil {
		return absent("%s", hostfile.NotRead(path, err))
	}
	if list := strings.TrimSpace(string(raw)); list != "" {
		return Fact{Value: list}
	}
	return Fact{Value: "none"}
}

// governor joins the cpufreq governors of the CPUs that have one.
func governor(root fs.FS) Fact {
	online, err := onlineCPUs(root)
	if err != nil {
		return absent("%v", err)
	}
	by := map[string][]int{}
	var order []string
	for _, c := range online {
		g := file(root, fmt.Sprintf("%scpu%d/cpufreq/scaling_governor", sysCPU, c))
		if g.Absent != "" {
			continue
		}
		if by[g.Value] == nil {
			order = append(order, g.Value)
		}
		by[g.Value] = append(by[g.Value], c)
	}
	switch {
	case len(order) == 0:
		return absent("no CPU has cpufreq")
	case len(order) == 1 && len(by[order[0]]) == len(online):
		return Fact{Value: order[0]}
	}
	for i, g := range order {
		order[i] = fmt.Sprintf("%s (%s)", g, FormatList(by[g]))
	}
	return Fact{Value: strings.Join(order, ", ")}
}

// hypervisorLeaf is the CPUID leaf in which hypervisors name themselves (Linux,
// arch/x86/include/asm/processor.h, hypervisor_cpuid_base).
const hypervisorLeaf = 0x40000000

// hypervisor names what this host runs under: Xen by /sys/hypervisor, others by
// their CPUID signature, or else by the machine's DMI vendor.
func hypervisor(root fs.FS, info string, err error) Fact {
	if t := file(root, "sys/hypervisor/type"); t.Absent == "" {
		return t
	}
	if err != nil {
		return absent("%s", hostfile.NotRead("proc/cpuinfo", err))
	}
	flags := strings.Fields(hostfile.Field(info, "flags"))
	if len(flags) == 0 {
		return absent("/proc/cpuinfo has no flags on this architecture")
	}
	if !slices.Contains(flags, "hypervisor") {
		return Fact{Value: "none"}
	}
	if sig, err := cpuidSignature(root); err == nil {
		return Fact{Value: sig}
	}
	if vendor := file(root, "sys/class/dmi/id/sys_vendor"); vendor.Absent == "" {
		return Fact{Value: "yes, on a machine by " + vendor.Value}
	}
	return Fact{Value: "yes, unnamed (no /dev/cpu/0/cpuid, no DMI)"}
}

// cpuidSignature reads the hypervisor's signature, EBX ECX EDX of its leaf,
// through the cpuid driver, whose file position is the leaf, see cpuid(4).
func cpuidSignature(root fs.FS) (string, error) {
	f, err := root.Open("dev/cpu/0/cpuid")
	if err != nil {
		return "", err
	}
	defer f.Close()
	at, ok := f.(interface {
		ReadAt(p []byte, off int64) (int, error)
	})
	if !ok {
		return "", errors.ErrUnsupported
	}
	var regs [16]byte
	if _, err := at.ReadAt(regs[:], hypervisorLeaf); err != nil {
		return "", err
	}
	return parseSignature(regs)
}

func parseSignature(regs [16]byte) (string, error) {
	if binary.LittleEndian.Uint32(regs[:4]) < hypervisorLeaf {
		return "", errors.New("no hypervisor leaf")
	}
	sig := strings.TrimRight(string(regs[4:]), "\x00")
	if sig == "" || strings.ContainsFunc(sig, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", fmt.Errorf("signature %q", sig)
	}
	return strings.TrimSpace(sig), nil
}

// kvm lists the KVM modules, built in or loaded, and their parameters by
// "module.parameter".
func kvm(root fs.FS) (Fact, map[string]string) {
	modules, err := fs.Glob(root, "sys/module/kvm*")
	if err != nil || len(modules) == 0 {
		return absent("no /sys/module/kvm: KVM is not loaded"), nil
	}
	params := map[string]string{}
	for i, dir := range modules {
		modules[i] = strings.TrimPrefix(dir, "sys/module/")
		files, _ := fs.Glob(root, dir+"/parameters/*")
		for _, path := range files {
			if v := file(root, path); v.Absent == "" {
				params[modules[i]+"."+strings.TrimPrefix(path, dir+"/parameters/")] = v.Value
			}
		}
	}
	return Fact{Value: strings.Join(modules, " ")}, params
}

func totalMem(root fs.FS) Fact {
	raw, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return absent("%s", hostfile.NotRead("proc/meminfo", err))
	}
	kib, err := strconv.ParseUint(strings.TrimSuffix(hostfile.Field(string(raw), "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return absent("/proc/meminfo has no MemTotal")
	}
	return Fact{Value: strconv.FormatUint(kib/1024, 10)}
}
