// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/internal/solo5"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// solo5Tendered is Solo5 with one of its own tenders: hvt, a small VMM on KVM, or
// spt, which runs the guest in its own process behind a seccomp filter.
//
// Neither has firmware: the tender loads the image and jumps to its entry. Both
// consoles are write(2)s to standard output: hvt's guests write a pointer to the
// text to port 0x502, from which the host kernel cannot read it (hvt_abi.h).
type solo5Tendered struct {
	program string
	target  solo5.Target
}

var (
	solo5HVT = solo5Tendered{"solo5-hvt", solo5.HVT}
	solo5SPT = solo5Tendered{"solo5-spt", solo5.SPT}
)

// solo5Cmdline is how much a guest can be told: HVT_CMDLINE_SIZE and its like in
// spt and virtio are 8192 with the final NUL.
const solo5Cmdline = 8191

// hvtPoll is the port of hypercall POLL, by which a guest of hvt waits for frames or
// for a time: HVT_HYPERCALL_POLL above HVT_HYPERCALL_PIO_BASE (hvt_abi.h).
const hvtPoll = 0x503

// Name implements Platform.
func (s solo5Tendered) Name() string { return s.program }

// Program implements Platform.
func (s solo5Tendered) Program() string { return s.program }

// Wire implements Platform.
func (solo5Tendered) Wire() Wire { return TapWire }

// Firmware implements Platform.
func (solo5Tendered) Firmware() Firmware { return Firmware{} }

// Accel implements Platform. spt virtualises nothing, whatever the other cells of a
// run ask for. hvt is KVM's: where KVM only emulates, it runs guests without FPU,
// and of the others it says that it cannot.
func (s solo5Tendered) Accel(want string, _ system.Boot, h Host) (string, error) {
	switch {
	case s.target == solo5.SPT:
		return None, nil
	case want == matrix.AccelTCG:
		return "", fmt.Errorf("%w: platform %s runs on KVM only: there is no accel tcg for it", system.ErrUnsupported, s.program)
	case !h.KVM:
		return "", h.errNoKVM()
	}
	return KVM, nil
}

// Launch implements Platform.
func (s solo5Tendered) Launch(b system.Boot, r Resources, nic *network.Guest, cmdline string) (Launch, error) {
	if err := solo5Takes(s.program, b, r, cmdline); err != nil {
		return Launch{}, err
	}
	t, err := findTender(s.program, b.Kernel)
	if err != nil {
		return Launch{}, err
	}
	l := Launch{Env: vmmEnv(), Console: Console{Write: true}, Accel: r.Accel}
	if s.target == solo5.HVT {
		l.IdlePort = hvtPoll
	}
	l.Argv = []string{t.path, "--mem=" + strconv.Itoa(r.MemoryMiB)}
	devices, err := s.devices(&l, t, b, nic)
	if err != nil {
		return Launch{}, err
	}
	l.Argv = append(append(l.Argv, devices...), "--", b.Kernel)
	l.Argv = append(l.Argv, tenderWords(cmdline)...)
	return l, nil
}

// tenderWords are the tender's last words, which it joins by blanks into cmdline
// again. What is quoted stays whole, for those who read the command.
func tenderWords(cmdline string) []string {
	switch {
	case cmdline == "":
		return nil
	case strings.ContainsAny(cmdline, `"'`):
		return []string{cmdline}
	}
	return strings.Split(cmdline, " ")
}

// solo5Takes checks what all of Solo5's targets have in common.
func solo5Takes(platform string, b system.Boot, r Resources, cmdline string) error {
	switch {
	case b.Kernel == "":
		return fmt.Errorf("%w: platform %s boots Solo5 images; this system has none", system.ErrUnsupported, platform)
	case b.Kernel == system.Unbuilt:
		return fmt.Errorf("%w: platform %s takes its devices from the image: name it (kernel: in the cell)", system.ErrNoImage, platform)
	case b.Initrd != "":
		return fmt.Errorf("%w: a Solo5 image takes no initrd", system.ErrUnsupported)
	case r.VCPUs > 1:
		return fmt.Errorf("%w: a Solo5 guest has one CPU: vcpus: %d cannot be had", system.ErrUnsupported, r.VCPUs)
	case len(cmdline) > solo5Cmdline:
		return fmt.Errorf("a command line of %d bytes: a Solo5 guest takes %d", len(cmdline), solo5Cmdline)
	}
	return nil
}

// devices are the tender's options for what the image declares.
func (s solo5Tendered) devices(l *Launch, t tender, b system.Boot, nic *network.Guest) ([]string, error) {
	img, err := solo5.ReadFile(b.Kernel)
	switch {
	case errors.Is(err, solo5.ErrNoNotes) && !t.named:
		return t.oldDevices(l, b, nic)
	case err != nil:
		return nil, err
	case !t.named:
		return nil, fmt.Errorf("%s is from before Solo5 0.6.0 and does not know manifests, %s has one: put a newer %s into PATH or beside the image", t.path, b.Kernel, s.program)
	case t.abi != 0 && t.abi != img.ABIVersion && img.Target == s.target:
		return nil, fmt.Errorf("image %s is for version %d of the %s interface, %s (%s) has version %d: build both from one release of Solo5, or put the image's own %s beside it",
			b.Kernel, img.ABIVersion, img.Target, t.path, t.version, t.abi, s.program)
	}
	devices, err := attach(s.program, s.target, img, b, nic)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range devices.disks { // copies: tenders open disks for writing
		out = append(out, "--block:"+d.Name+"="+l.copyOf(d))
	}
	if devices.net != "" {
		out = append(out, "--net:"+devices.net+"="+nic.Name, "--net-mac:"+devices.net+"="+nic.MAC.String())
	}
	return out, nil
}

// oldDevices are the options of tenders before Solo5 0.6.0, which have room for one
// disk and one network device, without names. Such a tender was built with modules
// for its image's devices, and hvt wants each of them attached.
func (t tender) oldDevices(l *Launch, b system.Boot, nic *network.Guest) ([]string, error) {
	switch {
	case len(b.Disks) > 1 || len(b.Disks) > 0 && !t.block:
		return nil, fmt.Errorf("%s takes %s, the cell has %d", t.path, map[bool]string{true: "one disk", false: "no disk"}[t.block], len(b.Disks))
	case len(b.Disks) == 0 && t.block && t.insists:
		return nil, fmt.Errorf("%s wants a disk, whatever its image does with it, and the cell has none: name one (disk:); any file will do if the image does not look at it", t.path)
	}
	var out []string
	for _, d := range b.Disks {
		if err := rawDisk(d); err != nil {
			return nil, err
		}
		out = append(out, "--disk="+l.copyOf(d))
	}
	if t.net && nic != nil {
		out = append(out, "--net="+nic.Name, "--net-mac="+nic.MAC.String())
	}
	return out, nil
}

// copyOf gives the sample a copy of a disk, since tenders open disks for writing,
// and returns where it will be.
func (l *Launch) copyOf(d system.Disk) string {
	if l.Copies == nil {
		l.Copies = map[string]string{}
	}
	name := fmt.Sprintf("disk%d", len(l.Copies))
	l.Copies[name] = d.Path
	return Dir + "/" + name
}
