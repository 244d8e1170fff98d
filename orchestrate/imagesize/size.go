// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// Size is what was found of an image.
type Size struct {
	Values  map[string]float64 // in bytes, by name
	Facts   map[string]string  // what is no figure, by name
	Lacking []Lacking
}

// Lacking is a figure that could not be had.
type Lacking struct{ Name, Reason string }

// Names of figures that others look up.
const (
	FileBytes       = "file_bytes"
	AllocatedBytes  = "allocated_bytes"
	CompressedBytes = "compressed_bytes"
	UnpackedBytes   = "unpacked_bytes"
	StrippedBytes   = "stripped_bytes"
	KernelBytes     = "kernel_bytes"
	UnikernelBytes  = "unikernel_bytes"
	AppBytes        = "app_bytes"
	LibrariesBytes  = "libraries_bytes"
	RootFSBytes     = "rootfs_bytes"
	RestBytes       = "rootfs_rest_bytes"
)

// NotKnown is the fact that nobody says.
const NotKnown = "not known"

// Image is what is measured.
type Image struct {
	system.Boot
	System, App string
	// Save writes an archive of a container's image that only an engine has; nil if
	// nobody can.
	Save func(ctx context.Context, path string) error
}

// Measure measures an image. scratch is an empty folder of the caller's, in which
// archives are unpacked. The error is one of reading; what is in the image is never one.
func Measure(ctx context.Context, img Image, scratch string) (Size, error) {
	m := &measurer{ctx: ctx, img: img, scratch: scratch, out: Size{Values: map[string]float64{}, Facts: map[string]string{}}, whole: true, producers: map[string]int{}}
	var err error
	switch {
	case img.Container != "":
		err = m.container()
	case img.RootFS != "":
		err = m.process()
	default:
		err = m.guest()
	}
	if err != nil {
		return Size{}, err
	}
	m.finish()
	return m.out, nil
}

type measurer struct {
	ctx     context.Context
	img     Image
	scratch string
	out     Size

	unpacked, stripped int64          // of all parts so far
	whole              bool           // all parts are in unpacked
	program            string         // what stands for the app, in a root file system; "" for what the app is usually called
	producers          map[string]int // what noted how it was compiled, and how often
	libc               string
}

func (m *measurer) value(name string, n int64) { m.out.Values[name] = float64(n) }
func (m *measurer) add(name string, n int64)   { m.out.Values[name] += float64(n) }

func (m *measurer) lacks(name, format string, args ...any) {
	m.out.Lacking = append(m.out.Lacking, Lacking{name, fmt.Sprintf(format, args...)})
}

// opaque notes a part whose content is not seen.
func (m *measurer) opaque(format string, args ...any) {
	if m.whole {
		m.lacks(UnpackedBytes, format, args...)
		m.lacks(StrippedBytes, format, args...)
	}
	m.whole = false
}

// guest measures what a VMM is given.
func (m *measurer) guest() error {
	if m.img.Kernel != "" {
		if err := m.file("kernel", m.img.Kernel); err != nil {
			return err
		}
		if err := m.kernel(m.img.Kernel); err != nil {
			return err
		}
	}
	if m.img.Initrd != "" {
		if err := m.file("initrd", m.img.Initrd); err != nil {
			return err
		}
		if err := m.initrd(m.img.Initrd); err != nil {
			return err
		}
	}
	for _, d := range m.img.Disks {
		if err := m.file("disk", d.Path); err != nil {
			return err
		}
		if err := m.disk(d); err != nil {
			return err
		}
	}
	return nil
}

// process measures the root folder of a process.
func (m *measurer) process() error {
	m.program = strings.TrimPrefix(m.img.Image.Path, m.img.RootFS)
	m.lacks(KernelBytes, "it runs on the host's kernel")
	if err := m.folder(m.img.RootFS); err != nil {
		return err
	}
	return m.rootfs(m.img.RootFS)
}

// finish adds what follows from all parts.
func (m *measurer) finish() {
	if m.whole {
		m.value(UnpackedBytes, m.unpacked)
		m.value(StrippedBytes, m.stripped)
	}
	_, app := m.out.Values[AppBytes]
	_, kernel := m.out.Values[KernelBytes]
	if _, one := m.out.Values[UnikernelBytes]; one {
		if !kernel {
			m.lacks(KernelBytes, "application and library OS are linked into one file, which does not say what is whose: see %s", UnikernelBytes)
		}
		if !app && !m.isLacking(AppBytes) {
			m.lacks(AppBytes, "application and library OS are linked into one file, which does not say what is whose: see %s", UnikernelBytes)
		}
	}
	libs, known := m.out.Values[LibrariesBytes]
	if app && known {
		m.out.Values["app_with_libraries_bytes"] = m.out.Values[AppBytes] + libs
	}
	m.facts()
}

func (m *measurer) isLacking(name string) bool {
	for _, l := range m.out.Lacking {
		if l.Name == name {
			return true
		}
	}
	return false
}

// facts are what is known of how the image was made: what the catalogue says, else what
// the image shows.
func (m *measurer) facts() {
	f := m.out.Facts
	f["zstd"] = zstdUsed()
	built := map[string]string{}
	if e := m.img.Entry; e != nil {
		built = e.Built.Map()
	}
	f["optimisations"], f["optimisations_by"] = NotKnown, ""
	switch flags := optimisations(m.producers); {
	case built["optimisations"] != "":
		f["optimisations"], f["optimisations_by"] = built["optimisations"], "catalogue"
	case built["flags"] != "":
		f["optimisations"], f["optimisations_by"] = built["flags"], "catalogue"
	case flags != "":
		f["optimisations"], f["optimisations_by"] = flags, "image"
	}
	if f["optimisations_by"] == "" {
		delete(f, "optimisations_by")
	}
	f["libc"] = cmp.Or(built["libc"], m.libc, NotKnown)
	f["compiler"] = cmp.Or(built["compiler"], f["compiler"], NotKnown)
	for _, key := range []string{"allocator", "scheduler"} {
		if built[key] != "" {
			f[key] = built[key]
		}
	}
}

// programs are where an app's own program may be, by its path below the root: where
// Debian has it, else under one of its names in a folder for programs.
func programs(app string) []string {
	var out []string
	names := []string{app, app + "-server", app + "d"}
	if p := linux.Program(app); p != "" {
		out = append(out, p)
		names = append(names, filepath.Base(p))
	}
	if app == "sqlite" {
		names = append(names, "sqlite3")
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", ""} {
		for _, n := range names {
			out = append(out, dir+"/"+n)
		}
	}
	return out
}

// scratchTree makes a folder of that name in the scratch folder, for archives to be
// unpacked into. The caller closes its root.
func (m *measurer) scratchTree(name string) (*tree, error) {
	dir := filepath.Join(m.scratch, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return openTree(m.ctx, dir)
}
