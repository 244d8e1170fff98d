// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
)

func imagePullCommand() *cli.Command {
	return &cli.Command{
		Name: "pull", Usage: "get images from their registries into the cache", ArgsUsage: "[NAME|oci://REFERENCE…]",
		Description: "Without arguments all images of the catalogue that are in registries. A tag stays\n" +
			"at the digest of its first pull until --update; from then on no network is needed.\n" +
			"After an image that cannot be had it goes on with the others; the exit status is 1\n" +
			"then.\n\n" +
			"Examples:\n" +
			"  ukprobe image pull --catalogue mine.yaml\n" +
			"  ukprobe image pull --update nginx-1.25\n" +
			"  ukprobe image pull --platform docker oci://registry.example/nginx:1.25",
		Flags: []cli.Flag{cacheFlag(), catalogueFlag(),
			referencePlatformFlag(),
			&cli.BoolFlag{Name: "update", Usage: "ask the registry what a tag points to now"}},
		Action: pullImages,
	}
}

func referencePlatformFlag() cli.Flag {
	return &cli.StringFlag{Name: "platform", Value: "qemu", Usage: "`P` of ukprobe's platforms that a REFERENCE is for; docker for a container"}
}

func pullImages(c *cli.Context) error {
	all, err := images(c)
	if err != nil {
		return err
	}
	list, err := toPull(c, all)
	if err != nil {
		return err
	}
	var failed []error
	for _, m := range list {
		err := pullImage(c, all, m)
		if err != nil && (c.Err() != nil || len(list) == 1) {
			return err
		}
		if err != nil {
			failed = append(failed, err)
			fmt.Fprintln(c.App.ErrWriter, "ukprobe:", err)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("pull: %d of %d images could not be had: the reasons are above", len(failed), len(list))
	}
	return nil
}

// pullImage gets an image for all its platforms, and says where it is.
func pullImage(c *cli.Context, all *catalogue.Images, m catalogue.Image) error {
	for _, platform := range m.Platforms {
		l, err := all.Local(c.Context, m, platform)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "%s\t%s\t%s\n", m.Name, platform, fileOf(l))
	}
	return nil
}

// toPull are the images that the arguments name.
func toPull(c *cli.Context, all *catalogue.Images) ([]catalogue.Image, error) {
	if !c.Args().Present() {
		if all.Catalogue == nil {
			return nil, usage(errors.New("pull: there is no catalogue: name an image as oci://REFERENCE, or a catalogue with --catalogue"))
		}
		var out []catalogue.Image
		for _, m := range all.Images {
			if _, ok := m.File.Reference(); ok {
				out = append(out, m)
			}
		}
		return out, nil
	}
	var out []catalogue.Image
	for _, word := range c.Args().Slice() {
		if strings.HasPrefix(word, "oci://") {
			out = append(out, catalogue.Image{Name: word, Platforms: []string{c.String("platform")}, File: catalogue.File{Path: word}, Pos: "command line"})
			continue
		}
		m, err := all.Named(word)
		if err != nil {
			return nil, usage(err)
		}
		out = append(out, m)
	}
	return out, nil
}
