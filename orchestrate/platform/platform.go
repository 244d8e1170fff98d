// SPDX-License-Identifier: Apache-2.0

// Package platform knows what runs a system: for each VMM its command line, its
// devices and where the guest's console comes out. One file per VMM.
//
// It starts nothing and measures nothing.
package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
)

// Accelerators, as they stand in results.
const (
	KVM  = "kvm"
	TCG  = "tcg"
	None = "none" // nothing is virtualised
)

// Wire is how a platform connects a guest to the network.
type Wire int

// The wires.
const (
	NoWire    Wire = iota
	TapWire        // a tap, opened by the VMM by its name
	VethWire       // a veth into a network namespace, for processes
	MovedWire      // a veth into the namespace of a guest that somebody else starts
)

// Console says where the guest's console bytes can be seen.
type Console struct {
	Port  uint16 // a UART's base port, under KVM; 0 for none
	Write bool   // else the VMM's write(2)s to its standard output
}

// Dir stands, in a launch's Argv, Env and Chroot, for the folder that each sample has of its
// own.
const Dir = "{dir}"

// DirOption is Dir within an option of QEMU's, where a comma ends a value: those of
// the folder's path are doubled.
const DirOption = "{dir,,}"

// Cgroup stands, in a launch's Argv, for the path of the sample's cgroup below the root
// of the hierarchy, such as /ukprobe/RUN/SAMPLE.
const Cgroup = "{cgroup}"

