// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/results"
)

// TestLoadOfExperiment: the record has the load that is applied, and no other.
func TestLoadOfExperiment(t *testing.T) {
	const second = int64(time.Second)
	for _, tt := range []struct {
		cell string
		want *results.Workload
	}{
		{"process/nginx/process/throughput", &results.Workload{DurationNs: 5 * second, WarmupNs: 2 * second, Connections: 30, Threads: 1, Pipeline: 1, ValueBytes: 3}},
		{"process/nginx/process/http", &results.Workload{DurationNs: 5 * second, WarmupNs: 2 * second, Connections: 30, Threads: 1, Pipeline: 1, Rate: 9, ValueBytes: 3}},
		{"process/sqlite/process/throughput", &results.Workload{DurationNs: 5 * second, WarmupNs: 2 * second}},
		{"process/nginx/process/memory-min", &results.Workload{DurationNs: second, Connections: 30, Threads: 1, Pipeline: 1, ValueBytes: 3}},
		{"process/nginx/process/memory-use", &results.Workload{DurationNs: 5 * second, Connections: 30, Threads: 1, Pipeline: 1, ValueBytes: 3}},
		{"process/postgres/process/memory-min", &results.Workload{Connections: 8, Requests: 60}},
		{"process/postgres/process/memory-use", &results.Workload{DurationNs: 5 * second, Connections: 8, Requests: 60}},
		{"process/hello/process/memory-min", nil},
		{"process/nginx/process/density", nil},
		{"process/nginx/process/boot", nil},
		{"process/fio/process/fs", &results.Workload{DurationNs: 5 * second, WarmupNs: 2 * second, Pipeline: 1, BlockBytes: []int{4096}}},
		{"osv/redis/qemu1nic/fs", &results.Workload{DurationNs: 5 * second}},
	} {
		n := strings.Split(tt.cell, "/")
		s := matrix.DefaultSettings()
		s.Load.Duration, s.Load.Rate = 5*time.Second, 9
		c := &cell{Cell: matrix.Cell{System: n[0], App: n[1], Platform: n[2], Experiment: n[3], Settings: s}}
		var err error
		if c.system, err = system.Find(system.All(system.Env{}), n[0]); err != nil {
			t.Fatal(err)
		}
		if c.platform, err = platform.Find(n[2]); err != nil {
			t.Fatal(err)
		}
		c.image = c.system.Describe(c.want())
		if n[1] == "postgres" { // whatever serves and has no generator
			c.image.Service = &system.Service{Port: 5432}
		}
		got := c.record().Settings.Load
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.cell, diff)
		}
	}
}
