// SPDX-License-Identifier: Apache-2.0

// Package system knows what is evaluated: for each system, which apps it has,
// where its image comes from, how its addresses are written, and what makes an
// app ready. One file per system.
//
// It does not know VMMs: package platform turns what is said here into a command
// line.
package system

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/guests/docker"
	"github.com/ukprobe/ukprobe/guests/lupine"
	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
)

// Service is an app that is ready when it answers on the wire.
type Service struct {
	Port    uint16 // TCP
	Request []byte // what the client sends once it is connected
}

// Image is the file whose size and checksum stand for the system in results. Of a
// container's image they are the manifest's digest, and the bytes of manifest,
// configuration and layers as the manifest has them; of one that only an engine has,
// the engine's ID, and the size is not known.
type Image struct {
	Path   string
	SHA256 string // lower-case hex
	Size   int64  // bytes; 0 if it is not known
}

// Unbuilt stands in a description for a file that Prepare builds or finds.
const Unbuilt = "<built at the first run>"

// Disk is a block device of a guest. Its file is never written to: unless it is
// read-only the guest gets a snapshot or a copy of its own.
type Disk struct {
	Path     string
	Format   string // raw or qcow2
	ReadOnly bool
	Name     string // of the device in a solo5 manifest; "" elsewhere
}

// DiskCmdline is where on a disk a guest finds its command line, which ends with a
// zero byte. The disk's file is not written to: the guest gets an overlay.
type DiskCmdline struct {
	At   int64 // bytes from the disk's start
	Room int   // bytes, with the zero; 0 if the command line is not there
}

// QEMU is what an image needs of QEMU beyond what all images of a platform get.
type QEMU struct {
	// Microvm are properties of machine microvm, such as "pit=on,rtc=on". By default
	// it has neither PIT, PIC, RTC nor ACPI.
	Microvm string
	// MicrovmKVM is why machine microvm boots it under KVM only; "" if not so.
	MicrovmKVM string
	// CPU are features of the CPU model "host", for KVM with hardware behind it, such
	// as "migratable=no,+invtsc".
	CPU string
	// Args are words for the end of the command line, such as "-global",
	// "virtio-mmio.force-legacy=off".
	Args []string
}

// Want is what is asked of a system: an app for a platform.
type Want struct {
	App, Platform string
	Settings      matrix.Settings
	// Scratch says that the guest gets a disk to read and write, and that the app is to
	// do so: fio in experiment fs.
	Scratch bool
}

// Boot is one app of one system, ready to be put on a platform.
type Boot struct {
	Image    Image
	Platform string // that it is for
	Version  string // of the app, as far as it is known
	Package  string // whose version it is, where the app has none by its own name; "" if nobody says

	// A guest: what the VMM loads.
	Kernel  string // path
	Initrd  string // path, or ""
	Disks   []Disk // the first is the one that it boots from, if it does
	Cmdline string // without the network's words
	Args    string // of the matrix, to come last on the command line
	// Unaddressed says that the app takes no words about a network, whether it has one
	// or not.
	Unaddressed bool
	// Segments are the guest addresses of the image, by which the end of the
	// firmware is recognised.
	Segments []probe.Segment
	// Unikraft is what the file of a Unikraft image says about its command line.
	Unikraft UnikraftImage
	// DiskCmdline is, for a guest that boots from its first disk, where on it the
	// command line is.
	DiskCmdline DiskCmdline
	// FPUFree says that the guest touches neither x87 nor SSE, so that it also
	// runs where KVM only emulates instructions.
	FPUFree bool

	// QEMU is what the image needs of QEMU beyond its platform's command line.
	QEMU QEMU

	// A process: what is run in which root.
	RootFS string
	Argv   []string
	Env    []string

	// A container: path of an OCI layout, the ID of an image that the engine has, or its
	// reference.
	Container string
	Layers    []string // folders of the image's files on this machine, if the engine tells

	Ready   string   // console line that makes it ready, a regular expression; "" for a service
	Service *Service // nil if the app does not serve

	// Entry is the image's in the catalogue; nil if it is not from there.
	Entry *catalogue.Image
	// Packed says that a registry has it as a unikernel, and PackedArgs are the app's
	// arguments there.
	Packed     bool
	PackedArgs []string

	// Scratch is the disk, the last one, that the app reads and writes: nil if there is
	// none. The platform makes it anew for each sample.
	Scratch *matrix.ScratchDisk

	// Files are stamps of all that was measured: see Unchanged. Parts are the same files
	// by what they are.
	Files []regular.Stamp
	Parts []Part
}

// Addresses are what a guest has to be told about its network.
type Addresses struct {
	Prefix  netip.Prefix // the guest's address with its network's length
	Gateway netip.Addr
}

