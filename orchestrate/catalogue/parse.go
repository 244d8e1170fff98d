// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
)

// format is that of a catalogue file.
var format = strictyaml.Format{Name: "catalogue", Whole: "a catalogue has version and images", Instead: "write each entry out", MaxItems: MaxImages * (1 + MaxDisks)}

// Load reads and parses the catalogue file at path.
func Load(path string) (*Catalogue, error) {
	d, root, err := strictyaml.Load(format, path)
	if err != nil {
		return nil, err
	}
	return decode(d, root)
}

// Parse parses a catalogue file. The name is for errors, and paths in the file are
// relative to its folder. All mistakes found are returned at once, each a
// *strictyaml.Error. Which platforms exist is Check's.
func Parse(name string, text []byte) (*Catalogue, error) {
	d, root, err := strictyaml.Parse(format, name, text)
	if err != nil {
		return nil, err
	}
	return decode(d, root)
}

func decode(sd *strictyaml.Decoder, root ast.Node) (*Catalogue, error) {
	d := &decoder{Decoder: sd, out: &Catalogue{File: sd.Source.Name, src: sd.Source}, names: map[string]strictyaml.Pos{}}
	d.file(root)
	if err := d.Errs.Err(); err != nil {
		return nil, err
	}
	return d.out, nil
}

type decoder struct {
	*strictyaml.Decoder
	out   *Catalogue
	names map[string]strictyaml.Pos // of the images so far
}

func (d *decoder) file(root ast.Node) {
	seen := d.Mapping(root, "the catalogue", map[string]strictyaml.Field{
		"version": func(v ast.Node) {
			var n int
			d.Integer(v, "version", 1, 1, &n)
		},
		"images": func(v ast.Node) {
			d.List(v, "images", func(n ast.Node) {
				if len(d.out.Images) == MaxImages {
					d.Fail(n, "more than %d images", MaxImages)
					return
				}
				d.image(n)
			})
		},
	})
	d.require(root, "the catalogue", seen, "version", "images")
}

// require reports keys that have to be there.
func (d *decoder) require(n ast.Node, what string, seen map[string]bool, keys ...string) {
	for _, key := range keys {
		if !seen[key] {
			d.Fail(n, "%s has no %s", what, key)
		}
	}
}

func (d *decoder) image(n ast.Node) {
	m := Image{Pos: d.Source.Position(strictyaml.At(n))}
	before := d.Errs.Len()
	seen := d.Mapping(n, "an image", map[string]strictyaml.Field{
		"name":     func(v ast.Node) { d.imageName(v, &m) },
		"system":   func(v ast.Node) { d.Name(v, "system", &m.System) },
		"app":      func(v ast.Node) { d.Name(v, "app", &m.App) },
		"version":  func(v ast.Node) { d.Text(v, "version", MaxText, &m.Version) },
		"platform": func(v ast.Node) { d.platforms(v, &m) },
		"path":     func(v ast.Node) { d.pathOrReference(v, &m.File.Path) },
		"sha256":   func(v ast.Node) { d.digest(v, &m.File.SHA256) },
		"initrd":   func(v ast.Node) { d.initrd(v, &m.Initrd) },
		"disks":    func(v ast.Node) { d.disks(v, &m) },
		"cmdline":  func(v ast.Node) { d.template(v, "cmdline", cmdlineWords, &m.Cmdline) },
		"network":  func(v ast.Node) { d.template(v, "network", networkWords, &m.Network) },
		"ready":    func(v ast.Node) { d.Regexp(v, "ready", MaxText, &m.Ready) },
		"port":     func(v ast.Node) { d.Integer(v, "port", 1, 65535, &m.Port) },
		"request":  func(v ast.Node) { d.request(v, &m.Request) },
		"fpu_free": func(v ast.Node) { d.Bool(v, "fpu_free", &m.FPUFree) },
		"built":    func(v ast.Node) { d.built(v, &m.Built) },
	})
	if d.Errs.Len() == before { // a misspelt key is not missing too
		d.require(n, "the image", seen, "name", "system", "app", "platform")
		if m.File.Path == "" && len(m.Disks) == 0 {
			d.Fail(n, "the image has neither a path nor disks: there is nothing to boot")
		}
	}
	if m.Request != "" && m.Port == 0 {
		d.Fail(n, "the image has a request and no port to send it to")
	}
	if _, ok := m.File.Reference(); ok && m.File.SHA256 != "" {
		d.Fail(n, "sha256 is for local files: write the digest of an image in a registry as oci://…@sha256:…")
	}
	if m.File.SHA256 != "" && slices.Contains(m.Platforms, Docker) {
		d.Fail(n, "sha256 is for files: a container's image is a folder whose manifest has the digests of all that is in it, and they are verified")
	}
	d.out.Images = append(d.out.Images, m)
}

func (d *decoder) imageName(n ast.Node, m *Image) {
	if !d.Name(n, "name", &m.Name) {
		return
	}
	if p, twice := d.names[m.Name]; twice {
		d.Fail(n, "the name %q is taken by the image at %s", m.Name, d.Source.Position(p))
		return
	}
	d.names[m.Name] = strictyaml.At(n)
}

