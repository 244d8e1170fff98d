// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/guests/docker"
	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/guests/lupine"
)

// defaultCache is where images are kept that ukprobe builds.
const defaultCache = "/var/cache/ukprobe"

func cacheFlag() cli.Flag {
	return &cli.StringFlag{Name: "cache", Value: defaultCache, EnvVars: []string{"UKPROBE_CACHE"},
		Usage: "`DIR` for images that ukprobe builds"}
}

func imageCommand() *cli.Command {
	return &cli.Command{
		Name:  "image",
		Usage: "build, list, inspect, verify and pull images",
		Description: "What guests boot from: built here, in a catalogue of your own, or in registries\n" +
			"(docs/catalogue.md).\n\n" +
			"Examples:\n" +
			"  ukprobe image list\n" +
			"  ukprobe image build process redis",
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand("ukprobe image", c.Args().First(), c.Command.Subcommands)
			}
			return cli.ShowSubcommandHelp(c)
		},
		Subcommands: []*cli.Command{imageListCommand(), imageInspectCommand(), imageVerifyCommand(), imagePullCommand(), {
			Name:      "build",
			Usage:     "build, or find in the cache, what the systems linux, process, docker and lupine boot",
			ArgsUsage: "[SYSTEM] [APP…]",
			Description: "From Debian's unmodified packages. SYSTEM is linux (the cloud kernel, and per app an\n" +
				"initramfs), process (a root folder per app), docker (a container image per app) or\n" +
				"lupine (per app a kernel of its own, compiled from Debian's sources, four minutes each\n" +
				"on two cores, an initramfs and an ext2 disk; the app \"general\" is one kernel for all\n" +
				"of them, and for the disks).\n" +
				"Without SYSTEM it is linux and process, without APP all of them. `ukprobe run` does\n" +
				"the same when it needs an image; `ukprobe image list` says what is there.\n\n" +
				"Examples:\n" +
				"  ukprobe image build                               # linux and process, all apps\n" +
				"  ukprobe image build linux nginx redis\n" +
				"  ukprobe image build lupine general",
			Flags:  []cli.Flag{cacheFlag()},
			Action: buildImages,
		}},
	}
}

// builders build the images of an app for a system, and write a line about each.
var builders = map[string]func(c *cli.Context, b *linux.Builder, apps []string) error{
	"linux":   buildLinux,
	"process": buildRoots,
	"docker":  buildContainers,
	"lupine":  buildLupine,
}

func buildImages(c *cli.Context) error {
	dir, err := filepath.Abs(c.String("cache"))
	if err != nil {
		return err
	}
	b := &linux.Builder{Dir: dir, Logf: func(format string, args ...any) { fmt.Fprintf(c.App.ErrWriter, format+"\n", args...) }}
	apps := c.Args().Slice()
	if len(apps) > 0 && builders[apps[0]] != nil {
		return builders[apps[0]](c, b, apps[1:])
	}
	if err := buildLinux(c, b, apps); err != nil {
		return err
	}
	return buildRoots(c, b, apps)
}

// orAll is apps, or all that can be built if none is named.
func orAll(apps []string) []string {
	if len(apps) == 0 {
		return linux.Apps()
	}
	return apps
}

func buildLinux(c *cli.Context, b *linux.Builder, apps []string) error {
	k, err := b.Kernel(c.Context)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "kernel\t%s\t%d\n", k.Path, k.Size)
	for _, app := range orAll(apps) {
		i, err := b.Initramfs(c.Context, app)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "initramfs %s\t%s\t%d\n", app, i.Path, i.Size)
	}
	return nil
}

func buildRoots(c *cli.Context, b *linux.Builder, apps []string) error {
	for _, app := range orAll(apps) {
		r, err := b.RootFS(c.Context, app)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "rootfs %s\t%s\t%d\n", app, r.Dir, r.Size)
	}
	return nil
}

func buildContainers(c *cli.Context, b *linux.Builder, apps []string) error {
	containers := docker.Builder{Linux: b}
	for _, app := range orAll(apps) {
		i, err := containers.Image(c.Context, app)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "container %s\t%s\t%d\n", app, i.Path, i.Size)
	}
	return nil
}

// buildLupine builds the kernels of the apps, all without any named, and what they
// boot.
func buildLupine(c *cli.Context, b *linux.Builder, apps []string) error {
	if len(apps) == 0 {
		apps = lupine.Apps()
	}
	kernels := &lupine.Builder{Dir: b.Dir, Logf: b.Logf}
	for _, app := range apps {
		k, err := kernels.Kernel(c.Context, app)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "lupine vmlinux %s\t%s\t%d\n", app, k.Vmlinux, k.VmlinuxSize)
		fmt.Fprintf(c.App.Writer, "lupine bzImage %s\t%s\t%d\n", app, k.BzImage, k.BzImageSize)
		if app == lupine.General {
			continue
		}
		i, err := b.PlainInitramfs(c.Context, app)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "lupine initramfs %s\t%s\t%d\n", app, i.Path, i.Size)
		d, err := b.PlainDisk(c.Context, app)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "lupine disk %s\t%s\t%d\n", app, d.Path, d.Size)
	}
	return nil
}
