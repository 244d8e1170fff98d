// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
)

// FuzzParse holds what must be true of every catalogue: no panic, errors with a
// place and nothing unprintable in them, images that are whole and within the limits.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "version: 1\nimages: []\n", image(), image("disks: [{path: a}]"), image("initrd: {path: a}"), image("built: {flags: -O2}"),
		image("cmdline: a {network} b"), image("network: \"{address}\""), image("sha256: '" + zeros + "'"), image("port: 80", `request: "a\n"`),
		"images: [{", "version: 1\nimages:\n  - - -\n", "%YAML 1.2\n---\n", "0: \n\t",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<14 {
			return
		}
		c, err := Parse("c.yaml", text)
		if err != nil {
			checkError(t, err)
			return
		}
		names := map[string]bool{}
		for _, m := range c.Images {
			if names[m.Name] || !strictyaml.NamePattern.MatchString(m.Name) || m.System == "" || m.App == "" || m.File.Path == "" && len(m.Disks) == 0 || len(m.Platforms) == 0 {
				t.Fatalf("not whole: %+v", m)
			}
			names[m.Name] = true
			if line := CommandLine(m.Cmdline, m.Network); strings.ContainsFunc(line, unicode.IsControl) {
				t.Fatalf("a control character in %q", line)
			}
		}
		if err := c.Check([]string{"qemu"}); err != nil {
			checkError(t, err)
		}
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var e *strictyaml.Error
	if !errors.As(err, &e) || e.Line < 1 || e.Col < 1 {
		t.Fatalf("no place: %#v", err)
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if strings.ContainsFunc(line, unicode.IsControl) {
			t.Fatalf("a control character in %q", line)
		}
	}
}
