// SPDX-License-Identifier: Apache-2.0

package results

import (
	"strconv"
	"strings"
)

// Variant tells cells of the same system, app, platform and experiment from one another:
// the image, if the matrix names one, and how guests start. Zero values are what is so by
// default, and the matrix file's words for that ("as-is", "new") mean the same.
type Variant struct {
	Image      string
	Parallel   int
	Cache, Tap string
}

// Words are the settings that are not as by default, each as key=value in the matrix
// file's words: "parallel=8", "cache=cold".
func (v Variant) Words() []string {
	var out []string
	add := func(key, value, byDefault string) {
		if value != "" && value != byDefault {
			out = append(out, key+"="+value)
		}
	}
	add("image", v.Image, "")
	if v.Parallel > 1 {
		add("parallel", strconv.Itoa(v.Parallel), "")
	}
	add("cache", v.Cache, "as-is")
	add("tap", v.Tap, "new")
	return out
}

// String is the end of a cell's ID, and the metrics' label variant: such as
// "parallel=8/cache=cold", or "".
func (v Variant) String() string { return strings.Join(v.Words(), "/") }

// Variant is the cell's.
func (c *Cell) Variant() Variant {
	s := c.Settings
	if s == nil {
		return Variant{}
	}
	return Variant{Image: s.Image, Parallel: s.Parallel, Cache: s.Cache, Tap: s.Tap}
}
