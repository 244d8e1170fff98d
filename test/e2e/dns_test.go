// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// Debian's dnsmasq as a process and in a microVM under dnsperf, the one as fast as it can,
// the other at a rate that it can do under emulation: right answers only, and at the guest's
// device one frame for each question and each answer.
func TestDNS(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	needProgram(t, "dnsperf", "dnsperf")
	const rate = 10
	// While a guest boots for seconds so many SYNs go to it that flows are lost: no probes: full.
	m := matrix(t, "system: process, app: dnsmasq, platform: process, experiment: dns, load: {duration: 1s, warmup: 0, connections: 2}",
		"system: linux, app: dnsmasq, platform: qemu1nic, accel: tcg, experiment: dns, probes: boot, load: {duration: 2s, warmup: 0, connections: 2, pipeline: 50, rate: 10}",
		"system: mirageos, app: dns, platform: solo5-hvt, experiment: dns",
		"system: process, app: nginx, platform: process, experiment: dns")
	f := newRun(t, "--matrix", m, "--timeout", "2m").start().wait(patience(4 * time.Minute)).want(0).file()
	for _, c := range f.Cells[:2] {
		s := c.Samples[0]
		checkOK(t, f, s)
		v := s.Values
		t.Logf("%s: %.0f requests/s, p50 %.3f ms", c.Name(), v["requests_per_second"], v["latency_p50_ns"]/1e6)
		if v["requests"] <= 0 || v["errors"] != 0 || v["cpu_per_request_ns"] <= 0 || v["latency_p50_ns"] <= 0 || (v["wire_latency_p50_ns"] > 0) != (c.Probes == "full") {
			t.Errorf("%s, probes %s: %v", c.Name(), c.Probes, v)
		}
		// At the wire there is a little more: ARP.
		if in, out := v["frames_in_per_request"], v["frames_out_per_request"]; in < 1 || in > 1.5 || out < 1 || out > 1.5 {
			t.Errorf("%s: %v frames in and %v out for each request", c.Name(), in, out)
		}
		if !strings.Contains(s.Outputs["dnsperf"], "Queries per second:") {
			t.Errorf("%s: outputs %v", c.Name(), s.Outputs)
		}
	}
	if n := f.Cells[1].Samples[0].Values["requests"]; n > 2*rate+1 {
		t.Errorf("%v questions in 2 s at %d a second", n, rate)
	}
	for i, want := range map[int]struct{ status, reason string }{
		2: {results.CellNoImage, "of mirageos dns"},
		3: {results.CellUnsupported, "app nginx is no server of names"},
	} {
		if c := f.Cells[i]; c.Status != want.status || !strings.Contains(c.Reason, want.reason) {
			t.Errorf("%s: %s, %s; want %s, %s", c.Name(), c.Status, c.Reason, want.status, want.reason)
		}
	}
	if f.Host.Versions["dnsperf"] == "" {
		t.Errorf("no version of dnsperf in %v", f.Host.Versions)
	}
}
