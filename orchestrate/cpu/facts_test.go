// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func files(m map[string]string) fstest.MapFS {
	fs := fstest.MapFS{}
	for path, text := range m {
		fs[path] = &fstest.MapFile{Data: []byte(text)}
	}
	return fs
}

func TestFactsOfOtherMachines(t *testing.T) {
	tests := []struct {
		name string
		in   map[string]string
		want HostFacts
	}{
		{
			name: "a server of bare metal",
			in: map[string]string{
				"proc/cpuinfo":                                 "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz\nflags\t\t: fpu vmx\n\nprocessor\t: 1\n",
				"proc/cmdline":                                 "root=/dev/sda1 isolcpus=2-3\n",
				"proc/sys/kernel/osrelease":                    "6.1.0-28-amd64\n",
				"proc/meminfo":                                 "MemTotal:       131072000 kB\nMemFree: 1 kB\n",
				sysCPU + "online":                              "0-3\n",
				sysCPU + "isolated":                            "2-3\n",
				sysCPU + "smt/control":                         "off\n",
				sysCPU + "cpu0/cpufreq/scaling_governor":       "powersave\n",
				sysCPU + "cpu1/cpufreq/scaling_governor":       "powersave\n",
				sysCPU + "cpu2/cpufreq/scaling_governor":       "performance\n",
				sysCPU + "cpu3/cpufreq/scaling_governor":       "performance\n",
				"sys/module/kvm/parameters/halt_poll_ns":       "200000\n",
				"sys/module/kvm_intel/parameters/ept":          "Y\n",
				"sys/module/kvm_intel/parameters/enable_apicv": "Y\n",
			},
			want: HostFacts{
				CPUModel: Fact{Value: "Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz"}, OnlineCPUs: Fact{Value: "4"},
				SMT: Fact{Value: "off"}, Isolated: Fact{Value: "2-3"},
				Governor:   Fact{Value: "powersave (0-1), performance (2-3)"},
				Hypervisor: Fact{Value: "none"}, KVM: Fact{Value: "kvm kvm_intel"},
				KVMParams: map[string]string{"kvm.halt_poll_ns": "200000", "kvm_intel.ept": "Y", "kvm_intel.enable_apicv": "Y"},
				Cmdline:   Fact{Value: "root=/dev/sda1 isolcpus=2-3"}, Kernel: Fact{Value: "6.1.0-28-amd64"}, TotalMemMiB: Fact{Value: "128000"},
			},
		},
		{
			name: "a virtual machine with DMI, one governor, nothing isolated",
			in: map[string]string{
				"proc/cpuinfo":                           "model name\t: QEMU Virtual CPU\nflags\t\t: fpu hypervisor\n",
				"sys/class/dmi/id/sys_vendor":            "QEMU\n",
				sysCPU + "online":                        "0\n",
				sysCPU + "isolated":                      "\n",
				sysCPU + "cpu0/cpufreq/scaling_governor": "performance\n",
				"proc/meminfo":                           "nothing\n",
			},
			want: HostFacts{
				CPUModel: Fact{Value: "QEMU Virtual CPU"}, OnlineCPUs: Fact{Value: "1"},
				SMT: Fact{Absent: "no /sys/devices/system/cpu/smt/control"}, Isolated: Fact{Value: "none"},
				Governor: Fact{Value: "performance"}, Hypervisor: Fact{Value: "yes, on a machine by QEMU"},
				KVM:     Fact{Absent: "no /sys/module/kvm: KVM is not loaded"},
				Cmdline: Fact{Absent: "no /proc/cmdline"}, Kernel: Fact{Absent: "no /proc/sys/kernel/osrelease"},
				TotalMemMiB: Fact{Absent: "/proc/meminfo has no MemTotal"},
			},
		},
		{
			name: "nothing readable",
			want: HostFacts{
				CPUModel:   Fact{Absent: "no /proc/cpuinfo"},
				OnlineCPUs: Fact{Absent: "online CPUs: open sys/devices/system/cpu/online: file does not exist: is /sys mounted?"},
				SMT:        Fact{Absent: "no /sys/devices/system/cpu/smt/control"},
				Isolated:   Fact{Absent: "no /sys/devices/system/cpu/isolated"},
				Governor:   Fact{Absent: "online CPUs: open sys/devices/system/cpu/online: file does not exist: is /sys mounted?"},
				Hypervisor: Fact{Absent: "no /proc/cpuinfo"}, KVM: Fact{Absent: "no /sys/module/kvm: KVM is not loaded"},
				Cmdline: Fact{Absent: "no /proc/cmdline"}, Kernel: Fact{Absent: "no /proc/sys/kernel/osrelease"},
				TotalMemMiB: Fact{Absent: "no /proc/meminfo"},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, readFacts(files(tt.in))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHypervisorKinds(t *testing.T) {
	for want, in := range map[string]map[string]string{
		"xen": {"sys/hypervisor/type": "xen\n"},
		"absent: /proc/cpuinfo has no flags on this architecture": {"proc/cpuinfo": "Features\t: fp asimd\n"},
		"yes, unnamed (no /dev/cpu/0/cpuid, no DMI)":              {"proc/cpuinfo": "flags\t: hypervisor\n"},
	} {
		if got := readFacts(files(in)).Hypervisor.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSignature(t *testing.T) {
	regs := func(leaf byte, sig string) (r [16]byte) {
		r[0], r[3] = leaf, 0x40
		copy(r[4:], sig)
		return r
	}
	for sig, want := range map[string]string{"KVMKVMKVM\x00\x00\x00": "KVMKVMKVM", "Microsoft Hv": "Microsoft Hv", "TCGTCGTCGTCG": "TCGTCGTCGTCG"} {
		if got, err := parseSignature(regs(1, sig)); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	for name, r := range map[string][16]byte{"no leaf": {}, "no name": regs(1, ""), "not a name": regs(1, "\x01\x02\x03\x04")} {
		if got, err := parseSignature(r); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestFactsHere holds the facts against what the kernel says elsewhere.
func TestFactsHere(t *testing.T) {
	f := Facts()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		t.Fatal(err)
	}
	if got := unix.ByteSliceToString(u.Release[:]); f.Kernel.Value != got {
		t.Errorf("kernel %q, uname says %q", f.Kernel, got)
	}
	if got := strconv.FormatUint(si.Totalram*uint64(si.Unit)>>20, 10); f.TotalMemMiB.Value != got {
		t.Errorf("memory %q MiB, sysinfo says %q", f.TotalMemMiB, got)
	}
	if _, err := os.Stat("/sys/module/kvm"); (err == nil) != (f.KVM.Absent == "") {
		t.Errorf("kvm: %v", f.KVM)
	}
	raw, err := json.Marshal(f)
	if err != nil || !strings.Contains(string(raw), `"Kernel":"`+f.Kernel.Value+`"`) {
		t.Errorf("%v: %s", err, raw)
	}
	t.Logf("cpu %s; smt %s; isolated %s; governor %s; hypervisor %s; kvm %s (%d parameters)",
		f.CPUModel, f.SMT, f.Isolated, f.Governor, f.Hypervisor, f.KVM, len(f.KVMParams))
}
