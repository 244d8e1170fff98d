// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"cmp"
	"debug/elf"
	"os"
	"path"
	"strings"

	"github.com/ukprobe/ukprobe/internal/rootpath"
	"github.com/ukprobe/ukprobe/orchestrate/inspect"
)

// rootfs measures an unpacked root file system: the app's program, the libraries that it
// needs, the kernel's modules, and the rest.
func (m *measurer) rootfs(dir string) error {
	list, err := m.regularFiles(dir)
	if err != nil {
		return err
	}
	sizes := map[inode]int64{}
	var total, modules, strippable int64
	for _, n := range list {
		size := n.info.Size()
		total += size
		sizes[inodeOf(n.info)] = size
		if isModule(n.name) {
			modules += size
		}
		strippable += m.strippable(n.path)
	}
	m.unpacked += total
	m.stripped += total - strippable
	m.add(RootFSBytes, total)
	if _, linux := m.out.Values[KernelBytes]; linux && modules > 0 {
		m.add(KernelBytes, modules)
		m.add("kernel_modules_bytes", modules)
	}
	app, libs := m.application(dir, sizes)
	if app < 0 || libs < 0 {
		m.lacks(RestBytes, "what of the root file system is the application's is not known")
		return nil
	}
	m.add(RestBytes, total-modules-app-libs)
	return nil
}

func isModule(name string) bool {
	return strings.Contains(name, "/lib/modules/") && strings.Contains(path.Base(name), ".ko")
}

// application finds the app's program and the libraries that it needs; -1 is for what is
// not known. A file that is reached by two names counts once.
func (m *measurer) application(dir string, sizes map[inode]int64) (app, libs int64) {
	if _, has := m.out.Values[AppBytes]; has { // of another file system
		return 0, 0
	}
	at := m.findProgram(dir)
	if at == "" {
		m.lacks(AppBytes, "no program of %s was found in the root file system", m.img.App)
		m.lacks(LibrariesBytes, "no program of %s was found in the root file system", m.img.App)
		return -1, -1
	}
	take := func(path string) int64 {
		st, err := os.Stat(path)
		if err != nil {
			return 0
		}
		n := sizes[inodeOf(st)]
		delete(sizes, inodeOf(st))
		return n
	}
	m.out.Facts["app_program"] = strings.TrimPrefix(at, dir)
	app = take(at)
	m.value(AppBytes, app)
	m.appSections(at)
	needed, err := inspect.Libraries(dir, at)
	if err != nil {
		m.lacks(LibrariesBytes, "%v", err)
		return app, -1
	}
	var missing []string
	for _, l := range needed {
		if l.Path == "" {
			missing = append(missing, l.Name)
			continue
		}
		libs += take(l.Path)
		m.libc = cmp.Or(m.libc, libcOf(l.Name))
	}
	if len(missing) > 0 {
		m.lacks(LibrariesBytes, "not in the image: %s", strings.Join(missing, ", "))
		return app, -1
	}
	m.value(LibrariesBytes, libs)
	return app, libs
}

// libcOf tells the C library by the names that it is asked for by.
func libcOf(library string) string {
	switch base := path.Base(library); {
	case strings.HasPrefix(base, "ld-musl-"), strings.HasPrefix(base, "libc.musl-"):
		return "musl"
	case base == "libc.so.6", strings.HasPrefix(base, "ld-linux"):
		return "glibc"
	}
	return ""
}

// findProgram is where the app's program is on the host; "" if it was not found. A
// script is none.
func (m *measurer) findProgram(dir string) string {
	candidates := programs(m.img.App)
	if m.program != "" {
		candidates = []string{m.program}
	}
	for _, c := range candidates {
		if at, err := rootpath.Resolve(dir, c); err == nil && isELF(at) {
			return at
		}
	}
	return ""
}

// appSections notes what a program's file says.
func (m *measurer) appSections(path string) {
	e, err := elf.Open(path)
	if err != nil {
		m.lacks("app_text_bytes", "%v", err)
		return
	}
	defer e.Close()
	m.sections("app_", e)
	libs, err := e.ImportedLibraries()
	m.out.Facts["app_linked"] = "statically"
	if err == nil && len(libs) > 0 {
		m.out.Facts["app_linked"] = "dynamically"
	}
}

// strippable is how much strip would take from a file; 0 for what is no ELF file.
func (m *measurer) strippable(path string) int64 {
	if !isELF(path) {
		return 0
	}
	e, err := elf.Open(path)
	if err != nil {
		return 0
	}
	defer e.Close()
	return sectionsOf(e).strippable(e)
}
