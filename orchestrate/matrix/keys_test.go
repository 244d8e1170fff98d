// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/strictyaml"
)

// TestSettingKeys: every one is known, and none is forgotten.
func TestSettingKeys(t *testing.T) {
	if !slices.IsSorted(settingKeys) {
		t.Error("they are not sorted")
	}
	top := map[string]bool{}
	for _, key := range SettingKeys() {
		first, _, _ := strings.Cut(key, ".")
		top[first] = true
		if _, err := override(t, key+"=?"); err != nil && strings.Contains(err.Error(), "unknown key") {
			t.Error(err)
		}
	}
	d := &decoder{Decoder: &strictyaml.Decoder{}, override: true}
	fields := d.cellFields(&entry{})
	delete(fields, "claims") // stands in the file only
	if diff := cmp.Diff(slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(top))); diff != "" {
		t.Errorf("(-decoded +listed):\n%s", diff)
	}
}
