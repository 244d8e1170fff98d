// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
)

func imageVerifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "hold the files of the catalogue's images against their checksums", ArgsUsage: "[NAME|oci://REFERENCE…]",
		Description: "Reads every byte. Images of registries have to be in the cache; their layers and\n" +
			"what was unpacked from them is verified. Exit status 1 if anything is not what it\n" +
			"should be.\n\n" +
			"Examples:\n" +
			"  ukprobe image verify                              # the whole catalogue\n" +
			"  ukprobe image verify --catalogue mine.yaml osv-nginx",
		Flags:  []cli.Flag{cacheFlag(), catalogueFlag(), referencePlatformFlag()},
		Action: verifyImages,
	}
}

// toVerify are the images that the arguments name, or all of the catalogue.
func toVerify(c *cli.Context) (*catalogue.Images, []catalogue.Image, error) {
	if !c.Args().Present() {
		all, err := someCatalogue(c)
		if err != nil {
			return nil, nil, err
		}
		return all, all.Images, nil
	}
	all, err := images(c)
	if err != nil {
		return nil, nil, err
	}
	list, err := toPull(c, all)
	return all, list, err
}

func verifyImages(c *cli.Context) error {
	all, list, err := toVerify(c)
	if err != nil {
		return err
	}
	bad := 0
	for _, m := range list {
		said, err := all.Verify(c.Context, m)
		if err != nil {
			bad++
			said = err.Error()
		}
		fmt.Fprintf(c.App.Writer, "%s\t%s\n", m.Name, said)
	}
	if bad > 0 {
		return fmt.Errorf("verify: %d of %d images are not what they should be", bad, len(list))
	}
	return nil
}