func (d *decoder) platforms(n ast.Node, m *Image) {
	for _, item := range d.Items(n, "platform", "the image would never be used") {
		var p string
		if !d.Name(item, "platform", &p) {
			continue
		}
		if slices.Contains(m.Platforms, p) {
			d.Fail(item, "platform %q is already in the list", p)
			continue
		}
		m.Platforms = append(m.Platforms, p)
		m.platformAt = append(m.platformAt, strictyaml.At(item))
	}
}

// reference is registry/repository with a tag, a digest or both. What a repository
// and a tag may be is the OCI distribution specification's; package oci parses it.
var reference = regexp.MustCompile(`^oci://[a-zA-Z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$`)

func (d *decoder) pathOrReference(n ast.Node, out *string) {
	var s string
	if !d.Text(n, "path", MaxCmdline, &s) {
		return
	}
	scheme, _, isURL := strings.Cut(s, "://")
	switch {
	case isURL && scheme == "oci":
		if !reference.MatchString(s) {
			d.Fail(n, "path %q is not a reference: write oci://registry/repository:tag, or …@sha256:digest", s)
			return
		}
		*out = s
	case isURL:
		d.Fail(n, "path %q: ukprobe fetches nothing by %s: give a local path, or an oci:// reference", s, scheme)
	default:
		d.Path(n, "path", out)
	}
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (d *decoder) digest(n ast.Node, out *string) {
	if _, isNumber := n.(*ast.IntegerNode); isNumber {
		d.Fail(n, "sha256 reads as a number here: put quotes around it")
		return
	}
	var s string
	if !d.String(n, "sha256", &s) {
		return
	}
	if !hexDigest.MatchString(s) {
		d.Fail(n, "sha256 %q is not 64 lower-case hexadecimal digits: `sha256sum FILE` prints them", s)
		return
	}
	*out = s
}

// initrd is a path, or a mapping with its checksum.
func (d *decoder) initrd(n ast.Node, f *File) {
	if _, isText := n.(*ast.StringNode); isText {
		d.localPath(n, "initrd", &f.Path)
		return
	}
	seen := d.Mapping(n, "initrd", map[string]strictyaml.Field{
		"path":   func(v ast.Node) { d.localPath(v, "path", &f.Path) },
		"sha256": func(v ast.Node) { d.digest(v, &f.SHA256) },
	})
	d.require(n, "initrd", seen, "path")
}

func (d *decoder) localPath(n ast.Node, what string, out *string) {
	if s, ok := n.(*ast.StringNode); ok && strings.Contains(s.Value, "://") {
		d.Fail(n, "%s %q: a local path is needed; the initrd of an oci:// image comes with it", what, s.Value)
		return
	}
	d.Path(n, what, out)
}

// diskFormats are what every VMM here can be given, if need be after conversion.
var diskFormats = []string{"raw", "qcow2"}

func (d *decoder) disks(n ast.Node, m *Image) {
	d.List(n, "disks", func(n ast.Node) {
		if len(m.Disks) == MaxDisks {
			d.Fail(n, "more than %d disks", MaxDisks)
			return
		}
		var disk Disk
		seen := d.Mapping(n, "a disk", map[string]strictyaml.Field{
			"path":      func(v ast.Node) { d.localPath(v, "path", &disk.Path) },
			"sha256":    func(v ast.Node) { d.digest(v, &disk.SHA256) },
			"format":    func(v ast.Node) { d.OneOf(v, "format", diskFormats, &disk.Format) },
			"read_only": func(v ast.Node) { d.Bool(v, "read_only", &disk.ReadOnly) },
			"name":      func(v ast.Node) { d.diskName(v, &disk.Name) },
		})
		d.require(n, "the disk", seen, "path")
		m.Disks = append(m.Disks, disk)
	})
}

// deviceName is MFT_NAME_SIZE's: Solo5's include/mft_abi.h has 67 letters and digits.
var deviceName = regexp.MustCompile(`^[A-Za-z0-9]{1,67}$`)

func (d *decoder) diskName(n ast.Node, out *string) {
	var s string
	if !d.String(n, "name", &s) {
		return
	}
	if !deviceName.MatchString(s) {
		d.Fail(n, "name %q is not a device of a solo5 manifest: letters and digits, at most 67", s)
		return
	}
	*out = s
}

func (d *decoder) template(n ast.Node, what string, words []string, out *string) {
	if !d.Text(n, what, MaxCmdline, out) {
		return
	}
	if err := checkTemplate(*out, words); err != nil {
		d.Fail(n, "%s: %v", what, err)
	}
}

// request may hold line ends: "PING\r\n".
func (d *decoder) request(n ast.Node, out *string) {
	if !d.String(n, "request", out) {
		return
	}
	if len(*out) == 0 || len(*out) > MaxText {
		d.Fail(n, "request has %d bytes: it needs 1 to %d", len(*out), MaxText)
	}
}

func (d *decoder) built(n ast.Node, b *Built) {
	text := func(what string, out *string) strictyaml.Field {
		return func(v ast.Node) { d.Text(v, what, MaxText, out) }
	}
	d.Mapping(n, "built", map[string]strictyaml.Field{
		"from":          text("from", &b.From),
		"compiler":      text("compiler", &b.Compiler),
		"flags":         text("flags", &b.Flags),
		"optimisations": text("optimisations", &b.Optimisations),
		"allocator":     text("allocator", &b.Allocator),
		"scheduler":     text("scheduler", &b.Scheduler),
		"libc":          text("libc", &b.Libc),
	})
}
