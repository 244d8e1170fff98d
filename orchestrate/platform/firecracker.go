// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	fc "github.com/ukprobe/ukprobe/internal/firecracker"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// Environment variables.
const (
	// EnvFirecracker names the Firecracker to run in place of the one in PATH: a
	// path, or a name in PATH.
	EnvFirecracker = "UKPROBE_FIRECRACKER"
	// EnvJailer names the jailer, if microVMs are to be started by one, likewise.
	EnvJailer = "UKPROBE_JAILER"
)

// firecrackerProgram is Firecracker's name in PATH, or the path that was given.
func firecrackerProgram() string { return cmp.Or(os.Getenv(EnvFirecracker), "firecracker") }

// findFirecracker returns the whole path of a program of Firecracker's, for a VMM
// starts in the folder /.
func findFirecracker(name, variable string) (string, error) {
	path, err := lookPath(name)
	if err != nil && os.Getenv(variable) != "" {
		return "", fmt.Errorf("find %s: %w: see %s", name, err, variable)
	}
	if err != nil {
		return "", notHere(fmt.Errorf("find %s: %w: put a release of firecracker-microvm/firecracker into PATH under that name, or its path into %s", name, err, variable))
	}
	return path, nil
}

// notHere marks a VMM that is missing, and that no distribution has, as what cells cannot
// run with on this machine: no failure, if nobody named one.
func notHere(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: %w", system.ErrUnsupported, err)
	}
	return err
}

// Events of a VMM that is told by an API what to do, in this order. They are
// ukprobe's own times: from outside the VMM.
const (
	EventAPIReady        = "api_ready"        // the API's socket accepts connections
	EventInstanceStart   = "instance_start"   // about to send the request to start the guest
	EventInstanceStarted = "instance_started" // it is answered
)

// firecracker is Firecracker, configured and started over its API socket, by its
// jailer if there is to be one.
type firecracker struct{}

// Name implements Platform.
func (firecracker) Name() string { return "firecracker" }

// Program implements Platform.
func (firecracker) Program() string { return firecrackerProgram() }

// TapUser implements TapUser.
func (firecracker) TapUser() int {
	if os.Getenv(EnvJailer) != "" {
		return jailUser
	}
	return 0
}

// Wire implements Platform.
func (firecracker) Wire() Wire { return TapWire }

// Firmware implements Platform: Firecracker loads the kernel itself and enters it.
func (firecracker) Firmware() Firmware { return Firmware{} }

// Accel implements Platform: there is only KVM. Where that cannot be had, and the
// program is not there either, that comes first: with another accelerator the person
// would only learn it next.
func (f firecracker) Accel(want string, b system.Boot, h Host) (string, error) {
	accel, err := h.kvmOnly(f.Name(), want, b)
	if err == nil || want == matrix.AccelTCG {
		return accel, err
	}
	if _, missing := findFirecracker(firecrackerProgram(), EnvFirecracker); missing != nil {
		return "", fmt.Errorf("%w; besides, %s", missing, strings.TrimPrefix(err.Error(), system.ErrUnsupported.Error()+": "))
	}
	return "", err
}

// BootTimer implements BootTimed.
func (firecracker) BootTimer() {}

// firecrackerLog is where Firecracker's log goes: by default it is mixed into the
// guest's console, in the middle of its lines.
const firecrackerLog = "/dev/stderr"

// Launch implements Platform.
func (firecracker) Launch(b system.Boot, r Resources, nic *network.Guest, cmdline string) (Launch, error) {
	if b.Kernel == "" {
		return Launch{}, fmt.Errorf("%w: platform firecracker boots kernels; this system is not one", system.ErrUnsupported)
	}
	path, err := findFirecracker(firecrackerProgram(), EnvFirecracker)
	if err != nil {
		return Launch{}, err
	}
	v, err := firecrackerVersion(path)
	if err != nil {
		return Launch{}, err
	}
	if err := firecrackerTakes(v, b, r); err != nil {
		return Launch{}, err
	}
	l := Launch{Env: vmmEnv(), Accel: r.Accel, Console: Console{Port: com1}}
	m := fc.MicroVM{VCPUs: r.VCPUs, MemoryMiB: r.MemoryMiB, Kernel: b.Kernel, Initrd: b.Initrd, Cmdline: cmdline, Drives: firecrackerDrives(b), Log: firecrackerLog}
	if nic != nil {
		m.NICs = []fc.NIC{{ID: "eth0", Tap: nic.Name, MAC: nic.MAC.String()}}
	}
	socket := Dir + "/api.sock"
	if os.Getenv(EnvJailer) != "" {
		if socket, err = jail(&l, &m, path, v); err != nil {
			return Launch{}, err
		}
	} else {
		l.Argv = append([]string{path}, fc.Args(v, socket, m.Log)...)
		for i, d := range m.Drives {
			if !d.ReadOnly {
				m.Drives[i].Path = l.copyOf(system.Disk{Path: d.Path})
			}
		}
	}
	if b.Scratch != nil {
		if os.Getenv(EnvJailer) != "" {
			return Launch{}, fmt.Errorf("%w: a scratch disk: the jail has none: unset %s", system.ErrUnsupported, EnvJailer)
		}
		if err := l.scratch(b, scratchDisk, "firecracker"); err != nil {
			return Launch{}, err
		}
		m.Drives = append(m.Drives, fc.Drive{ID: "scratch", Path: Dir + "/" + scratchDisk})
	}
	if !v.Unknown() {
		if _, err := m.Calls(v); err != nil {
			return Launch{}, fmt.Errorf("%w: %w", system.ErrUnsupported, err)
		}
	}
	l.Drive = func(ctx context.Context, d Driven) error { return driveFirecracker(ctx, d, socket, v, m) }
	return l, nil
}

