// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/internal/rootpath"
)

// Program is a Linux program or library: what it needs, and which system calls it can
// make.
type Program struct {
	Interpreter string    `json:"interpreter,omitempty"` // "" for a static program
	Root        string    `json:"root,omitempty"`        // folder below which the libraries were looked for
	Libraries   []Library `json:"libraries,omitempty"`   // direct and indirect, the loader first
	Calls       []Call    `json:"system_calls"`          // by number
	// Unknown is how many system call instructions have a number that is not in sight.
	Unknown int    `json:"system_calls_with_unknown_number"`
	Limits  string `json:"limits"` // of what this can see
}

// Library is a shared library that the program needs.
type Library struct {
	Name string `json:"name"`
	Path string `json:"path,omitempty"` // "" if it is not there
}

// Where a system call was found, from near to far.
const (
	Own       = "own"      // an instruction in the program itself
	Called    = "called"   // in a library, on a path of direct calls from what the program imports
	Contained = "contains" // in a library, on no path that was found
)

// Call is a system call.
type Call struct {
	Number int    `json:"number"`
	Name   string `json:"name"` // "" if this ukprobe has none for the number
	Where  string `json:"where"`
	By     string `json:"by,omitempty"` // the imported function that leads there and to the fewest others, or the library
}

const limits = "By the file alone: numbers are those of `mov` into eax before a `syscall` in the same " +
	"stretch of code, and paths those of direct calls. Calls through pointers (callbacks, jump and method tables, " +
	"stdio's, plug-ins), code made at run time and libraries opened at run time are not followed: what is " +
	"missing here can still happen, what is here need not. To see what does happen, use strace -f -c."

// missing are the libraries that are not there.
func (p *Program) missing() []string {
	var out []string
	for _, l := range p.Libraries {
		if l.Path == "" {
			out = append(out, l.Name)
		}
	}
	return out
}

// maxCode bounds the code of one file that is looked through, in bytes.
const maxCode = 256 << 20

// readProgram analyses the program at file.
func readProgram(file string, size int64, e *elfFile) (*Program, error) {
	p := &Program{Interpreter: e.interpreter(), Limits: limits, Calls: []Call{}}
	code, err := readCode(e.File, size)
	if err != nil {
		return nil, err
	}
	found := map[int]Call{}
	numbers, unknown := code.sweep()
	for _, n := range numbers {
		found[n] = Call{Number: n, Where: Own}
	}
	p.Unknown = unknown
	if err := p.findLibraries(file, e); err != nil {
		return nil, err
	}
	if err := p.followImports(e, found); err != nil {
		return nil, err
	}
	for _, c := range found {
		c.Name = syscallNames[c.Number]
		p.Calls = append(p.Calls, c)
	}
	slices.SortFunc(p.Calls, func(a, b Call) int { return cmp.Compare(a.Number, b.Number) })
	return p, nil
}

// libraryFolders are where Debian's loader for amd64 looks by default, in its order
// (ld.so(8)), with the folders of other distributions after them.
var libraryFolders = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// findLibraries looks for the libraries below the nearest folder above the file that
// has the file's loader in it: the root of the image that the file belongs to.
func (p *Program) findLibraries(file string, e *elfFile) error {
	if p.Interpreter == "" {
		return nil
	}
	p.Root = rootOf(file, p.Interpreter)
	return p.follow(e.File)
}

// Libraries are the loader and the libraries that the program at path needs, direct and
// indirect, looked for below root. A static program has none.
func Libraries(root, path string) ([]Library, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e, err := openELF(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if e == nil {
		return nil, fmt.Errorf("%s: not an ELF file", path)
	}
	p := &Program{Interpreter: e.interpreter(), Root: root}
	if p.Interpreter == "" {
		return nil, nil
	}
	if err := p.follow(e.File); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p.Libraries, nil
}

// follow lists the loader and the libraries, and theirs.
func (p *Program) follow(e *elf.File) error {
	p.add(p.Interpreter)
	names, err := e.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("damaged ELF file: libraries: %w", err)
	}
	for i := 0; i < len(names); i++ {
		at := p.add(names[i])
		if at == "" {
			continue
		}
		lib, err := elf.Open(at)
		if err != nil {
			continue // it is listed with its path
		}
		more, err := lib.ImportedLibraries()
		_ = lib.Close()
		for _, n := range more {
			if err == nil && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return nil
}

// rootOf is the nearest folder above the file below which its loader is; "/" if none.
func rootOf(file, interpreter string) string {
	abs, err := filepath.Abs(file)
	if err != nil {
		return "/"
	}
	for dir := filepath.Dir(abs); ; dir = filepath.Dir(dir) {
		if dir == "/" {
			return dir
		}
		// /lib64 is a link to usr/lib64 where /usr is merged: that makes no root of /usr.
		if _, err := os.Lstat(filepath.Join(dir, interpreter)); err == nil && filepath.Base(dir) != "usr" {
			return dir
		}
	}
}

// add lists a library, once, and returns where it is.
func (p *Program) add(name string) string {
	for _, l := range p.Libraries {
		if l.Name == name || path.Base(l.Name) == name {
			return l.Path
		}
	}
	candidates := []string{name}
	if !path.IsAbs(name) {
		candidates = candidates[:0]
		for _, dir := range libraryFolders {
			candidates = append(candidates, path.Join(dir, name))
		}
	}
	l := Library{Name: name}
	for _, c := range candidates {
		if real, err := rootpath.Resolve(p.Root, c); err == nil {
			l.Path = real
			break
		}
	}
	p.Libraries = append(p.Libraries, l)
	return l.Path
}

// followImports adds what libraries do for the program's imports, and what else they
// contain.
func (p *Program) followImports(e *elfFile, found map[int]Call) error {
	var libs []*library
	for _, l := range p.Libraries {
		if l.Path == "" {
			continue
		}
		lib, err := openLibrary(l.Path)
		if err != nil {
			return err
		}
		libs = append(libs, lib)
	}
	imports, err := e.ImportedSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return fmt.Errorf("damaged ELF file: symbols: %w", err)
	}
	g := &graph{libs: libs, functions: map[place]*function{}}
	shortest := map[int]int{} // how many calls the import leads to by which a number was found
	for _, s := range imports {
		numbers := g.reach(s.Name)
		for _, n := range numbers {
			c, known := found[n]
			if known && (c.Where != Called || shortest[n] <= len(numbers)) {
				continue
			}
			found[n], shortest[n] = Call{Number: n, Where: Called, By: s.Name}, len(numbers)
		}
	}
	for _, lib := range libs {
		numbers, _ := lib.code.sweep()
		for _, n := range numbers {
			if _, known := found[n]; !known {
				found[n] = Call{Number: n, Where: Contained, By: lib.name}
			}
		}
	}
	return nil
}
