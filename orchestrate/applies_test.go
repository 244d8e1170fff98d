// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/results"
)

// TestApplies: a cell that makes no sense is unsupported; one that lacks something has
// failed, with what to do. Nothing of it needs an image.
func TestApplies(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no generators
	for _, tt := range []struct{ cell, status, reason string }{
		{"system: process, app: hello, platform: process, experiment: throughput", results.CellUnsupported, "there is no load for app hello"},
		{"system: linux, app: nginx, platform: qemu, experiment: throughput", results.CellUnsupported, "platform qemu has no network"},
		{"system: process, app: nginx, platform: process, experiment: throughput", results.CellFailed, "apt-get install wrk"},
		{"system: process, app: redis, platform: process, experiment: throughput", results.CellFailed, "apt-get install redis-tools"},
		{"system: process, app: memcached, platform: process, experiment: throughput, load: {pipeline: 2}", results.CellFailed, "load.pipeline has to be 1"},
		{"system: process, app: sqlite, platform: process, experiment: throughput", "", ""},
		{"system: linux, app: sqlite, platform: qemu, experiment: throughput", "", ""}, // by its console
		{"system: osv, app: sqlite, platform: qemu1nic, experiment: throughput", results.CellUnsupported, "how many rows osv's sqlite inserts is in its image"},
		{"system: process, app: nginx, platform: process, experiment: http", results.CellFailed, "load.rate is missing"},
		{"system: process, app: nginx, platform: process, experiment: http, load: {rate: 5}", "", ""},
		{"system: process, app: redis, platform: process, experiment: http, load: {rate: 5}", results.CellUnsupported, "app redis does not speak HTTP"},
		{"system: linux, app: nginx, platform: qemu, experiment: http, load: {rate: 5}", results.CellUnsupported, "platform qemu has no network"},
		{"system: process, app: nginx, platform: process, experiment: dns", results.CellUnsupported, "app nginx is no server of names"},
		{"system: linux, app: dnsmasq, platform: qemu, experiment: dns", results.CellUnsupported, "platform qemu has no network"},
		{"system: process, app: dnsmasq, platform: process, experiment: dns", results.CellFailed, "apt-get install dnsperf"},
		{"system: mirageos, app: dnsmasq, platform: solo5-hvt, experiment: dns", results.CellUnsupported, "MirageOS has no C library"},
		{"system: process, app: fio, platform: process, experiment: fs", "", ""},
		{"system: linux, app: hello, platform: qemu, experiment: fs", results.CellUnsupported, "linux hello has no disk"},
		{"system: osv, app: redis, platform: qemu1nic, experiment: fs, disk: /x", "", ""},
		{"system: mirageos, app: fio, platform: solo5-hvt, experiment: fs", results.CellUnsupported, "MirageOS has no C library"},
		{"system: process, app: hello, platform: process", "", ""},
	} {
		cells, err := parse(t, "version: 1\ncells:\n- {"+tt.cell+"}\n").Expand()
		if err != nil {
			t.Fatal(err)
		}
		got := resolve(cells[0], system.All(system.Env{}), platform.Host{KVM: true})
		if got.status != tt.status || !strings.Contains(got.reason, tt.reason) {
			t.Errorf("%s: %q, %q; want %q, %q", tt.cell, got.status, got.reason, tt.status, tt.reason)
		}
		// What somebody can mend is said before the run, and nothing else is.
		said := ""
		got.warn(func(format string, args ...any) { said += fmt.Sprintf(format, args...) })
		if wants := tt.status == results.CellFailed; wants != (said != "") || wants && said != got.ID()+" will not be measured: "+got.reason {
			t.Errorf("%s: said %q", tt.cell, said)
		}
	}
}

// TestAppOfExperiment: only sqlite's throughput, and where it has to run when it is
// looked at, is of another image.
func TestAppOfExperiment(t *testing.T) {
	for _, tt := range []struct{ system, app, experiment, want string }{
		{"linux", "sqlite", matrix.Throughput, linux.SQLiteInserts}, {"linux", "sqlite", matrix.Boot, "sqlite"}, {"linux", "redis", matrix.Throughput, "redis"},
		{"process", "sqlite", matrix.ASLR, linux.SQLiteInserts}, {"osv", "sqlite", matrix.ASLR, "sqlite"}, {"process", "sqlite", matrix.ImageSize, "sqlite"},
	} {
		c := cell{Cell: matrix.Cell{System: tt.system, App: tt.app, Experiment: tt.experiment}}
		if got := c.want().App; got != tt.want {
			t.Errorf("%s, %s: app %s, want %s", tt.app, tt.experiment, got, tt.want)
		}
	}
}
