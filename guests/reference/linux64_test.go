// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// Loaders that know neither PVH nor multiboot enter the image in long mode. No
// VMM of that kind is at hand, so testdata/longmode.S plays the loader.
func TestBootLinux64(t *testing.T) {
	needAccel(t, "tcg")
	for _, tool := range []string{"gcc", "ld"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing: install the package gcc", tool)
		}
	}
	c := Cmdline{CPUs: 2, PIO: 5, HLT: 2, MemMiB: 5, End: EndExit}
	loader := filepath.Join(t.TempDir(), "longmode")
	gcc := exec.Command("gcc", "-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0x800000",
		"-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", "-Wl,-z,noexecstack", "-Wl,-N",
		fmt.Sprintf("-DENTRY=%#x", openImage(t).Entry), fmt.Sprintf("-DCMDLINE=%q", c.String()),
		"-o", loader, "testdata/longmode.S")
	if out, err := gcc.CombinedOutput(); err != nil {
		t.Fatalf("assemble the loader: %v\n%s", err, out)
	}
	lines, _ := run(t, qemuArgs("microvm", "tcg", loader, "",
		"-smp", "2", "-device", "loader,file="+writeImage(t, Image())))
	checkBoot(t, c, "linux64", lines)
}
