// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/probe"
)

// TestWatchNothingMeant: a filter that takes nothing says why, and so does a VM of
// which nothing is known.
func TestWatchNothingMeant(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	needKVM(t)
	startReference(t, "other", reference.Cmdline{End: reference.EndSpin}).ready()
	spinning := []string{"other: qemu"}
	if !probe.HasVirtualisation() { // else the host's timer makes it exit
		spinning = append(spinning, "  no vCPU event yet", "not counted here: exits by reason, ")
	}
	for _, tt := range []struct {
		args  []string
		wants []string
	}{
		{[]string{"--name", "no-such"}, []string{"none matches --name no-such", "seen"}},
		{[]string{"--cgroup", "no-such.slice"}, []string{"no such cgroup (yet): /no-such.slice", "none matches --cgroup /no-such.slice"}},
		{[]string{"--name", "other"}, spinning},
		{[]string{"--pid", "1"}, []string{"pid 1 has no VM"}},
	} {
		c := newCall(t, append([]string{"watch", "--once", "--duration", "200ms"}, tt.args...)...).run().want(0)
		for _, want := range tt.wants {
			if !strings.Contains(c.stdout.String(), want) {
				t.Errorf("%v: no %q in\n%s", tt.args, want, c.output())
			}
		}
	}
}
