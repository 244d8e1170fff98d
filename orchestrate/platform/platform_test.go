// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
)

// fakeQEMU puts a program of QEMU's name alone into PATH and returns its path.
func fakeQEMU(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qemu-system-x86_64")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(path))
	return path
}

func guestNIC() network.Guest {
	return network.Guest{Name: "uktap7", MAC: net.HardwareAddr{0x52, 0x54, 0, 18, 0, 9}, IP: netip.MustParseAddr("198.18.0.9")}
}

// TestArgv: every platform, accelerator and wire, word by word.
func TestArgv(t *testing.T) {
	path := fakeQEMU(t)
	kernel := system.Boot{Kernel: "/images/vmlinuz", Cmdline: "console=ttyS0"}
	withInitrd := kernel
	withInitrd.Initrd = "/images/initrd"
	bare := system.Boot{Kernel: "/images/reference.elf"}
	images := []struct {
		name  string
		image system.Boot
	}{{"a kernel with an initrd", withInitrd}, {"a kernel without a command line", bare}}
	var out strings.Builder
	for _, p := range All() {
		if _, ok := p.(qemu); !ok {
			continue
		}
		for _, accel := range []string{KVM, TCG} {
			for _, im := range images {
				var nic *network.Guest
				cmdline := im.image.Cmdline
				if p.Wire() == TapWire {
					g := guestNIC()
					nic, cmdline = &g, strings.TrimSpace(cmdline+" ip=198.18.0.9/24")
				}
				l, err := p.Launch(im.image, Resources{MemoryMiB: 512, VCPUs: 2, Accel: accel}, nic, cmdline)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "# %s, %s, %s\nconsole port 0x%x, write %v; accel %s; chroot %q; env %q\n", p.Name(), accel, im.name,
					l.Console.Port, l.Console.Write, l.Accel, l.Chroot, l.Env)
				for _, arg := range l.Argv {
					fmt.Fprintf(&out, "%s\n", strings.Replace(arg, path, "/path/to/qemu-system-x86_64", 1))
				}
				out.WriteString("\n")
			}
		}
	}
	golden.Check(t, "argv.txt", out.String())
}

// TestCPUWithoutHardware: only KVM that emulates refuses arch-capabilities.
func TestCPUWithoutHardware(t *testing.T) {
	for want, r := range map[string]Resources{
		"host,-arch-capabilities": {Accel: KVM, Emulated: true},
		"host":                    {Accel: KVM},
		"max":                     {Accel: TCG, Emulated: true},
	} {
		if got := cpuModel(r); got != want {
			t.Errorf("%+v: %s, want %s", r, got, want)
		}
	}
}

