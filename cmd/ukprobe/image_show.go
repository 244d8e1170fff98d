// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/guests/docker"
	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/guests/lupine"
	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/inspect"
)

func imageListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the images of the catalogue, and those that ukprobe has built",
		Description: "Examples:\n" +
			"  ukprobe image list\n" +
			"  ukprobe image list --catalogue mine.yaml --json",
		Flags: []cli.Flag{cacheFlag(), catalogueFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			all, err := images(c)
			if err != nil {
				return err
			}
			built, err := inCache(c.String("cache"))
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c.App.Writer, imageLists{listed(all), built})
			}
			return writeImages(c.App.Writer, c.String("cache"), all, built)
		},
	}
}

// inCache lists what ukprobe has built, by system, app and kind, the newest first.
func inCache(dir string) ([]linux.Cached, error) {
	var out []linux.Cached
	for _, list := range []func(string) ([]linux.Cached, error){linux.InCache, lupine.InCache, docker.InCache} {
		found, err := list(dir)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	linux.SortCached(out)
	return out, nil
}

// imageLists is what `image list --json` prints.
type imageLists struct {
	Catalogue []listedImage  `json:"catalogue"`
	Built     []linux.Cached `json:"built"`
}

func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print it as JSON"} }

// someCatalogue opens the catalogue, which has to be there.
func someCatalogue(c *cli.Context) (*catalogue.Images, error) {
	all, err := images(c)
	if err == nil && all.Catalogue == nil {
		err = usage(fmt.Errorf("there is no catalogue: name one with --catalogue, or put %s into the cache folder %s (docs/catalogue.md)", catalogue.FileName, c.String("cache")))
	}
	return all, err
}

// listedImage is an image as `image list --json` prints it.
type listedImage struct {
	Name      string          `json:"name"`
	System    string          `json:"system"`
	App       string          `json:"app"`
	Version   string          `json:"version,omitempty"`
	Platforms []string        `json:"platforms"`
	Path      string          `json:"path,omitempty"`
	SHA256    string          `json:"sha256,omitempty"`
	Initrd    string          `json:"initrd,omitempty"`
	Disks     []string        `json:"disks,omitempty"`
	Cmdline   string          `json:"cmdline,omitempty"`
	Network   string          `json:"network,omitempty"`
	Ready     string          `json:"ready,omitempty"`
	Port      int             `json:"port,omitempty"`
	FPUFree   bool            `json:"fpu_free"`
	Built     catalogue.Built `json:"built"`
	Pos       string          `json:"pos"`
}

func listed(all *catalogue.Images) []listedImage {
	out := []listedImage{}
	if all.Catalogue == nil {
		return out
	}
	for _, m := range all.Images {
		l := listedImage{m.Name, m.System, m.App, m.Version, m.Platforms, m.File.Path, m.File.SHA256, m.Initrd.Path, nil, m.Cmdline, m.Network, m.Ready, m.Port, m.FPUFree, m.Built, m.Pos}
		for _, d := range m.Disks {
			l.Disks = append(l.Disks, d.Path)
		}
		out = append(out, l)
	}
	return out
}

func writeImages(w io.Writer, cache string, all *catalogue.Images, built []linux.Cached) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	if all.Catalogue == nil {
		fmt.Fprintf(w, "no catalogue: name one with --catalogue, or put %s into %s (docs/catalogue.md)\n", catalogue.FileName, cache)
	} else {
		fmt.Fprintln(t, "name\tsystem\tapp\tversion\tplatforms\tpath")
		for _, m := range all.Images {
			path := m.File.Path
			if path == "" {
				path = m.Disks[0].Path
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, m.System, m.App, orDash(m.Version), strings.Join(m.Platforms, ","), path)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if len(built) == 0 {
		fmt.Fprintf(w, "\nnone built in %s: `ukprobe image build`, or a run, builds them\n", cache)
		return nil
	}
	fmt.Fprintf(w, "\nbuilt, in %s\n", cache)
	fmt.Fprintln(t, "system\tapp\tkind\tbytes\tbuilt\tpath")
	for _, b := range built {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", b.System, orDash(b.App), b.Kind, b.Size, b.Built.Format(time.DateTime), b.Path)
	}
	return t.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func imageInspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "tell what an image is, and which platforms can take it", ArgsUsage: "FILE|NAME",
		Description: "Format, entry, load segments, sections; for each platform whether it can take the\n" +
			"file, and why not; for a program for Linux its loader, its libraries and the system\n" +
			"calls that it can make, by its code. NAME is an image of the catalogue; it is made\n" +
			"local first. docs/image-inspect.md explains the output.\n\n" +
			"Examples:\n" +
			"  ukprobe image inspect ./vmlinux\n" +
			"  ukprobe image inspect --json /usr/sbin/nginx",
		Flags: []cli.Flag{cacheFlag(), catalogueFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usage(errors.New("inspect takes one file, folder or name of an image: see `ukprobe image inspect --help`"))
			}
			path, err := fileOrImage(c, c.Args().First())
			if err != nil {
				return err
			}
			r, err := inspect.File(c.Context, path)
			if err != nil {
				return fmt.Errorf("inspect: %w", err)
			}
			if c.Bool("json") {
				return printJSON(c.App.Writer, r)
			}
			return r.WriteText(c.App.Writer)
		},
	}
}

// fileOrImage is the path of a file, or of the image of that name.
func fileOrImage(c *cli.Context, word string) (string, error) {
	if _, err := os.Stat(word); err == nil || strings.Contains(word, "/") {
		return word, nil
	}
	all, err := images(c)
	if err != nil {
		return "", err
	}
	m, err := all.Named(word)
	if err != nil {
		return "", usage(fmt.Errorf("%q is no file here, and as a name: %w", word, err))
	}
	l, err := all.Local(c.Context, m, m.Platforms[0])
	if err != nil {
		return "", err
	}
	return fileOf(l), nil
}

// fileOf is the one file or folder that an image is known by.
func fileOf(l catalogue.Local) string {
	switch {
	case l.Kernel != "":
		return l.Kernel
	case l.Container.Path != "":
		return l.Container.Path
	}
	return l.Disks[0].Path
}
