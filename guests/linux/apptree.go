// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"io/fs"

	"github.com/ukprobe/ukprobe/internal/deb"
	"github.com/ukprobe/ukprobe/internal/rootpath"
)

// appTree returns what the app needs in its root file system, the same for
// the microVM and for the process. The packages are unpacked into scratch.
func appTree(ctx context.Context, r recipe, pkgs []deb.Package, scratch string) (tree, error) {
	for _, p := range pkgs {
		if err := deb.Unpack(ctx, p, scratch); err != nil {
			return nil, err
		}
	}
	t := tree{}
	libs, err := libraries(scratch, r.programs...)
	if err != nil {
		return nil, err
	}
	for _, name := range append(libs, r.programs...) {
		if err := t.take(scratch, name, 0o755); err != nil {
			return nil, err
		}
	}
	for _, name := range r.data {
		if err := t.take(scratch, name, 0o644); err != nil {
			return nil, err
		}
	}
	for name, source := range r.files {
		if err := t.own(name, source, 0o644); err != nil {
			return nil, err
		}
	}
	for name, text := range r.texts {
		t.file(name, []byte(text), 0o644)
	}
	for _, name := range r.folders {
		t.folder(name)
	}
	return t, nil
}

// take adds the file that is at name below root, a link's target under the
// link's name.
func (t tree) take(root, name string, perm fs.FileMode) error {
	src, err := rootpath.Resolve(root, name)
	if err != nil {
		return err
	}
	return t.copy(name, src, perm)
}

// own adds a file of files/ under the path name.
func (t tree) own(name, source string, perm fs.FileMode) error {
	data, err := file(source)
	if err != nil {
		return err
	}
	t.file(name, data, perm)
	return nil
}
