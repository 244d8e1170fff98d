// SPDX-License-Identifier: Apache-2.0

package results

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVariant(t *testing.T) {
	for _, tt := range []struct {
		settings *Settings
		text     string
		name     string
	}{
		{nil, "", "linux/nginx on qemu (kvm)"},
		{&Settings{}, "", "linux/nginx on qemu (kvm)"},
		{&Settings{Parallel: 1, Cache: "as-is", Tap: "new"}, "", "linux/nginx on qemu (kvm)"},
		{&Settings{Parallel: 8, Cache: "cold"}, "parallel=8/cache=cold", "linux/nginx on qemu, parallel=8, cache=cold (kvm)"},
		{&Settings{Image: "nginx-lto", Parallel: 2, Cache: "warm", Tap: "keep"}, "image=nginx-lto/parallel=2/cache=warm/tap=keep",
			"linux/nginx on qemu, image=nginx-lto, parallel=2, cache=warm, tap=keep (kvm)"},
	} {
		c := Cell{System: "linux", App: "nginx", Platform: "qemu", Experiment: "boot", Accel: "kvm", Settings: tt.settings}
		if d := cmp.Diff([]string{tt.text, tt.name}, []string{c.Variant().String(), c.Name()}); d != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.settings, d)
		}
	}
}
