// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// OSv is a unikernel that runs unmodified Linux programs: a kernel and a disk with
// the program. It is told what to do by words in front of the program's own
// (cloudius-systems/osv, loader.cc; scripts/run.py; scripts/firecracker.py).
type OSv struct{ env Env }

// Name implements System.
func (*OSv) Name() string { return osvName }

const osvName = "osv"

// osvApps: what makes them ready.
var osvApps = map[string]struct {
	ready   string
	service *Service
}{
	Hello:        {ready: "^Hello"}, // osv-apps native-example/hello.c: "Hello from C code"
	Nginx:        {service: &Service{Port: 80, Request: httpGet()}},
	redisApp:     {service: &Service{Port: 6379, Request: redisPing()}},
	sqliteApp:    {ready: "^(SQLite version |ukprobe-sqlite: ready$)"}, // the shell, or the other systems' script
	memcachedApp: {service: &Service{Port: 11211, Request: []byte("version\r\n")}},
}

// Apps implements System.
func (o *OSv) Apps() []string {
	return o.env.apps(o.Name(), Hello, Nginx, redisApp, sqliteApp, memcachedApp)
}

// Platforms implements System.
func (*OSv) Platforms() []string {
	return []string{qemuPlatform, qemu1NIC, qemuMicroVM, firecrackerVMM}
}

// Limit implements System.
func (*OSv) Limit(Want) string { return "" }

// Describe implements System. Of a disk that is named its own command line is read.
func (o *OSv) Describe(w Want) Boot {
	app := osvApps[w.App]
	b := Boot{Platform: w.Platform, Kernel: w.Settings.Kernel, Ready: app.ready}
	if b.Kernel == "" && w.Settings.Disk == "" {
		b.Kernel = Unbuilt
	}
	if w.Platform == qemuMicroVM { // as scripts/run.py starts it; the rest is the platform's anyway
		b.QEMU.Args = []string{"-global", "virtio-mmio.force-legacy=off"}
		b.QEMU.MicrovmKVM = "OSv looks for KVM's clock or an HPET and stops without: use platform qemu or qemu1nic, or a machine with KVM"
	}
	if app.service != nil {
		b.Service = &Service{Port: app.service.Port, Request: app.service.Request}
	}
	if m, err := o.env.entry(o.Name(), w); err == nil {
		b.describe(m)
	}
	b.override(w.Settings)
	_ = b.fromOSvDisk() // Prepare says what is wrong with it
	return b
}

// Prepare implements System.
func (o *OSv) Prepare(ctx context.Context, w Want) (Boot, error) {
	b, err := o.env.prepared(ctx, o, w)
	if err != nil {
		return Boot{}, err
	}
	if err := b.osvFits(); err != nil {
		return Boot{}, err
	}
	if err := b.fromOSvDisk(); err != nil {
		return Boot{}, err
	}
	if b.Kernel != "" && b.Version == "" {
		b.Version = osvVersion(b.Kernel)
	}
	return b, nil
}

// osvFits checks the files against the platform before anything is started.
func (b *Boot) osvFits() error {
	if b.Kernel == "" {
		if b.Platform == qemuMicroVM || b.Platform == firecrackerVMM {
			return fmt.Errorf("%w: %s boots from no disk: name OSv's kernel too (kernel: build/release/%s)", ErrUnsupported, b.Platform, osvKernelFor(b.Platform))
		}
		return nil
	}
	l, err := whoLoads(b.Kernel)
	if err != nil {
		return err
	}
	if l.bzImage {
		// Its setup code is empty (arch/x64/vmlinuz-boot32.S): the 32-bit entry at
		// pref_address is all there is, and QEMU's and qboot's loaders start the one
		// in real mode, or load to 1 MiB.
		return fmt.Errorf("%w: image %s is OSv's vmlinuz.bin, for loaders of the 32-bit boot protocol such as HyperKit: give %s, of which it was made", ErrUnsupported, b.Kernel, osvKernelFor(b.Platform))
	}
	if err := fits(*b, "loader.elf, with its PVH entry", "loader-stripped.elf"); err != nil {
		return err
	}
	for _, d := range b.Disks {
		if b.Platform == firecrackerVMM && d.Format != "raw" {
			return fmt.Errorf("%w: disk %s is %s, and Firecracker takes raw disks only: qemu-img convert -O raw %s usr.raw", ErrUnsupported, d.Path, d.Format, d.Path)
		}
	}
	return nil
}

