// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"os/exec"
	"syscall"
	"time"
)

// killGroup makes the end of cmd's context the end of all that it has started:
// make alone would leave its compilers behind.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
}
