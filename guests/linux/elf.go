// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/rootpath"
)

// libraryFolders are where the loader of Debian amd64 looks by default, in
// its order (ld.so(8), with Debian's multiarch folders first).
var libraryFolders = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"}

// libraries returns the paths, below root, of the loader and of every shared
// library that the programs need: what ldd prints, but read from the files'
// dynamic sections, without running them and without the host's libraries. RUNPATH is
// looked at after the loader's own folders, and its $ORIGIN not; RPATH and libraries
// opened at run time (dlopen) are not followed.
func libraries(root string, programs ...string) ([]string, error) {
	var found []string
	queue := slices.Clone(programs)
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		interp, needed, also, err := dependencies(root, name)
		if err != nil {
			return nil, err
		}
		if interp != "" {
			needed = append([]string{interp}, needed...)
		}
		for _, lib := range needed {
			at, err := findLibrary(root, lib, found, also)
			if err != nil {
				return nil, fmt.Errorf("%s needs %s: %w", name, lib, err)
			}
			if !slices.Contains(found, at) {
				found = append(found, at)
				queue = append(queue, at)
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// maxLoaderName is PATH_MAX, in bytes: what the kernel takes (fs/binfmt_elf.c).
const maxLoaderName = 4096

// dependencies returns the loader (its absolute path) and the libraries
// (their sonames) that the ELF file at name below root asks for, and the absolute
// folders of its RUNPATH.
func dependencies(root, name string) (interp string, needed, also []string, err error) {
	real, err := rootpath.Resolve(root, name)
	if err != nil {
		return "", nil, nil, err
	}
	f, err := elf.Open(real)
	if err != nil {
		return "", nil, nil, fmt.Errorf("read %s: %w", real, err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		if p.Filesz > maxLoaderName {
			return "", nil, nil, fmt.Errorf("read the loader's name in %s: it has %d bytes, more than %d: a damaged ELF file", real, p.Filesz, maxLoaderName)
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return "", nil, nil, fmt.Errorf("read the loader's name in %s: %w", real, err)
		}
		interp = string(bytes.TrimRight(b, "\x00"))
	}
	needed, err = f.ImportedLibraries()
	if err != nil {
		return "", nil, nil, fmt.Errorf("read the libraries of %s: %w", real, err)
	}
	runpath, err := f.DynString(elf.DT_RUNPATH)
	if err != nil {
		return "", nil, nil, fmt.Errorf("read the RUNPATH of %s: %w", real, err)
	}
	for _, list := range runpath {
		for dir := range strings.SplitSeq(list, ":") {
			if path.IsAbs(dir) {
				also = append(also, dir)
			}
		}
	}
	return interp, needed, also, nil
}

// findLibrary returns where below root lib is, an absolute path or a soname.
// A soname already found is taken from there: the loader, which is at a path
// of its own, is needed by name too. also are folders to look in last.
func findLibrary(root, lib string, found, also []string) (string, error) {
	candidates := []string{lib}
	if !path.IsAbs(lib) {
		for _, f := range found {
			if path.Base(f) == lib {
				return f, nil
			}
		}
		candidates = candidates[:0]
		for _, dir := range slices.Concat(libraryFolders, also) {
			candidates = append(candidates, path.Join(dir, lib))
		}
	}
	for _, c := range candidates {
		_, err := rootpath.Resolve(root, c)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("it is in none of the recipe's packages (looked for %s)", strings.Join(candidates, ", "))
}
