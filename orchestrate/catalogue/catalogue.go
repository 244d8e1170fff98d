// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
	"github.com/ukprobe/ukprobe/internal/suggest"
)

// FileName is the catalogue's in the cache folder, where it is looked for if no
// other is named.
const FileName = "catalogue.yaml"

// Limits of a catalogue.
const (
	MaxImages  = 1000
	MaxDisks   = 16   // of one image
	MaxCmdline = 2048 // bytes: Linux' command line on x86 has no more
	MaxText    = 1024 // bytes of ready, request and what is said of the build
)

// Catalogue is a parsed catalogue file. The nil *Catalogue is empty.
type Catalogue struct {
	File   string
	Images []Image // in the order of the file
	src    *strictyaml.Source
}

// Image is one entry.
type Image struct {
	Name      string // unique in the catalogue
	System    string
	App       string
	Version   string // of the app or the image; "" if the catalogue does not say
	Platforms []string

	File   File   // the kernel, or a container's image; Path may be an oci:// reference, and is "" if a disk boots
	Initrd File   // Path "" if there is none
	Disks  []Disk // in the order in which they are attached

	Cmdline string // template of the command line without the cell's args; see CommandLine
	Network string // template of the network's words; "" if the system knows them
	Ready   string // regular expression of the console line that makes it ready; "" if the app says so
	Port    int    // TCP port of the service; 0 if the app says so
	Request string // what the service is asked; "" if the app says so
	FPUFree bool   // touches neither x87 nor SSE

	Built Built
	Pos   string // file:line:column

	platformAt []strictyaml.Pos
}

// File is a file, and what it has to be.
type File struct {
	Path   string // absolute or relative to the working directory; or oci://…
	SHA256 string // lower-case hex; "" if the catalogue does not say
}

// Disk is a block device.
type Disk struct {
	File
	Format   string // raw or qcow2; "" is what the file is
	ReadOnly bool
	Name     string // in a solo5 manifest; "" elsewhere
}

// Built is what is known of how an image was made. Empty fields are not known.
type Built struct {
	From          string `json:"from,omitempty"` // source and commit, or a package
	Compiler      string `json:"compiler,omitempty"`
	Flags         string `json:"flags,omitempty"` // the compiler's and linker's
	Optimisations string `json:"optimisations,omitempty"`
	Allocator     string `json:"allocator,omitempty"`
	Scheduler     string `json:"scheduler,omitempty"`
	Libc          string `json:"libc,omitempty"`
}

// Map is what is known, by the catalogue's keys; nil if nothing is.
func (b Built) Map() map[string]string {
	out := map[string]string{}
	for key, value := range map[string]string{"from": b.From, "compiler": b.Compiler, "flags": b.Flags, "optimisations": b.Optimisations,
		"allocator": b.Allocator, "scheduler": b.Scheduler, "libc": b.Libc} {
		if value != "" {
			out[key] = value
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// ociScheme begins a reference to an image in a registry.
const ociScheme = "oci://"

// Reference is the registry's reference of a file that is one.
func (f File) Reference() (ref string, ok bool) { return strings.CutPrefix(f.Path, ociScheme) }

// Find returns the first image, in the order of the file, of that system and app
// for that platform.
func (c *Catalogue) Find(system, app, platform string) (Image, bool) {
	if c == nil {
		return Image{}, false
	}
	i := slices.IndexFunc(c.Images, func(m Image) bool {
		return m.System == system && m.App == app && slices.Contains(m.Platforms, platform)
	})
	if i < 0 {
		return Image{}, false
	}
	return c.Images[i], true
}

// Named returns the image of that name.
func (c *Catalogue) Named(name string) (Image, error) {
	if c == nil {
		return Image{}, fmt.Errorf("image %q: there is no catalogue: name one with --catalogue", name)
	}
	names := make([]string, len(c.Images))
	for i, m := range c.Images {
		if m.Name == name {
			return m, nil
		}
		names[i] = m.Name
	}
	if best := suggest.Nearest(name, names); best != "" {
		return Image{}, fmt.Errorf("image %q: not in the catalogue %s: did you mean %s?", name, c.File, best)
	}
	return Image{}, fmt.Errorf("image %q: not in the catalogue %s: `ukprobe image list` shows what is", name, c.File)
}

// For returns the image of that name, which has to be for that system, app and
// platform; or, without a name, what Find finds.
func (c *Catalogue) For(name, system, app, platform string) (Image, bool, error) {
	if name == "" {
		m, ok := c.Find(system, app, platform)
		return m, ok, nil
	}
	m, err := c.Named(name)
	if err != nil {
		return Image{}, false, err
	}
	if m.System != system || m.App != app || !slices.Contains(m.Platforms, platform) {
		return Image{}, false, fmt.Errorf("image %q (%s) is %s/%s for %s, and not for %s/%s on %s", name, m.Pos, m.System, m.App, strings.Join(m.Platforms, ", "), system, app, platform)
	}
	return m, true, nil
}

// Systems lists the systems that have an image, in the order of the file.
func (c *Catalogue) Systems() []string {
	return c.collect(func(Image) bool { return true }, func(m Image) []string { return []string{m.System} })
}

// Apps lists the apps that a system has an image of.
func (c *Catalogue) Apps(system string) []string {
	return c.collect(func(m Image) bool { return m.System == system }, func(m Image) []string { return []string{m.App} })
}

// Platforms lists the platforms that a system has an image for.
func (c *Catalogue) Platforms(system string) []string {
	return c.collect(func(m Image) bool { return m.System == system }, func(m Image) []string { return m.Platforms })
}

// collect joins what the images say, each once.
func (c *Catalogue) collect(of func(Image) bool, say func(Image) []string) []string {
	var out []string
	if c == nil {
		return nil
	}
	for _, m := range c.Images {
		if !of(m) {
			continue
		}
		for _, s := range say(m) {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// Check reports every platform that is none of those, or takes no images.
func (c *Catalogue) Check(platforms []string) error {
	if c == nil {
		return nil
	}
	var errs strictyaml.ErrorList
	for _, m := range c.Images {
		for i, p := range m.Platforms {
			if p == Process {
				errs.Add(c.src.ErrorAt(m.platformAt[i], "platform %s takes no images: it runs the app of its Debian package", p))
				continue
			}
			if !slices.Contains(platforms, p) {
				errs.Add(c.src.ErrorAt(m.platformAt[i], "unknown platform %q%s (known: %s)", p, suggest.DidYouMean(p, platforms), strings.Join(platforms, ", ")))
			}
		}
	}
	return errs.Err()
}
