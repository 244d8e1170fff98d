// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/oci"
	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

func catalogueFlag() cli.Flag {
	return &cli.StringFlag{Name: "catalogue", EnvVars: []string{"UKPROBE_CATALOGUE"},
		Usage: "`FILE` in YAML that says where images are (docs/catalogue.md)", DefaultText: catalogue.FileName + " in the cache folder, if it is there"}
}

// images opens the catalogue that the flags name and checks its platforms. A mistake
// in it is a usage error.
func images(c *cli.Context) (*catalogue.Images, error) {
	return imagesOf(c, c.String("catalogue"), c.String("cache"))
}

// imagesOf is images of that file, with that cache.
func imagesOf(c *cli.Context, file, cache string) (*catalogue.Images, error) {
	cache, err := filepath.Abs(cache)
	if err != nil {
		return nil, err
	}
	list, err := catalogue.Open(file, cache)
	if err != nil {
		return nil, usage(err)
	}
	var platforms []string
	for _, p := range platform.All() {
		platforms = append(platforms, p.Name())
	}
	if err := list.Check(platforms); err != nil {
		return nil, usage(err)
	}
	return &catalogue.Images{Catalogue: list, Registry: registry(c, cache)}, nil
}

// registry is the cache of images of registries.
func registry(c *cli.Context, cache string) *oci.Cache {
	return &oci.Cache{Dir: filepath.Join(cache, "oci"), Update: c.Bool("update"),
		Logf: func(format string, args ...any) { fmt.Fprintf(c.App.ErrWriter, format+"\n", args...) }}
}
