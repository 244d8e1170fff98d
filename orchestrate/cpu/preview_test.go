// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPreview: what is so, what would be set and what cannot be; and nothing is written.
func TestPreview(t *testing.T) {
	root := t.TempDir()
	files := map[string]string{
		"sys/devices/system/cpu/online":              "0-1",
		"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
		"sys/kernel/mm/ksm/run":                      "1",
		"proc/irq/5/smp_affinity_list":               "0-1",
		"proc/irq/6/smp_affinity_list":               "1",
		"proc/irq/7/smp_affinity_list":               "0",
	}
	for path, text := range files {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := preview(root, Settings{Governor: "performance", THP: "madvise", KSM: "off", IRQsAway: true}, []int{1})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"thp madvise: is so already",
		"ksm off: /sys/kernel/mm/ksm/run is 1, would be set to 0",
		"irqs away: /proc/irq/5/smp_affinity_list is 0-1, would be set to 0, and 1 more files",
		"governor performance: cannot be set: no CPU of this machine has cpufreq",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for path, text := range files {
		if now, err := os.ReadFile(filepath.Join(root, path)); err != nil || string(now) != text+"\n" {
			t.Errorf("%s: %q, %v", path, now, err)
		}
	}
	if got, err := preview(root, Settings{}, nil); err != nil || got != nil {
		t.Errorf("nothing asked for: %q, %v", got, err)
	}
}
