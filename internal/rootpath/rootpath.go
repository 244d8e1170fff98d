// SPDX-License-Identifier: Apache-2.0

// Package rootpath finds files below a folder as a process would for which that
// folder is "/": links in an unpacked image lead into the image, never to the host.
// Only links of a path's last component are followed; folders of an unpacked Debian
// image are no links, but for the merged /usr, whose links are relative.
package rootpath

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Resolve returns the host's path of the regular file name below root,
// following links of the last component as if root were "/".
func Resolve(root, name string) (string, error) {
	const maxLinks = 40 // the kernel's limit (path_resolution(7))
	for range maxLinks {
		host := filepath.Join(root, name)
		info, err := os.Lstat(host)
		switch {
		case err != nil:
			return "", err
		case info.Mode().IsRegular():
			return host, nil
		case info.Mode()&fs.ModeSymlink == 0:
			return "", fmt.Errorf("%s is neither a file nor a link", host)
		}
		target, err := os.Readlink(host)
		if err != nil {
			return "", err
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = path.Clean("/" + target)
	}
	return "", fmt.Errorf("%s below %s: too many links", name, root)
}
