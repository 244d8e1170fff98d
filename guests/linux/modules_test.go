// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestModuleOrder checks the order made for the real kernel against the
// dependencies that are known of its virtio modules.
func TestModuleOrder(t *testing.T) {
	kernel, err := treeBuilder(t).Kernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(filepath.Dir(kernel.Path), modulesFolder, orderFile))
	if err != nil {
		t.Fatal(err)
	}
	order := strings.Fields(string(data))
	for _, pair := range [][2]string{
		{"virtio_ring", "virtio"},
		{"virtio", "virtio_pci"},
		{"virtio_pci_modern_dev", "virtio_pci"},
		{"virtio_pci_legacy_dev", "virtio_pci"},
		{"virtio", "virtio_mmio"},
		{"failover", "net_failover"},
		{"net_failover", "virtio_net"},
	} {
		first, second := slices.Index(order, pair[0]+".ko"), slices.Index(order, pair[1]+".ko")
		if first < 0 || second < 0 || first > second {
			t.Errorf("%s is not before %s in %v", pair[0], pair[1], order)
		}
	}
}

func TestModuleOrderFails(t *testing.T) {
	dir := t.TempDir()
	tr := tree{}
	tr.file("/modules.builtin", []byte("kernel/drivers/virtio/virtio-ring.ko\n"), 0o644)
	tr.file("/kernel/packed.ko.xz", nil, 0o644)
	tr.file("/kernel/broken.ko", make([]byte, 64), 0o644)
	if err := tr.writeInto(dir); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, wantErr string }{
		{"virtio_ring", ""},
		{"packed", "packed.ko.xz is compressed: only kernels with plain modules are supported"},
		{"broken", "broken.ko: bad magic number"},
		{"absent", "has no module absent"},
	}
	for _, tt := range tests {
		order, err := moduleOrder(dir, tt.name)
		if len(order) != 0 || !strings.Contains(errText(err), tt.wantErr) || (err == nil) != (tt.wantErr == "") {
			t.Errorf("moduleOrder(%s) = %v, %q; want none and %q", tt.name, order, errText(err), tt.wantErr)
		}
	}
}
