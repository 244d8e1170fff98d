// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// networkModules are what a virtio network device needs, on PCI (QEMU's pc)
// and on MMIO (microvm); what they depend on is found.
var networkModules = []string{"virtio_pci", "virtio_mmio", "virtio_net"}

// diskModules are what a virtio disk on PCI needs, likewise.
var diskModules = []string{"virtio_pci", "virtio_blk"}

// module is one kernel module.
type module struct {
	name string // with underscores, as lsmod prints it
	path string // on the host
}

// moduleOrder returns the modules that the named ones need, and these, in an
// order in which insmod can load them: each after all that it depends on. dir
// is a kernel package's lib/modules/<release>. Packages hold no modules.dep
// (depmod makes it at installation), so the dependencies are read from the
// modules themselves. Modules built into the kernel are left out.
func moduleOrder(dir string, names ...string) ([]module, error) {
	files, err := moduleFiles(dir)
	if err != nil {
		return nil, err
	}
	var order []module
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		file, ok := files[name]
		if !ok {
			return fmt.Errorf("the kernel in %s has no module %s", dir, name)
		}
		if file == builtin {
			return nil
		}
		depends, err := moduleDepends(file)
		if err != nil {
			return err
		}
		for _, d := range depends {
			if err := add(d); err != nil {
				return fmt.Errorf("%s depends on %s: %w", name, d, err)
			}
		}
		order = append(order, module{name, file})
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// builtin stands for the file of a module that is part of the kernel.
const builtin = "(built in)"

// moduleFiles returns the file of every module below dir, by module name.
func moduleFiles(dir string) (map[string]string, error) {
	files := map[string]string{}
	list, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(list)) {
		files[moduleName(strings.TrimSpace(line))] = builtin
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), ".ko") {
			files[moduleName(path)] = path
		}
		return err
	})
	return files, err
}

// moduleName returns the name of the module in a file: a dash in the file's
// name is an underscore in the module's.
func moduleName(path string) string {
	base, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

// moduleDepends reads the list "depends=a,b" of a module's .modinfo section.
func moduleDepends(path string) ([]string, error) {
	if filepath.Ext(path) != ".ko" {
		return nil, fmt.Errorf("%s is compressed: only kernels with plain modules are supported (Debian up to 12)", path)
	}
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("%s has no .modinfo section: not a kernel module", path)
	}
	data, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read .modinfo of %s: %w", path, err)
	}
	for field := range strings.SplitSeq(string(data), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok {
			return strings.FieldsFunc(list, func(r rune) bool { return r == ',' }), nil
		}
	}
	return nil, nil
}
