// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

// files makes a file system of path and content.
func files(content map[string]string) fs.FS {
	m := fstest.MapFS{}
	for path, text := range content {
		m[path] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

// with is a copy of content with other files; "" removes one.
func with(content, other map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{content, other} {
		for path, text := range m {
			if out[path] = text; text == "" {
				delete(out, path)
			}
		}
	}
	return out
}

const rootStatus = "Name:\tukprobe\nUid:\t0\t0\t0\t0\nCapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n"

// lab is an Intel machine with Debian 12, KVM and tun as modules.
var lab = map[string]string{
	"proc/self/status":               rootStatus,
	"proc/sys/kernel/osrelease":      "6.1.0-37-amd64\n",
	"sys/kernel/btf/vmlinux":         "x",
	"sys/kernel/btf/kvm":             "x",
	"sys/kernel/btf/kvm_intel":       "x",
	"sys/kernel/btf/tun":             "x",
	"sys/module/kvm/initstate":       "live\n",
	"sys/module/kvm_intel/initstate": "live\n",
	"sys/module/tun/initstate":       "live\n",
	"sys/kernel/security/lockdown":   "[none] integrity confidentiality\n",
	"proc/self/mountinfo": "23 29 0:21 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n" +
		"38 23 0:34 / /sys/kernel/tracing rw,nosuid shared:17 - tracefs tracefs rw\n",
	"boot/config-6.1.0-37-amd64": "# CONFIG_NET_NOTHING is not set\n" + strings.Join([]string{
		"CONFIG_BPF_SYSCALL=y", "CONFIG_DEBUG_INFO_BTF=y", "CONFIG_CGROUPS=y", "CONFIG_NET_NS=y", "CONFIG_BRIDGE=m", "CONFIG_BPF_JIT=y",
		"CONFIG_FUNCTION_TRACER=y", "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y", "CONFIG_KPROBES=y", "CONFIG_KPROBE_EVENTS=y",
		"CONFIG_BPF_EVENTS=y", "CONFIG_KVM=m", "CONFIG_TUN=m", "CONFIG_VETH=m", "CONFIG_NET_SCH_INGRESS=m", "CONFIG_NET_CLS_BPF=m"}, "\n") + "\n",
	"proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz\nflags\t\t: fpu vme sse sse2 ht vmx smx est\nvmx flags\t: vnmi\n",
}

var labFacts = cpu.HostFacts{
	CPUModel: cpu.Fact{Value: "Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz"}, OnlineCPUs: cpu.Fact{Value: "32"},
	SMT: cpu.Fact{Value: "on"}, Isolated: cpu.Fact{Value: "2-5,18-21"}, Governor: cpu.Fact{Value: "powersave (0-1), performance (2-31)"},
	Hypervisor: cpu.Fact{Value: "none"}, KVM: cpu.Fact{Value: "kvm kvm_intel"}, Kernel: cpu.Fact{Value: "6.1.0-37-amd64"},
	KVMParams: map[string]string{"kvm.nx_huge_pages": "Y", "kvm.halt_poll_ns": "200000", "kvm_intel.nested": "Y"},
}

// brief is a check's verdict and what begins it.
type brief struct {
	Status Status
	Found  string
}

// compare wants these checks among the ones there are, the text as a prefix, a
// remedy exactly where the status is not OK, and no other check that is not OK.
func compare(t *testing.T, got []Check, want map[string]brief) {
	t.Helper()
	seen := map[string]brief{}
	for _, c := range got {
		w, ok := want[c.ID]
		if !ok {
			if c.Status != OK {
				t.Errorf("%s is %s: %s", c.ID, c.Status, c.Found)
			}
			continue
		}
		found := c.Found
		if strings.HasPrefix(found, w.Found) {
			found = w.Found
		}
		seen[c.ID] = brief{c.Status, found}
		if (c.Remedy != "") != (c.Status != OK) {
			t.Errorf("%s is %s with the remedy %q", c.ID, c.Status, c.Remedy)
		}
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
}

func TestLabMachine(t *testing.T) {
	root := files(lab)
	got := fromFiles(root, labFacts)
	got = append(got, kvmChecks(root, platform.Host{KVM: true, Hardware: true}, labFacts)...)
	plan := cpu.Plan{VCPU: []int{2}, VMM: []int{3}, Client: []int{0, 1, 6}, Reason: "16 physical cores: vcpu, vmm and client on cores of their own"}
	got = append(got, cpuChecks(labFacts, plan, nil)...)
	compare(t, got, map[string]brief{
		"privileges.capabilities":  {OK, "root, with CAP_BPF CAP_PERFMON CAP_NET_ADMIN CAP_SYS_ADMIN"},
		"kernel.release":           {OK, "6.1.0-37-amd64"},
		"kernel.btf-modules":       {OK, "kvm kvm_intel tun"},
		"kernel.tracefs":           {OK, "mounted at /sys/kernel/tracing"},
		"kernel.lockdown":          {OK, "none"},
		"config.config":            {OK, "read from /boot/config-6.1.0-37-amd64"},
		"config.CONFIG_KPROBES":    {OK, "y"},
		"config.CONFIG_TUN":        {OK, "m (a module)"},
		"config.CONFIG_NET_XGRESS": {Warn, "not set. Lost: tcx; clsact is taken"},
		"kvm.device":               {OK, "/dev/kvm opens; kvm kvm_intel"},
		"kvm.hardware":             {OK, "VMX, GenuineIntel"},
		"kvm.nested":               {OK, "no"},
		"kvm.nx_huge_pages":        {Warn, "Y: "},
		"kvm.halt_poll_ns":         {OK, "200000: "},
		"cpus.online":              {OK, "32, Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz"},
		"cpus.governor":            {Warn, "powersave (0-1), performance (2-31): "},
		"cpus.smt":                 {Warn, "on: "},
		"cpus.isolated":            {OK, "2-5,18-21"},
		"cpus.plan":                {OK, "16 physical cores: vcpu, vmm and client on cores of their own (vcpu 2, vmm 3, client 0-1,6)"},
	})
}

func TestPoorMachine(t *testing.T) {
	root := files(map[string]string{
		"proc/self/status":             "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000001000\n",
		"proc/sys/kernel/osrelease":    "5.4.0-150-generic\n",
		"sys/module/tun/initstate":     "live\n",
		"sys/kernel/security/lockdown": "none integrity [confidentiality]\n",
		"proc/self/mountinfo":          "23 29 0:21 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n",
		"proc/cpuinfo":                 "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu sse hypervisor\n",
	})
	none := cpu.Fact{Absent: "no /sys"}
	facts := cpu.HostFacts{CPUModel: none, OnlineCPUs: none, SMT: none, Isolated: none, Governor: none, Hypervisor: none, KVM: none, Kernel: cpu.Fact{Value: "5.4.0-150-generic"}}
	got := fromFiles(root, facts)
	got = append(got, kvmChecks(root, platform.Host{KVMReason: "open /dev/kvm: no such file or directory: load kvm_intel"}, facts)...)
	got = append(got, cpuChecks(facts, cpu.Plan{}, errors.New("online CPUs: no /sys"))...)
	compare(t, got, map[string]brief{
		"privileges.capabilities": {Fail, "uid 1000, without CAP_BPF CAP_PERFMON CAP_SYS_ADMIN"},
		"kernel.release":          {Fail, "5.4.0-150-generic: older than Linux 5.8"},
		"kernel.btf":              {Fail, "no /sys/kernel/btf/vmlinux"},
		"kernel.btf-modules":      {Warn, "none for tun"},
		"kernel.tracefs":          {Warn, "not mounted"},
		"kernel.lockdown":         {Fail, "confidentiality"},
		"config.config":           {Warn, "not readable: no /proc/config.gz, no /boot/config-5.4.0-150-generic"},
		"kvm.device":              {Fail, "open /dev/kvm: no such file or directory"},
		"kvm.nested":              {Warn, "unknown: no /sys"},
		"cpus.online":             {Warn, "unknown: no /sys"},
		"cpus.governor":           {Warn, "no /sys"},
		"cpus.smt":                {Warn, "unknown: no /sys"},
		"cpus.isolated":           {Warn, "unknown: no /sys"},
		"cpus.plan":               {Fail, "online CPUs: no /sys"},
	})
	r := Report{Checks: got}
	r.judge()
	if diff := cmp.Diff([]string{"privileges.capabilities", "kernel.release", "kernel.btf", "cpus.plan"}, r.BlockedBy); diff != "" {
		t.Errorf("blocked by (-want +got):\n%s", diff)
	}
}

func TestFromFiles(t *testing.T) {
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	if _, err := z.Write([]byte(strings.ReplaceAll(lab["boot/config-6.1.0-37-amd64"], "CONFIG_KPROBES=y", "# CONFIG_KPROBES is not set"))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	tcx := brief{Warn, "not set. Lost: tcx"}
	for name, tc := range map[string]struct {
		other map[string]string
		want  map[string]brief
	}{
		"config.gz comes first": {map[string]string{"proc/config.gz": gz.String()}, map[string]brief{
			"config.config": {OK, "read from /proc/config.gz"}, "config.CONFIG_KPROBES": {Warn, "not set. Lost: kprobe"}, "config.CONFIG_NET_XGRESS": tcx}},
		"config.gz is broken": {map[string]string{"proc/config.gz": "no gzip"}, map[string]brief{
			"config.config": {OK, "read from /boot/config-6.1.0-37-amd64"}, "config.CONFIG_NET_XGRESS": tcx}},
		"no config": {map[string]string{"boot/config-6.1.0-37-amd64": ""}, map[string]brief{
			"config.config": {Warn, "not readable: no /proc/config.gz"}}},
		"nothing of /proc": {map[string]string{"proc/self/status": "", "proc/self/mountinfo": "", "proc/sys/kernel/osrelease": ""}, map[string]brief{
			"privileges.capabilities": {Fail, "unknown: no /proc/self/status"}, "kernel.tracefs": {Warn, "unknown: "}, "kernel.release": {Warn, "unknown: "},
			"config.CONFIG_NET_XGRESS": tcx}},
		"odd files": {map[string]string{"proc/self/status": "CapEff:\tzz\n", "sys/kernel/security/lockdown": "??", "proc/sys/kernel/osrelease": "plan9"}, map[string]brief{
			"privileges.capabilities": {Fail, "unknown: "}, "kernel.lockdown": {Warn, `unknown: /sys/kernel/security/lockdown says "??"`},
			"kernel.release": {Warn, "plan9: not a kernel version"}, "config.CONFIG_NET_XGRESS": tcx}},
		"CAP_SYS_ADMIN includes the newer ones": {map[string]string{"proc/self/status": "Uid:\t0\t0\nCapEff:\t0000000000201000\n"}, map[string]brief{
			"privileges.capabilities": {OK, "root, with CAP_BPF"}, "config.CONFIG_NET_XGRESS": tcx}},
		"5.8 is new enough": {map[string]string{"proc/sys/kernel/osrelease": "5.8.0\n"}, map[string]brief{
			"kernel.release": {OK, "5.8.0"}, "config.CONFIG_NET_XGRESS": tcx}},
	} {
		t.Run(name, func(t *testing.T) { compare(t, fromFiles(files(with(lab, tc.other)), labFacts), tc.want) })
	}
}

func TestKVM(t *testing.T) {
	host := platform.Host{KVM: true, Hardware: true}
	facts := func(kernel, nx string) cpu.HostFacts {
		f := labFacts
		f.Kernel, f.KVMParams = cpu.Fact{Value: kernel}, map[string]string{"kvm.halt_poll_ns": "0"}
		if nx != "" {
			f.KVMParams["kvm.nx_huge_pages"] = nx
		}
		return f
	}
	nested := facts("6.1.0", "never")
	nested.Hypervisor = cpu.Fact{Value: "KVMKVMKVM"}
	amd := with(lab, map[string]string{"proc/cpuinfo": "vendor_id\t: AuthenticAMD\nflags\t\t: fpu svm\n"})
	emulated := host
	emulated.Hardware = false
	for name, tc := range map[string]struct {
		root  map[string]string
		host  platform.Host
		facts cpu.HostFacts
		want  map[string]brief
	}{
		"never":            {lab, host, facts("6.1.0", "never"), map[string]brief{"kvm.nx_huge_pages": {OK, "never"}, "kvm.halt_poll_ns": {OK, "0: "}}},
		"off is not never": {lab, host, facts("6.12.9", "N"), map[string]brief{"kvm.nx_huge_pages": {Warn, "N: "}}},
		"before Linux 6":   {lab, host, facts("5.10.0", "Y"), map[string]brief{"kvm.nx_huge_pages": {OK, "Y"}}},
		"no parameter":     {lab, host, facts("6.1.0", ""), map[string]brief{"kvm.nx_huge_pages": {OK, "this kernel's KVM has no such"}}},
		"AMD, nested":      {amd, host, nested, map[string]brief{"kvm.hardware": {OK, "SVM, AuthenticAMD"}, "kvm.nested": {Warn, "this machine is itself a guest (hypervisor: KVMKVMKVM)"}}},
		"emulated":         {lab, emulated, facts("6.1.0", "never"), map[string]brief{"kvm.hardware": {Warn, "emulated only"}}},
	} {
		t.Run(name, func(t *testing.T) { compare(t, kvmChecks(files(tc.root), tc.host, tc.facts), tc.want) })
	}
}