func TestProcessLaunch(t *testing.T) {
	p, err := Find("process")
	if err != nil {
		t.Fatal(err)
	}
	b := system.Boot{RootFS: "/root", Argv: []string{"/bin/app", "-x"}, Env: []string{"A=b"}}
	got, err := p.Launch(b, Resources{Accel: None}, nil, "ignored")
	want := Launch{Argv: []string{"/bin/app", "-x"}, Env: []string{"A=b"}, Chroot: "{dir}/root", Copies: map[string]string{"root": "/root"}, Console: Console{Write: true}, Accel: None}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestLaunchRefuses(t *testing.T) {
	fakeQEMU(t)
	program := system.Boot{RootFS: "/root", Argv: []string{"/bin/app"}}
	tests := []struct {
		platform string
		image    system.Boot
		text     string
	}{
		{"qemu", program, "unsupported: platform qemu boots kernels; this system is not one"},
		{"qemumicrovm", program, "unsupported: platform qemumicrovm boots kernels; this system is not one"},
		{"process", system.Boot{Kernel: "/vmlinuz"}, "unsupported: platform process runs programs; this system is a guest"},
		{"process", system.Boot{RootFS: "/root"}, "unsupported: platform process runs programs; this system is a guest"},
		{"process", system.Boot{Argv: []string{"/bin/app"}}, "unsupported: platform process runs programs; this system is a guest"},
	}
	for _, tt := range tests {
		p, err := Find(tt.platform)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = p.Launch(tt.image, Resources{}, nil, ""); !errors.Is(err, system.ErrUnsupported) || err.Error() != tt.text {
			t.Errorf("%s with %+v: %v, want %s", tt.platform, tt.image, err, tt.text)
		}
	}
	t.Setenv("PATH", t.TempDir())
	_, err := qemu{name: "qemu"}.Launch(system.Boot{Kernel: "/vmlinuz"}, Resources{}, nil, "")
	if err == nil || errors.Is(err, system.ErrUnsupported) || !strings.Contains(err.Error(), "find qemu-system-x86_64") || !strings.Contains(err.Error(), "apt-get install qemu-system-x86") {
		t.Errorf("no QEMU: %v: must say what to install, and is a failure", err)
	}
}

// TestOptionROM: only where SeaBIOS loads the kernel, and where ROMs are, apart
// from its header.
func TestOptionROM(t *testing.T) {
	for _, p := range All() {
		f := p.Firmware()
		if (f.OptionROM != nil) != (f.Name == "seabios") {
			t.Errorf("%s: %+v", p.Name(), f)
		}
		if rom := f.OptionROM; rom != nil && (rom.Stage != probe.StageOptionROM || rom.Lo < 0xc0004 || rom.Hi > 0xd0000 || rom.Lo >= rom.Hi) {
			t.Errorf("%s: option ROM %+v", p.Name(), *rom)
		}
	}
}

func TestFind(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All() {
		got, err := Find(p.Name())
		if err != nil || got != p || seen[p.Name()] {
			t.Errorf("%s: %v, %v", p.Name(), got, err)
		}
		seen[p.Name()] = true
	}
	if _, err := Find("xen"); err == nil || !strings.HasPrefix(err.Error(), `platform "xen": not known: use one of qemu, qemu1nic, `) {
		t.Errorf("xen: %v", err)
	}
}

func TestAccel(t *testing.T) {
	fpu, free := system.Boot{}, system.Boot{FPUFree: true}
	clock := system.Boot{QEMU: system.QEMU{MicrovmKVM: "no clock"}}
	none := Host{KVMReason: "open /dev/kvm: permission denied: run as root or join group kvm"}
	emulating, hardware := Host{KVM: true}, Host{KVM: true, Hardware: true}
	tests := []struct {
		platform, want string
		image          system.Boot
		host           Host
		accel          string
		err            string
	}{
		{"qemu", "auto", fpu, hardware, KVM, ""},
		{"qemu", "auto", free, hardware, KVM, ""},
		{"qemu", "auto", fpu, emulating, TCG, ""},
		{"qemu", "auto", free, emulating, KVM, ""},
		{"qemu", "auto", free, none, TCG, ""},
		{"qemu", "auto", free, Host{Hardware: true}, TCG, ""}, // the CPU alone is not enough
		{"qemu1nic", "tcg", free, hardware, TCG, ""},
		{"qemumicrovm", "kvm", fpu, emulating, KVM, ""}, // who asks for it gets it
		{"qemumicrovm", "tcg", clock, hardware, "", "unsupported: accel tcg: platform qemumicrovm without KVM: no clock"},
		{"qemumicrovm", "auto", clock, emulating, "", "unsupported: accel tcg: platform qemumicrovm without KVM: no clock"},
		{"qemumicrovm", "auto", clock, hardware, KVM, ""},
		{"qemu", "auto", clock, emulating, TCG, ""},
		{"qemu", "kvm", fpu, none, "", "unsupported: accel kvm: open /dev/kvm: permission denied: run as root or join group kvm"},
		{"process", "kvm", fpu, none, None, ""},
		{"process", "tcg", fpu, hardware, None, ""},
	}
	for _, tt := range tests {
		p, err := Find(tt.platform)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Accel(tt.want, tt.image, tt.host)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != tt.accel || text != tt.err || (err != nil && !errors.Is(err, system.ErrUnsupported)) {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
}

// TestDetectHost holds what is found against the machine itself.
func TestDetectHost(t *testing.T) {
	h := DetectHost()
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err == nil {
		_ = f.Close()
	}
	if h.KVM != (err == nil) || h.KVM != (h.KVMReason == "") {
		t.Errorf("%+v, but opening /dev/kvm gives %v", h, err)
	}
}

// TestNotKVM: what opens is asked whether it is KVM.
func TestNotKVM(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := notKVM(f); !strings.HasPrefix(got, "/dev/null opens and is not KVM: KVM_GET_API_VERSION: inappropriate ioctl") || !strings.HasSuffix(got, ": see what is mounted there") {
		t.Errorf("/dev/null: %q", got)
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Skip("needs /dev/kvm: ", err)
	}
	defer kvm.Close()
	if got := notKVM(kvm); got != "" {
		t.Errorf("/dev/kvm: %q", got)
	}
}

// TestBootTimed: it is the platform that has a boot timer, whatever its program is called.
func TestBootTimed(t *testing.T) {
	t.Setenv(EnvQEMU, "/opt/firecracker-lab/qemu-system-x86_64")
	t.Setenv(EnvFirecracker, "/opt/fc")
	for _, p := range All() {
		if _, ok := p.(BootTimed); ok != (p.Name() == "firecracker") {
			t.Errorf("%s: %v", p.Name(), ok)
		}
	}
}