// vmmEnv is the whole environment of a VMM. It is short: HermitCore's guests get it, and
// have little room.
func vmmEnv() []string { return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"} }

// Launch is a command to start.
type Launch struct {
	Argv    []string // Argv[0] is a path, inside Chroot if that is set
	Env     []string // the whole environment
	Chroot  string
	Console Console
	// IdlePort is the port to which the guest writes to wait for something to happen,
	// where that is how a guest of this VMM goes idle; 0 where it halts.
	IdlePort uint16
	Accel    string

	// Files are written into the sample's folder first: content by name.
	Files map[string][]byte
	// Copies are of files and folders that the guest may write to, put there likewise:
	// the path of the original by the copy's name.
	Copies map[string]string
	// Scratch, if not nil, is a file that is filled and put there likewise.
	Scratch *Scratch
	// Drive, if not nil, is called once the VMM has been started, for VMMs that are
	// told what to do by an API. Its error fails the sample. It has to return soon
	// after ctx ends or the VMM has gone.
	Drive func(ctx context.Context, d Driven) error
	// Start, if not nil, takes the place of fork and exec, for guests that somebody
	// else starts. Argv then only says what is done.
	Start func(ctx context.Context, o StartOptions) (Started, error)
}

// Scratch is the disk, or file, of a sample that its guest reads and writes.
type Scratch struct {
	Name  string // in the sample's folder
	Bytes int64
}

// scratch makes the file of a boot's scratch disk, under a name in the sample's folder.
// It throttles nothing and knows no cache but the host's.
func (l *Launch) scratch(b system.Boot, name, platform string) error {
	switch {
	case b.Scratch == nil:
		return nil
	case b.Scratch.IOPS+b.Scratch.BytesPerSecond > 0:
		return fmt.Errorf("%w: scratch: platform %s does not limit reads and writes: leave iops and bytes_per_second out", system.ErrUnsupported, platform)
	case b.Scratch.Cache != matrix.ScratchWriteback:
		return fmt.Errorf("%w: scratch: platform %s knows no cache: %s", system.ErrUnsupported, platform, b.Scratch.Cache)
	}
	l.Scratch = scratchFile(b, name)
	return nil
}

func scratchFile(b system.Boot, name string) *Scratch {
	return &Scratch{Name: name, Bytes: int64(b.Scratch.SizeMiB) << 20}
}

// scratchDisk is the usual name of a scratch disk's file.
const scratchDisk = "scratch.raw"

// Driven is a VMM that has been started and waits to be told what to do.
type Driven struct {
	Dir string // of the sample
	// Event notes that something happened now, for the timeline: user space's own
	// times, which are told apart there.
	Event func(name string)
}

// StartOptions are where a guest is to be started that somebody else starts.
type StartOptions struct {
	Dir            string // of the sample
	Cgroup         string // its path below the root of the hierarchy, such as /ukprobe/RUN/SAMPLE
	Journal        *journal.Journal
	Stdout, Stderr io.Writer
	// NetNS moves the sample's network device to the process's namespace.
	NetNS func(pid int) error
	Event func(name string) // as in Driven
}

// Started is a guest that somebody else has started.
type Started interface {
	// Wait returns when the guest has ended, with why if that was not well.
	Wait() error
	// Kill ends it at once.
	Kill(ctx context.Context) error
	// Close removes what is left of it, after Wait.
	Close() error
}

// Firmware is what a guest runs before its image.
type Firmware struct {
	Name string // "" where the VMM starts the image itself
	// OptionROM is where the firmware runs the ROM with which the VMM has it load
	// the image; nil if the firmware loads it itself.
	OptionROM *probe.Segment
}

// Resources are what a guest is given.
type Resources struct {
	MemoryMiB int
	VCPUs     int
	Accel     string
	Emulated  bool  // KVM has no hardware behind it
	DHCP      bool  // the guest asks for its address, and is not told it
	Vhost     bool  // vhost-net moves the guest's frames
	CPUs      []int // of the VMM or process; none: any
}

// Platform is one column of the boot matrix.
type Platform interface {
	Name() string
	// Wire is the network that a guest on this platform has.
	Wire() Wire
	// Accel resolves what a cell asks for (auto, kvm, tcg) on this host, or
	// says why it cannot be.
	Accel(want string, b system.Boot, h Host) (string, error)
	// Launch makes the command. nic is nil if there is no wire; cmdline is all that
	// the guest is told.
	Launch(b system.Boot, r Resources, nic *network.Guest, cmdline string) (Launch, error)
	// Firmware is what its guests run before their image.
	Firmware() Firmware
	// Program is the VMM's name, as found in PATH; "" if there is none.
	Program() string
}

// Exits is a platform that gives exit statuses a meaning of their own.
type Exits interface {
	// Exit says what a VMM's exit status means; "" if it is nothing special.
	Exit(status int) string
}

// Versioner is a platform without a program that could be asked for its version.
type Versioner interface {
	Version(context.Context) (string, error)
}

// TapUser is a platform whose VMM may not be root.
type TapUser interface {
	// TapUser is the number of the user and the group that have to be able to open
	// the guest's tap; 0 for root.
	TapUser() int
}

// BootTimed is a platform whose VMM has a boot timer, which ends at a write of the guest.
type BootTimed interface{ BootTimer() }

// Command makes the command with which a system's app is started on a platform.
// nic is nil if there is no wire.
func Command(s system.System, p Platform, b system.Boot, r Resources, nic *network.Guest) (Launch, error) {
	var net *system.Addresses
	if _, ok := p.(qemu); r.Vhost && !ok {
		return Launch{}, fmt.Errorf("%w: vhost: platform %s has no vhost-net: leave that out", system.ErrUnsupported, p.Name())
	}
	switch {
	case nic != nil && r.DHCP:
		asker, ok := s.(system.Asker)
		if !ok || p.Wire() != TapWire {
			return Launch{}, fmt.Errorf("%w: address dhcp: %s on platform %s does not ask for its address: leave that out", system.ErrUnsupported, s.Name(), p.Name())
		}
		return p.Launch(b, r, nic, asker.AskingCommandLine(b))
	case nic != nil:
		net = &system.Addresses{Prefix: nic.Prefix(), Gateway: nic.Gateway()}
	}
	cmdline, err := s.CommandLine(b, net)
	if err != nil {
		return Launch{}, fmt.Errorf("command line of %s: %w", s.Name(), err)
	}
	return p.Launch(b, r, nic, cmdline)
}

// All returns the platforms in the order of tables.
func All() []Platform {
	return []Platform{
		qemu{name: "qemu"}, qemu{name: "qemu1nic", nic: true}, qemu{name: "qemumicrovm", nic: true, microvm: true},
		firecracker{}, solo5HVT, solo5SPT, solo5Virtio{}, uhyve{}, docker{}, process{},
	}
}

// Find returns the platform of that name.
func Find(name string) (Platform, error) {
	var names []string
	for _, p := range All() {
		if p.Name() == name {
			return p, nil
		}
		names = append(names, p.Name())
	}
	return nil, fmt.Errorf("platform %q: not known: use one of %s", name, strings.Join(names, ", "))
}

// Host is what a host offers to virtual machines.
type Host struct {
	KVM       bool   // /dev/kvm opens, and KVM answers there
	KVMReason string // why not
	Hardware  bool   // the CPU has VMX or SVM behind it
}

// DetectHost looks at /dev/kvm and the CPU's flags.
func DetectHost() Host {
	var h Host
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case err == nil:
		h.KVMReason = notKVM(f)
		h.KVM = h.KVMReason == ""
		_ = f.Close()
	case errors.Is(err, os.ErrPermission):
		h.KVMReason = fmt.Sprintf("%v: run as root or join group kvm", err)
	default:
		h.KVMReason = fmt.Sprintf("%v: load kvm_intel or kvm_amd (modprobe), and see that virtualisation is switched on in the firmware", err)
	}
	h.Hardware = probe.HasVirtualisation()
	return h
}

