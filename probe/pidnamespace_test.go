// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestNoVMsInAPIDNamespace: there VMs would be looked up by others' numbers, so that they
// are not looked for; guests that ukprobe starts itself are found by their cgroups.
func TestNoVMsInAPIDNamespace(t *testing.T) {
	const inside = "UKPROBE_TEST_IN_PID_NAMESPACE"
	needRoot(t)
	if os.Getenv(inside) == "" {
		if err := hostPIDs(); err != nil {
			t.Skipf("needs the host's PID namespace: %v", err)
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestNoVMsInAPIDNamespace$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	if p, err := Open(Options{Discover: true}); err == nil || !strings.Contains(err.Error(), "--pid=host") {
		t.Errorf("VMs are looked for: %v", err)
		_ = p.Close()
	}
	p, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Adopt(os.Getpid()); err == nil || !strings.Contains(err.Error(), "--pid=host") {
		t.Errorf("a VM is adopted by its number: %v", err)
	}
}
