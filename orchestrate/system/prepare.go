// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"context"
	"fmt"
	"strings"
)

// prepared finds a guest's files, of the catalogue or the cell, and measures them.
func (e Env) prepared(ctx context.Context, s System, w Want) (Boot, error) {
	b, err := e.located(ctx, s, w)
	if err != nil {
		return Boot{}, err
	}
	if b.Kernel == Unbuilt {
		return Boot{}, e.errNoImage(s.Name(), w)
	}
	if err := b.examine(ctx); err != nil {
		return Boot{}, err
	}
	return b, nil
}

// located describes a boot whose files of the catalogue are local; the cell's own come
// before them.
func (e Env) located(ctx context.Context, s System, w Want) (Boot, error) {
	if _, err := e.entry(s.Name(), w); err != nil {
		return Boot{}, err
	}
	b := s.Describe(w)
	if b.Entry == nil {
		return b, nil
	}
	if err := e.locate(ctx, &b); err != nil {
		return Boot{}, err
	}
	if _, ok := s.(*Unikraft); !ok { // which puts them where they belong
		b.Cmdline = cmp.Or(b.Cmdline, strings.Join(b.PackedArgs, " "))
	}
	b.override(w.Settings)
	if b.Kernel == "" && !kernelless(s) {
		return Boot{}, fmt.Errorf("image %s (%s): names no path: %s boots a kernel file and not a disk alone: give its path", b.Entry.Name, b.Entry.Pos, s.Name())
	}
	return b, nil
}

// kernelless says whether a system boots without a kernel being named: from a disk, or
// since it has its own.
func kernelless(s System) bool {
	switch s.(type) {
	case *OSv, *Linux, *Lupine:
		return true
	}
	return false
}

// fits returns an error wrapping ErrUnsupported if the platform's VMM cannot load the
// image. qemu and firecracker say what to build for the one and the other.
func fits(b Boot, qemu, firecracker string) error {
	l, err := whoLoads(b.Kernel)
	if err != nil {
		return err
	}
	switch {
	case b.Platform == firecrackerVMM && !l.byFirecracker():
		return fmt.Errorf("%w: image %s is %s, which Firecracker does not load: build it for Firecracker (%s)", ErrUnsupported, b.Kernel, l.what(), firecracker)
	case b.Platform != firecrackerVMM && !l.byQEMU():
		return fmt.Errorf("%w: image %s is %s, which QEMU does not load: build it for QEMU (%s)", ErrUnsupported, b.Kernel, l.what(), qemu)
	}
	return nil
}
