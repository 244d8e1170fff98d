// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/probe"
)

// TestHostDid: zeros are figures only of a hook that has seen something, and of a guest
// that does not say otherwise.
func TestHostDid(t *testing.T) {
	written := probe.DiskIO{Writes: probe.DiskCalls{Count: 3, Bytes: 12288}, Calls: 5}
	lost, unseen := written, probe.DiskIO{Unseen: 2, Calls: 1}
	lost.Lost = 7
	for _, tt := range []struct {
		name   string
		now, d probe.DiskIO
		busy   bool
		writes float64 // -1: missing
		flush  float64
		lacks  string
		taint  string
	}{
		{"used", written, written, true, 3, 0, "", ""},
		{"idle", written, probe.DiskIO{}, false, 0, 0, "", ""},
		{"nothing at all", probe.DiskIO{}, probe.DiskIO{}, false, -1, -1, "has not shown that it works", ""},
		{"another way", probe.DiskIO{Calls: 9}, probe.DiskIO{Calls: 8}, true, -1, -1, "in another way", ""},
		{"many at once", unseen, unseen, true, -1, -1, "io_submit or io_uring", ""},
		{"lost", lost, lost, true, 3, 0, "", "7 system calls were not seen"},
	} {
		l := &Live{Sample: &Sample{}}
		l.hostDid(tt.now, tt.d, tt.busy)
		for name, want := range map[string]float64{"host_writes": tt.writes, "host_flushes": tt.flush} {
			if got, there := l.Sample.Values[name]; there != (want >= 0) || there && got != want {
				t.Errorf("%s: %s is %v, there: %v; want %v", tt.name, name, got, there, want)
			}
		}
		if lacking := l.Sample.Lacking; (len(lacking) > 0) != (tt.lacks != "") || len(lacking) > 0 && !strings.Contains(lacking[0].Reason, tt.lacks) {
			t.Errorf("%s: missing %+v", tt.name, lacking)
		}
		if taints := strings.Join(l.Sample.Taints, "\n"); (taints != "") != (tt.taint != "") || !strings.Contains(taints, tt.taint) {
			t.Errorf("%s: taints %q", tt.name, taints)
		}
	}
}
