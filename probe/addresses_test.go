// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/bpf"
)

func TestInOrder(t *testing.T) {
	ring := []uint64{5, 6, 3, 4}
	for _, tt := range []struct {
		ever uint64
		want []uint64
	}{{0, nil}, {1, []uint64{5}}, {4, []uint64{5, 6, 3, 4}}, {6, []uint64{3, 4, 5, 6}}} {
		if d := cmp.Diff(tt.want, inOrder(ring, tt.ever)); d != "" {
			t.Errorf("%d ever: %s", tt.ever, d)
		}
	}
}

// The kinds are those of the kernel's side, in its order.
func TestAddressKinds(t *testing.T) {
	want := map[bpf.AddressesAddressKind]AddressKind{bpf.AddressesAddressKindADDRESS_HALT: AddressHalt, bpf.AddressesAddressKindADDRESS_CONSOLE: AddressConsole,
		bpf.AddressesAddressKindADDRESS_PORT: AddressPort, bpf.AddressesAddressKindADDRESS_OTHER: AddressOther}
	if len(AddressKinds) != int(bpf.AddressesAddressKindADDRESS_KINDS) {
		t.Fatalf("%d kinds, in the kernel %d", len(AddressKinds), bpf.AddressesAddressKindADDRESS_KINDS)
	}
	for i, kind := range want {
		if AddressKinds[i] != kind {
			t.Errorf("kind %d is %s, want %s", i, AddressKinds[i], kind)
		}
	}
}

// Of a cgroup in which no guest ran nothing is known.
func TestAddressesOfNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: BPF programs need it")
	}
	if _, err := os.Stat("/dev/kvm"); err != nil {
		t.Skip("no KVM, so no tracepoints of its")
	}
	a, err := OpenAddresses()
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Of(1 << 60)
	if err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
