// SPDX-License-Identifier: Apache-2.0

package hostvm

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cavaliergopher/cpio"
)

//go:embed init.sh
var initScript []byte

// earlyModules are loaded from the initramfs, to reach the outer root.
var earlyModules = []string{"virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"}

// loadOrder returns the files, relative to dir, of the named modules and all
// that they need, each after what it needs. dir holds modules.dep. Names of
// modules built into the kernel are left out.
func loadOrder(dir string, names []string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	deps, byName := parseModulesDep(string(text))
	isBuiltin := map[string]bool{}
	for _, path := range strings.Fields(string(builtin)) {
		isBuiltin[moduleName(path)] = true
	}
	var order []string
	var visit func(path string)
	visit = func(path string) {
		if slices.Contains(order, path) {
			return
		}
		for _, d := range deps[path] {
			visit(d)
		}
		order = append(order, path)
	}
	for _, name := range names {
		path, ok := byName[name]
		switch {
		case ok:
			visit(path)
		case !isBuiltin[name]:
			return nil, fmt.Errorf("the kernel has no module %s", name)
		}
	}
	return order, nil
}

// parseModulesDep reads modules.dep: "file: needed-file needed-file …".
func parseModulesDep(text string) (deps map[string][]string, byName map[string]string) {
	deps, byName = map[string][]string{}, map[string]string{}
	for line := range strings.Lines(text) {
		path, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		deps[path] = strings.Fields(rest)
		byName[moduleName(path)] = path
	}
	return deps, byName
}

// moduleName returns the name the kernel uses for a module's file.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// initramfsFolders are the folders that the init script expects.
var initramfsFolders = []string{
	"bin", "sbin", "dev", "proc", "sys", "early", "lib", "lib/modules", "host", "ctl", "rw", "root",
}

// writeInitramfs makes an uncompressed initramfs of busybox, the init script
// and the early modules, which are numbered in the order to load them.
func (k kernel) writeInitramfs(ctx context.Context, path string) (err error) {
	modules := filepath.Join(k.modules(), k.Release)
	early, err := loadOrder(modules, earlyModules)
	if err != nil {
		return err
	}
	busybox, err := os.ReadFile(k.busybox())
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := cpio.NewWriter(file)
	for _, dir := range initramfsFolders {
		if err := w.WriteHeader(&cpio.Header{Name: dir, Mode: cpio.TypeDir | 0o755}); err != nil {
			return err
		}
	}
	err = errors.Join(addFile(w, "bin/busybox", busybox), addFile(w, "init", initScript))
	if err != nil {
		return err
	}
	for i, m := range early {
		data, err := readModule(ctx, k.busybox(), filepath.Join(modules, m))
		if err != nil {
			return err
		}
		if err := addFile(w, fmt.Sprintf("early/%02d-%s.ko", i, moduleName(m)), data); err != nil {
			return err
		}
	}
	return w.Close()
}

func addFile(w *cpio.Writer, name string, data []byte) error {
	err := w.WriteHeader(&cpio.Header{Name: name, Mode: cpio.TypeReg | 0o755, Size: int64(len(data))})
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// readModule returns a module's file, decompressed if need be.
func readModule(ctx context.Context, busybox, path string) ([]byte, error) {
	switch filepath.Ext(path) {
	case ".ko":
		return os.ReadFile(path)
	case ".xz":
		out, err := exec.CommandContext(ctx, busybox, "xzcat", path).Output()
		if err != nil {
			return nil, fmt.Errorf("busybox xzcat %s: %w", path, err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("module %s: neither plain nor xz", path)
}
