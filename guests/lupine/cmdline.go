// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/guests/linux"
)

// kept are those of linux's words that these kernels know: they have no IPv6, no
// keyboard controller, no RCU that waits and no self-tests to switch off.
var kept = []string{"console=ttyS0", "quiet", "panic=-1", "reboot=t", "tsc=reliable", "no_timer_check"}

// CommandLine returns the kernel's command line: the words of linux that mean
// something here, one for PCI, then more. Only bus 0 is looked at, and without PCI
// (Firecracker, QEMU's microvm) none, as the paper's scripts do it.
//
// hello and sqlite take the word ukprobe_end=reboot or poweroff: what follows the
// ready line, instead of idling. It has no dot as linux's has, so that the kernel
// passes it on to /init, which has no /proc to read it from.
func CommandLine(pci bool, more ...string) string {
	var line []string
	for _, w := range linux.Words() {
		if slices.Contains(kept, w.Text) {
			line = append(line, w.Text)
		}
	}
	// Debian's kernels have CONFIG_PRINTK_TIME: stamps, by which a claim is judged.
	line = append(line, "printk.time=1")
	if pci {
		line = append(line, "pci=lastbus=0")
	} else {
		// Quieter than quiet: a kernel with PCI complains, as an error, that there is none.
		line = append(line, "pci=off", "loglevel=3")
	}
	return strings.Join(append(line, more...), " ")
}
