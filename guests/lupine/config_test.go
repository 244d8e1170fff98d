// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// errText is "" for no error.
func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestWanted(t *testing.T) {
	fsys := fstest.MapFS{
		"config/base.config":  {Data: []byte("# why\nCONFIG_A=y\n\nCONFIG_N=4\n")},
		"config/same.config":  {Data: []byte("CONFIG_A=y\n CONFIG_B=\"x y\" \n")},
		"config/other.config": {Data: []byte("CONFIG_N=5\n")},
		"config/bad.config":   {Data: []byte("# why\n\nCONFIG_A\n")},
		"config/name.config":  {Data: []byte("A=y\n")},
		"config/value.config": {Data: []byte("CONFIG_A=\n")},
	}
	tests := []struct {
		names string
		want  string
		err   string
	}{
		{"base", "CONFIG_A=y CONFIG_N=4", ""},
		{"base same", `CONFIG_A=y CONFIG_N=4 CONFIG_B="x y"`, ""},
		{"base other", "", "fragments base and other of lupine's configuration disagree: CONFIG_N=4, CONFIG_N=5"},
		{"bad", "", `bad.config, line 3: "CONFIG_A": want CONFIG_NAME=VALUE`},
		{"name", "", `name.config, line 1: "A=y": want CONFIG_NAME=VALUE`},
		{"value", "", `value.config, line 1: "CONFIG_A=": want CONFIG_NAME=VALUE`},
		{"none", "", "open config/none.config: file does not exist"},
	}
	for _, tt := range tests {
		options, err := wanted(fsys, strings.Fields(tt.names))
		var got []string
		for _, o := range options {
			got = append(got, o.String())
		}
		if strings.Join(got, " ") != tt.want || errText(err) != tt.err {
			t.Errorf("%s: %v, %q; want %s, %q", tt.names, got, errText(err), tt.want, tt.err)
		}
	}
}

func TestCheckAndCount(t *testing.T) {
	config := "#\n# Linux\n#\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=4\nCONFIG_C=y\nCONFIG_S=\"y\"\n"
	options := []option{{"CONFIG_A", "y", "base"}, {"CONFIG_B", "y", "net"}, {"CONFIG_N", "4", "base"}, {"CONFIG_N2", "4", "base"}}
	const want = "CONFIG_B=y of net.config is not in the kernel's configuration: it is unknown there, or depends on an option that is off\n" +
		"CONFIG_N2=4 of base.config is not in the kernel's configuration: it is unknown there, or depends on an option that is off"
	if diff := cmp.Diff(want, errText(check(config, options))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := check(config, options[:1]); err != nil {
		t.Errorf("what is there: %v", err)
	}
	if n := count(config); n != 2 {
		t.Errorf("count = %d, want 2", n)
	}
}

// TestFragments: every kernel's fragments agree, every file is used, every option
// has its reason above it, and the general kernel has what the apps' have.
func TestFragments(t *testing.T) {
	used := map[string]bool{}
	general := map[option]bool{}
	for _, app := range append([]string{General}, Apps()...) {
		options, err := wanted(files, fragments[app])
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fragments[app] {
			used[f] = true
		}
		for _, o := range options {
			if o.from = ""; app == General {
				general[o] = true
			} else if !general[o] {
				t.Errorf("%s has %v, %s has not", app, o, General)
			}
		}
	}
	paths, err := fs.Glob(files, "config/*.config")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range paths {
		names = append(names, strings.TrimSuffix(path.Base(p), ".config"))
		text, err := files.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "\n\n") {
			for n, line := range strings.Split(strings.TrimSpace(block), "\n") {
				if strings.HasPrefix(line, "#") {
					break
				}
				t.Errorf("%s: line %d of a block, %q, is an option without a reason above it", p, n+1, line)
			}
		}
	}
	if diff := cmp.Diff(names, slices.Sorted(maps.Keys(used))); diff != "" {
		t.Errorf("fragments, -there +used:\n%s", diff)
	}
}
