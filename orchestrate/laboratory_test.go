// SPDX-License-Identifier: Apache-2.0

package orchestrate

import "testing"

// TestWorkRoot: where there is nothing, no device opens either.
func TestWorkRoot(t *testing.T) {
	const none, other = "/nosuch/tmp", "/nosuch/large"
	devices := t.TempDir()
	if noRoots(devices) {
		t.Skip("needs a folder for temporary files that takes devices and programs")
	}
	for _, tt := range []struct{ asked, temp, large, want string }{
		{"", devices, none, devices},
		{"", none, devices, devices},
		{none, none, devices, none},
		{"", none, other, none},
	} {
		if got := workRoot(tt.asked, tt.temp, tt.large); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
