// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"syscall"
)

// initialPIDNamespace is the inode of the host's PID namespace, in every kernel since 3.8
// (PROC_PID_INIT_INO in include/linux/proc_ns.h).
const initialPIDNamespace = 0xEFFFFFFC

// hostPIDs refuses to work where a process has another number than for the kernel, whose
// programs tell of VMs by it: in /proc here that is nobody, or somebody else.
func hostPIDs() error {
	var st syscall.Stat_t // zero: nothing says where this is
	_ = syscall.Stat("/proc/self/ns/pid", &st)
	if st.Ino != 0 && st.Ino != initialPIDNamespace {
		return errors.New("find VMs: ukprobe is in a PID namespace, where the kernel's numbers of processes mean nothing: run it in the host's (docker run --pid=host)")
	}
	return nil
}
