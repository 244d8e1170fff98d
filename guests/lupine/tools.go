// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// tools are what the build of a kernel runs or reads, with Debian's packages.
// Unlike the sources they have to be installed: they find each other by fixed
// paths.
var tools = []struct{ path, pkg string }{ // a path without / is looked up in PATH
	{"bc", "bc"},
	{"bison", "bison"},
	{"flex", "flex"},
	{"gcc", "gcc"},
	{"gzip", "gzip"},
	{"ld", "binutils"},
	{"make", "make"},
	{"tar", "tar"},
	{"xz", "xz-utils"},
	{"/usr/include/stdio.h", "libc6-dev"},
	{"/usr/include/gelf.h", "libelf-dev"}, // for objtool
}

// missingTools returns an error that names the packages of what is not there.
func missingTools() error {
	var what, pkgs []string
	for _, t := range tools {
		var err error
		if strings.HasPrefix(t.path, "/") {
			_, err = os.Stat(t.path)
		} else {
			_, err = exec.LookPath(t.path)
		}
		if err != nil {
			what, pkgs = append(what, t.path), append(pkgs, t.pkg)
		}
	}
	if what == nil {
		return nil
	}
	return fmt.Errorf("%s not found: apt-get install %s", strings.Join(what, ", "), strings.Join(slices.Compact(pkgs), " "))
}