// versions is what Firecrackers said of themselves.
var versions learnt[fc.Version]

// firecrackerVersion asks a binary for its version, unless it has been asked.
func firecrackerVersion(path string) (fc.Version, error) {
	return versions.get(path, func() (fc.Version, error) { return fc.AskVersion(context.Background(), path) })
}

// firecrackerCPUs is MAX_SUPPORTED_VCPUS in vmm_config/machine_config.rs, the same in
// every version from 0.18.0 to 1.16. Odd numbers are refused only with hyper-threads
// (ht_enabled, smt), which ukprobe never asks for.
const firecrackerCPUs = 32

// firecrackerTakes says why this version cannot take an image.
func firecrackerTakes(v fc.Version, b system.Boot, r Resources) error {
	if r.VCPUs > firecrackerCPUs {
		return fmt.Errorf("%w: Firecracker gives a guest %d vCPUs at most: vcpus: %d cannot be had", system.ErrUnsupported, firecrackerCPUs, r.VCPUs)
	}
	for _, d := range b.Disks {
		if d.Format != "" && d.Format != "raw" {
			return fmt.Errorf("%w: disk %s: Firecracker takes raw disks, this is %s: qemu-img convert -O raw makes one", system.ErrUnsupported, d.Path, d.Format)
		}
	}
	if b.Kernel == system.Unbuilt { // a description, before there is a file
		return nil
	}
	if err := fc.CheckKernel(v, b.Kernel, r.MemoryMiB); err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			return err
		}
		return fmt.Errorf("%w: %w", system.ErrUnsupported, err)
	}
	return nil
}

// firecrackerDrives: the first disk is the root device, unless there is an initrd,
// which then has the root.
func firecrackerDrives(b system.Boot) []fc.Drive {
	var out []fc.Drive
	for i, d := range b.Disks {
		out = append(out, fc.Drive{ID: fmt.Sprintf("disk%d", i), Path: d.Path, Root: i == 0 && b.Initrd == "", ReadOnly: d.ReadOnly})
	}
	return out
}

// Who a jailed Firecracker is, and its jail: nobody, and one for each sample.
const (
	jailUser = 65534
	jailID   = "ukprobe"
)

// jail has the jailer start Firecracker, chrooted into a folder of the sample's with
// copies of what it needs. The microVM's paths become those inside; returned is where
// the API's socket will be, seen from outside.
func jail(l *Launch, m *fc.MicroVM, path string, v fc.Version) (socket string, err error) {
	jailer, err := findFirecracker(os.Getenv(EnvJailer), EnvJailer)
	if err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil { // as the jailer does, for the jail's name
		return "", fmt.Errorf("firecracker: %w", err)
	}
	m.Log = "" // nothing is there that could take it
	root := filepath.Join(filepath.Base(path), jailID, "root")
	l.Copies = map[string]string{}
	inside := func(name, path string) string {
		l.Copies[filepath.Join(root, name)] = path
		return "/" + name
	}
	m.Kernel = inside("kernel", m.Kernel)
	if m.Initrd != "" {
		m.Initrd = inside("initrd", m.Initrd)
	}
	for i, d := range m.Drives {
		m.Drives[i].Path = inside(d.ID, d.Path)
	}
	const name = "/api.sock"
	j := fc.Jail{Jailer: jailer, Firecracker: path, ID: jailID, UID: jailUser, GID: jailUser, Base: Dir}
	if l.Argv, err = j.Argv(v, fc.Args(v, name, "")); err != nil {
		return "", fmt.Errorf("%w: %w: unset %s", system.ErrUnsupported, err, EnvJailer)
	}
	return Dir + "/" + root + name, nil
}

// apiTime is how long the API's socket may take to come. Firecracker has it within
// milliseconds; under emulation it takes a second.
const apiTime = 15 * time.Second

// driveFirecracker configures and starts the microVM.
func driveFirecracker(ctx context.Context, d Driven, socket string, v fc.Version, m fc.MicroVM) error {
	here := func(path string) string { return strings.ReplaceAll(path, Dir, d.Dir) }
	c := fc.NewClient(here(socket))
	defer c.Close()
	if err := c.Wait(ctx, apiTime); err != nil {
		return err
	}
	d.Event(EventAPIReady)
	if v.Unknown() {
		var err error
		if v, err = c.Version(ctx); err != nil {
			return err
		}
	}
	drives := append([]fc.Drive(nil), m.Drives...)
	for i := range drives {
		drives[i].Path = here(drives[i].Path)
	}
	m.Drives = drives
	calls, err := m.Calls(v)
	if err != nil {
		return err
	}
	for _, call := range calls {
		if err := c.Do(ctx, call); err != nil {
			return err
		}
	}
	d.Event(EventInstanceStart)
	if err := c.Do(ctx, fc.Start()); err != nil {
		return err
	}
	d.Event(EventInstanceStarted)
	return nil
}