func osvKernelFor(platform string) string {
	if platform == firecrackerVMM {
		return "loader-stripped.elf"
	}
	return "loader.elf"
}

// osvVersionText is the first line of OSv's console (loader.cc).
var osvVersionText = regexp.MustCompile(`OSv v([0-9][0-9A-Za-z.-]{0,60})\n`)

func osvVersion(kernel string) string {
	raw, err := readGuest(kernel)
	if err != nil {
		return ""
	}
	if m := osvVersionText.FindSubmatch(raw); m != nil {
		return string(m[1])
	}
	return ""
}

// CommandLine implements System: OSv's options, then the program and its arguments.
// Without --ip it would wait for a DHCP server before it starts the program.
func (o *OSv) CommandLine(b Boot, net *Addresses) (string, error) {
	line := o.line(b, b.words(net, osvWords), net != nil)
	if b.DiskCmdline.Room > 0 && len(line) >= b.DiskCmdline.Room {
		return "", fmt.Errorf("a command line of %d bytes: OSv's image has room for %d: name its kernel (loader.elf), which is told by the VMM", len(line), b.DiskCmdline.Room-1)
	}
	return line, nil
}

// AskingCommandLine implements Asker: without --ip it asks by DHCP.
func (o *OSv) AskingCommandLine(b Boot) string { return o.line(b, "", true) }

// line puts the words about the network, or where it has none to look for, in front
// of the image's own. Addresses that an image was built with are another network's.
func (*OSv) line(b Boot, network string, readdressed bool) string {
	if b.Entry != nil && strings.Contains(b.Cmdline, "{network}") {
		return b.commandLine(network)
	}
	own := strings.Fields(b.Cmdline)
	if readdressed {
		own = slices.DeleteFunc(own, isOSvAddress)
	}
	words := strings.Fields(network)
	if noPCI := b.Platform == qemuMicroVM || b.Platform == firecrackerVMM; noPCI && !slices.Contains(own, "--nopci") {
		words = append(words, "--nopci")
	}
	return strings.TrimSpace(strings.Join(append(words, own...), " ") + " " + b.Args)
}

// osvWords are those of scripts/run.py. Names are asked of the gateway: there has to
// be some server, and no app asks.
func osvWords(a Addresses) string {
	return fmt.Sprintf("--ip=eth0,%s,%s --defaultgw=%s --nameserver=%s", a.Prefix.Addr(), Netmask(a.Prefix), a.Gateway, a.Gateway)
}

func isOSvAddress(word string) bool {
	return slices.ContainsFunc([]string{"--ip=", "--defaultgw=", "--nameserver="}, func(p string) bool { return strings.HasPrefix(word, p) })
}

// fromOSvDisk takes the command line of an image's header, if neither the cell nor
// the catalogue has another, and for a guest that boots from the disk also where it
// is and where its code runs.
func (b *Boot) fromOSvDisk() error {
	if len(b.Disks) == 0 {
		return nil
	}
	d, err := openOSvDisk(b.Disks[0])
	if err != nil {
		if b.Kernel != "" { // then the disk may be any
			return nil
		}
		return err
	}
	b.Cmdline = cmp.Or(b.Cmdline, d.cmdline)
	if b.Kernel == "" {
		b.Segments, b.DiskCmdline = d.segments, DiskCmdline{At: osvCmdlineAt, Room: osvCmdlineRoom}
	}
	return nil
}
