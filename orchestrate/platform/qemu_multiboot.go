// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// initrdFor is what QEMU is to be told of a boot's initrd. To a multiboot image it is a
// list of modules: at commas a new one begins, unless they are doubled, and behind a
// blank a module's words; and the kernel's path comes before the words of its command
// line (load_multiboot in QEMU's hw/i386/multiboot.c; seen so with 7.2, pc and microvm). To others it is a
// path.
func initrdFor(b system.Boot) (string, error) {
	if b.Kernel == "" || b.Kernel == system.Unbuilt {
		return b.Initrd, nil
	}
	// What cannot be read is no multiboot image, and QEMU says why.
	if format, _ := system.FormatOf(b.Kernel); !format.Multiboot {
		return b.Initrd, nil
	}
	if err := multibootPath(b.Kernel); err != nil {
		return "", err
	}
	if strings.Contains(b.Initrd, " ") {
		return "", fmt.Errorf("initrd %q: QEMU takes what comes behind a blank for words to a multiboot module: rename it", b.Initrd)
	}
	return strings.ReplaceAll(b.Initrd, ",", ",,"), nil
}

// multibootPath refuses the path of a multiboot image that would be several words.
func multibootPath(kernel string) error {
	if strings.Contains(kernel, " ") {
		return fmt.Errorf("image %q: QEMU puts its path before the command line, and the guest takes it to end at the first blank: rename it", kernel)
	}
	return nil
}
