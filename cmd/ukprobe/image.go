// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

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
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand("ukprobe image", c.Args().First(), c.Command.Subcommands)
			}
			return cli.ShowSubcommandHelp(c)
		},
		Subcommands: []*cli.Command{imageListCommand(), imageInspectCommand(), imageVerifyCommand(), imagePullCommand(), {
			Name:      "build",
			Usage:     "build, or find in the cache, what the systems linux, process and lupine boot",
			ArgsUsage: "[APP…] | lupine [APP…]",
			Description: "From Debian's unmodified packages: the cloud kernel, and per app an initramfs and\n" +
				"a root folder. With the word lupine: per app a kernel of its own, compiled from\n" +
				"Debian's sources (four minutes each on two cores), an initramfs and an ext2 disk;\n" +
				"the app \"general\" is one kernel for all of them, and for the disks. `ukprobe run` does the same when it needs one.",
			Flags:  []cli.Flag{cacheFlag()},
			Action: buildImages,
		}},
	}
}

func buildImages(c *cli.Context) error {
	dir, err := filepath.Abs(c.String("cache"))
	if err != nil {
		return err
	}
	b := &linux.Builder{Dir: dir, Logf: func(format string, args ...any) { fmt.Fprintf(c.App.ErrWriter, format+"\n", args...) }}
	apps := c.Args().Slice()
	if len(apps) > 0 && apps[0] == "lupine" {
		return buildLupine(c, b, apps[1:])
	}
	if len(apps) == 0 {
		apps = linux.Apps()
	}
	k, err := b.Kernel(c.Context)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "kernel\t%s\t%d\n", k.Path, k.Size)
	for _, app := range apps {
		if err := buildApp(c, c.App.Writer, b, app); err != nil {
			return err
		}
	}
	return nil
}

func buildApp(c *cli.Context, w io.Writer, b *linux.Builder, app string) error {
	i, err := b.Initramfs(c.Context, app)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "initramfs %s\t%s\t%d\n", app, i.Path, i.Size)
	r, err := b.RootFS(c.Context, app)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "rootfs %s\t%s\t%d\n", app, r.Dir, r.Size)
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