// kvmAPIVersion is the only one there is: Linux, Documentation/virt/kvm/api.rst.
const kvmAPIVersion = 12

// notKVM asks what was opened as /dev/kvm for KVM's version, and says what is wrong
// with the answer; "" if it is KVM.
func notKVM(f *os.File) string {
	const kvmGetAPIVersion = 0xae00
	v, err := unix.IoctlRetInt(int(f.Fd()), kvmGetAPIVersion)
	switch {
	case err != nil:
		return fmt.Sprintf("%s opens and is not KVM: KVM_GET_API_VERSION: %v: see what is mounted there", f.Name(), err)
	case v != kvmAPIVersion:
		return fmt.Sprintf("%s opens and is not KVM: API version %d, want %d: see what is mounted there", f.Name(), v, kvmAPIVersion)
	}
	return ""
}

// errNoKVM explains why KVM cannot be used.
func (h Host) errNoKVM() error {
	return fmt.Errorf("%w: accel kvm: %s", system.ErrUnsupported, h.KVMReason)
}

// kvmOnly is the choice of a VMM that has nothing else.
func (h Host) kvmOnly(platform, want string, b system.Boot) (string, error) {
	switch {
	case want == matrix.AccelTCG:
		return "", fmt.Errorf("%w: accel tcg: platform %s has only KVM", system.ErrUnsupported, platform)
	case !h.KVM:
		return "", h.errNoKVM()
	case want == matrix.AccelAuto && !h.Hardware && !b.FPUFree:
		return "", fmt.Errorf("%w: accel auto: platform %s has only KVM, and KVM here has no hardware behind it, so that guests that use the FPU or SSE fail: use --accel kvm to try", system.ErrUnsupported, platform)
	}
	return KVM, nil
}

// resolve is the choice of accelerator that all VMMs share: KVM where hardware
// stands behind it; where KVM only emulates instructions, only for guests that
// never touch the FPU; else TCG.
func (h Host) resolve(want string, b system.Boot) (string, error) {
	switch want {
	case matrix.AccelTCG:
		return TCG, nil
	case matrix.AccelKVM:
		if !h.KVM {
			return "", h.errNoKVM()
		}
		return KVM, nil
	}
	if h.KVM && (h.Hardware || b.FPUFree) {
		return KVM, nil
	}
	return TCG, nil
}
