// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/bpf"
)

func TestStaleReturnProbesAreOursOnly(t *testing.T) {
	const events = `p:kprobes/mine svm_vcpu_run
r4096:ebpf_0123abcd/svm_vcpu_run svm_vcpu_run
r4096:ebpf_0123abce/svm_vcpu_run svm_vcpu_run+0
r8:ebpf_0123abcf/svm_vcpu_run svm_vcpu_run
r4096:ebpf_0123abd0/do_exit do_exit
r4096:other/kvm_dev_ioctl kvm_dev_ioctl
r4096:ebpf_0123abd1/kvm_arch_vcpu_ioctl_run kvm_arch_vcpu_ioctl_run
r4096:ebpf_0123abd2/x kvm_dev_ioctl arg=1
`
	want := []string{"ebpf_0123abcd/svm_vcpu_run", "ebpf_0123abce/svm_vcpu_run", "ebpf_0123abd1/kvm_arch_vcpu_ioctl_run"}
	if diff := cmp.Diff(want, staleReturnProbes(strings.NewReader(events))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReturnTargets: each return probe's function is the object file's.
func TestReturnTargets(t *testing.T) {
	spec, err := bpf.LoadKVM()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for name, p := range spec.Programs {
		if strings.HasPrefix(name, "kretprobe_") {
			n++
			if returnTargets[name] != p.AttachTo {
				t.Errorf("%s: %q here, %q in the object file", name, returnTargets[name], p.AttachTo)
			}
		}
	}
	if n != len(returnTargets) {
		t.Errorf("%d return probes, %d here", n, len(returnTargets))
	}
}
