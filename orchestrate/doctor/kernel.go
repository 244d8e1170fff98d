// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/ukprobe/ukprobe/internal/hostfile"
)

const newerKernel = "boot a newer kernel (apt-get install linux-image-amd64)"

// kernel judges the running kernel, as far as files tell.
func kernel(root fs.FS) []Check {
	return []Check{release(root), btf(root), moduleBTF(root), tracefs(root), lockdown(root)}
}

// release: the oldest kernel is the one with the BPF ring buffer, 5.8.
func release(root fs.FS) Check {
	const g = group(groupKernel)
	r, err := line(root, "proc/sys/kernel/osrelease")
	if err != nil {
		return g.warn("release", "unknown: "+hostfile.NotRead("proc/sys/kernel/osrelease", err), "mount /proc")
	}
	major, minor, err := parseRelease(r)
	if err != nil {
		return g.warn("release", r+": not a kernel version that is understood", "see `uname -r`")
	}
	if major < 5 || major == 5 && minor < 8 {
		return needed(g.fail("release", r+": older than Linux 5.8, which has the BPF ring buffer", newerKernel))
	}
	return needed(g.ok("release", r))
}

// parseRelease reads the first two numbers of `uname -r`.
func parseRelease(r string) (major, minor int, err error) {
	_, err = fmt.Sscanf(r, "%d.%d", &major, &minor)
	return major, minor, err
}

func btf(root fs.FS) Check {
	const g = group(groupKernel)
	if !exists(root, "sys/kernel/btf/vmlinux") {
		return needed(g.fail("btf", "no /sys/kernel/btf/vmlinux: no program of ukprobe's can be loaded",
			"boot a kernel built with CONFIG_DEBUG_INFO_BTF (Debian's are)"))
	}
	return needed(g.ok("btf", "/sys/kernel/btf/vmlinux"))
}

// moduleBTF looks at the modules whose types the hooks need. One that is built
// in has them in vmlinux; only loaded ones have an initstate.
func moduleBTF(root fs.FS) Check {
	const g = group(groupKernel)
	var have, lack []string
	for _, name := range []string{"kvm", "kvm_amd", "kvm_intel", "tun"} {
		switch {
		case !exists(root, path.Join("sys/module", name, "initstate")):
		case exists(root, path.Join("sys/kernel/btf", name)):
			have = append(have, name)
		default:
			lack = append(lack, name)
		}
	}
	switch {
	case len(lack) > 0:
		return g.warn("btf-modules", "none for "+strings.Join(lack, " ")+": its hooks lose fentry and tp_btf",
			"boot a kernel built with CONFIG_DEBUG_INFO_BTF_MODULES")
	case len(have) == 0:
		return g.ok("btf-modules", "none of kvm, kvm_amd, kvm_intel, tun is loaded as a module; built-in ones are in vmlinux")
	}
	return g.ok("btf-modules", strings.Join(have, " "))
}

func tracefs(root fs.FS) Check {
	const g = group(groupKernel)
	raw, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return g.warn("tracefs", "unknown: "+hostfile.NotRead("proc/self/mountinfo", err), "mount /proc")
	}
	for l := range strings.Lines(string(raw)) {
		before, after, ok := strings.Cut(l, " - ")
		if f := strings.Fields(before); ok && strings.HasPrefix(after, "tracefs ") && len(f) > 4 {
			return g.ok("tracefs", "mounted at "+f[4])
		}
	}
	return g.warn("tracefs", "not mounted: rung tracepoint is lost, and kprobe on kernels without its perf device",
		"mount -t tracefs none /sys/kernel/tracing")
}

// lockdown reads the kernel's lockdown level, kernel_lockdown(7): with
// confidentiality BPF programs may not read kernel memory.
func lockdown(root fs.FS) Check {
	const g = group(groupKernel)
	const file = "sys/kernel/security/lockdown"
	text, err := line(root, file)
	if err != nil {
		return g.warn("lockdown", "unknown: "+hostfile.NotRead(file, err), "mount -t securityfs none /sys/kernel/security, to see it")
	}
	_, rest, _ := strings.Cut(text, "[")
	level, _, ok := strings.Cut(rest, "]")
	switch {
	case !ok:
		return g.warn("lockdown", fmt.Sprintf("unknown: /%s says %q", file, text), "look at the file")
	case level == "confidentiality":
		return g.fail("lockdown", level+": BPF programs may not read the kernel's memory", "boot with lockdown=none, or without Secure Boot")
	}
	return g.ok("lockdown", level)
}