// System is one system of the matrix.
type System interface {
	Name() string
	// Apps lists the apps that it has.
	Apps() []string
	// Platforms lists the platforms that it runs on.
	Platforms() []string
	// Limit is why the app does not run on the platform although the system has
	// both; "" if it does. Of an app that the system does not have it may say why.
	Limit(w Want) string
	// Describe says all of an app but the files that are not there yet, for which
	// Unbuilt stands: command line, ready line, service. It builds, fetches and writes
	// nothing; it may look into files that are there.
	Describe(w Want) Boot
	// Prepare finds or builds the image of an app. It may take minutes at the
	// first time.
	Prepare(ctx context.Context, w Want) (Boot, error)
	// CommandLine is all that the guest is told at its start, with the addresses of
	// its network in the system's own syntax; net is nil if it has none.
	CommandLine(b Boot, net *Addresses) (string, error)
}

// Asker is a System whose guests can ask for their address by DHCP.
type Asker interface {
	// AskingCommandLine is CommandLine of a guest that is to do so.
	AskingCommandLine(b Boot) string
}

// Offline is a System whose images can be had without what runs them.
type Offline interface {
	// PrepareImage is Prepare for whoever only looks at the image.
	PrepareImage(ctx context.Context, w Want) (Boot, error)
}

// Env is what systems need from the machine.
type Env struct {
	CacheDir string            // where built images are kept
	WorkDir  string            // of this run, gone at its end
	Images   *catalogue.Images // may be nil
	Logf     func(format string, args ...any)
}

// All returns the systems, in the order of tables: those with a Go file, then those
// that are in the catalogue only.
func All(e Env) []System {
	builder := e.builder()
	kernels := &lupine.Builder{Dir: e.CacheDir, Logf: e.Logf}
	return e.withGeneric([]System{
		&Reference{env: e}, &Linux{env: e, builder: builder}, &Lupine{env: e, builder: builder, kernels: kernels},
		&Unikraft{env: e}, &MirageOS{env: e}, &OSv{env: e}, &HermiTux{env: e}, &Rump{env: e},
		&Process{builder: builder}, &Docker{env: e, builder: &docker.Builder{Linux: builder}},
	})
}

// Find returns the system of that name.
func Find(all []System, name string) (System, error) {
	names := make([]string, 0, len(all))
	for _, s := range all {
		if s.Name() == name {
			return s, nil
		}
		names = append(names, s.Name())
	}
	return nil, fmt.Errorf("system %q: not known: use one of %s", name, strings.Join(names, ", "))
}

// ErrNoImage wraps what to do if a system has no image for an app.
var ErrNoImage = errors.New("no image")

// ErrUnsupported wraps the reason why a system cannot do something at all. Such
// a cell is unsupported, not failed.
var ErrUnsupported = errors.New("unsupported")

// Supports returns an error wrapping ErrUnsupported if the system does not have
// the app or does not run on the platform.
func Supports(s System, w Want) error {
	app, platform := w.App, w.Platform
	if !slices.Contains(s.Apps(), app) {
		if why := s.Limit(w); why != "" {
			return fmt.Errorf("%w: %s has no %s: %s", ErrUnsupported, s.Name(), app, why)
		}
		return fmt.Errorf("%w: %s has no %s (it has %s)", ErrUnsupported, s.Name(), app, strings.Join(s.Apps(), ", "))
	}
	if !slices.Contains(s.Platforms(), platform) {
		return fmt.Errorf("%w: %s does not run on %s (it runs on %s)", ErrUnsupported, s.Name(), platform, strings.Join(s.Platforms(), ", "))
	}
	if why := s.Limit(w); why != "" {
		return fmt.Errorf("%w: %s on %s: %s", ErrUnsupported, app, platform, why)
	}
	return nil
}

// commandLine joins the system's own words, its network's, and those of the matrix,
// which come last as they are. The words of an entry of the catalogue are a template.
func (b Boot) commandLine(network string) string {
	if b.Entry != nil {
		return strings.TrimSpace(catalogue.CommandLine(b.Cmdline, network) + " " + b.Args)
	}
	return strings.TrimSpace(strings.Join(strings.Fields(b.Cmdline+" "+network), " ") + " " + b.Args)
}

// override applies the cell's own image, ready line and port.
func (b *Boot) override(s matrix.Settings) {
	if s.Ready != "" {
		b.Ready, b.Service = s.Ready, nil
	}
	if s.Port != 0 {
		svc := Service{Port: uint16(s.Port), Request: httpGet()}
		if b.Service != nil {
			svc.Request = b.Service.Request
		}
		b.Service, b.Ready = &svc, s.Ready
	}
	if s.Args != "" {
		b.Args = strings.TrimSpace(s.Args)
	}
	if s.Kernel != "" {
		b.Kernel, b.FPUFree = s.Kernel, false // nothing is known of its FPU
	}
	if s.Initrd != "" {
		b.Initrd = s.Initrd
	}
	if s.Disk != "" {
		b.Disks = []Disk{{Path: s.Disk, Format: diskFormat(s.Disk)}}
	}
}
