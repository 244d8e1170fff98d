// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// tracefsMounts are where tracefs may be.
var tracefsMounts = []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}

// RemoveStaleReturnProbes deletes the definitions of return probes that a killed
// ukprobe left in tracefs, and returns their names. A return probe with a limit of
// its own has no other place; the definition does nothing by itself. Those in use
// are left alone. No tracefs means none.
func RemoveStaleReturnProbes() (removed []string, err error) {
	for _, dir := range tracefsMounts {
		f, err := os.OpenFile(dir+"/kprobe_events", os.O_RDWR|os.O_APPEND, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // not mounted there, or no kprobes
		}
		if err != nil {
			return nil, fmt.Errorf("look for stale return probes: %w", err)
		}
		removed, err = removeStale(f)
		return removed, errors.Join(err, f.Close())
	}
	return nil, nil
}

func removeStale(f io.ReadWriter) (removed []string, err error) {
	var errs []error
	for _, name := range staleReturnProbes(f) {
		_, err := io.WriteString(f, "-:"+name+"\n")
		switch {
		case err == nil:
			removed = append(removed, name)
		case !errors.Is(err, unix.EBUSY) && !errors.Is(err, os.ErrNotExist):
			errs = append(errs, fmt.Errorf("delete return probe %s: %w", name, err))
		}
	}
	return removed, errors.Join(errs...)
}

// returnProbe is a line of kprobe_events as cilium/ebpf makes it for a return probe
// with our limit.
var returnProbe = regexp.MustCompile(fmt.Sprintf(`^r%d:(ebpf_[0-9a-f]+/\w+) (\w+)(\+0)?$`, maxReturns))

// staleReturnProbes lists ours: the limit and the function tell.
func staleReturnProbes(r io.Reader) []string {
	ours := map[string]bool{}
	for _, h := range hooks {
		for _, p := range h.rungs[Kprobe] {
			if !strings.HasPrefix(p.name, "kretprobe_") {
				continue
			}
			for _, target := range append(p.targets, returnTargets[p.name]) {
				ours[target] = true
			}
		}
	}
	var out []string
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if m := returnProbe.FindStringSubmatch(lines.Text()); m != nil && ours[m[2]] {
			out = append(out, m[1])
		}
	}
	return out
}

// returnTargets are the functions that stand in the object file.
var returnTargets = map[string]string{
	"kretprobe_vm_ioctl": "kvm_dev_ioctl", "kretprobe_user_exit": "kvm_arch_vcpu_ioctl_run", "kretprobe_kvm_exit": "svm_vcpu_run",
}
