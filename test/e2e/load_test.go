// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/test/dockerd"
)

// Each load generator of the distribution against its app as a bare process: there are
// figures without errors, the generator's own words, and its version.
func TestThroughput(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	programs := map[string]string{"wrk": "wrk", "redis-benchmark": "redis-tools", "memcaslap": "libmemcached-tools", "sysbench": "sysbench"}
	for name, pkg := range programs {
		needProgram(t, name, pkg)
	}
	const load = "experiment: throughput, load: {duration: 1s, warmup: 0, connections: 4}"
	m := matrix(t, "system: process, app: [nginx, redis, memcached, mysql, sqlite, hello], platform: process, "+load,
		"system: process, app: memcached, platform: process, experiment: throughput, probes: boot, load: {pipeline: 2}")
	f := newRun(t, "--matrix", m).run().want(exitFailed).file()
	outputs := map[string]string{"nginx": "wrk", "redis": "redis-benchmark-set redis-benchmark-get", "memcached": "memaslap", "mysql": "sysbench"}
	for _, c := range f.Cells {
		switch {
		case c.App == "hello":
			if c.Status != results.CellUnsupported || c.Reason != "there is no load for app hello" {
				t.Errorf("%s: %s, %s", c.Name(), c.Status, c.Reason)
			}
			continue
		case c.Settings.Load.Pipeline == 2:
			if c.Status != results.CellFailed || !strings.Contains(c.Reason, "load.pipeline has to be 1") {
				t.Errorf("%s with a pipeline: %s, %s", c.Name(), c.Status, c.Reason)
			}
			continue
		}
		s := c.Samples[0]
		checkOK(t, f, s)
		v := s.Values
		if c.Probes != "full" || v["requests_per_second"] <= 0 || v["requests"] <= 0 || v["errors"] != 0 || v["cpu_per_request_ns"] <= 0 {
			t.Errorf("%s, probes %s: %v", c.Name(), c.Probes, v)
		}
		if _, ok := v["exits_per_request"]; ok {
			t.Errorf("%s: exits of a process: %v", c.Name(), v)
		}
		checkAbsent(t, s, "exits_per_request", "not under KVM")
		if c.App == "sqlite" {
			checkAbsent(t, s, "latency_p50_ns", "a line after 5000 inserts")
			if len(s.Curves["requests_per_second"]) == 0 || int(v["requests"])%5000 != 0 {
				t.Errorf("%s: %v, curves %v", c.Name(), v, s.Curves)
			}
			continue
		}
		if v["latency_p50_ns"] <= 0 || v["latency_p99_ns"] < v["latency_p50_ns"] || v["latency_max_ns"] < v["latency_p99_ns"] {
			t.Errorf("%s: latencies %v", c.Name(), v)
		}
		for _, name := range strings.Fields(outputs[c.App]) {
			if s.Outputs[name] == "" {
				t.Errorf("%s: no output %s", c.Name(), name)
			}
		}
		if c.App == "redis" && (v["set_requests_per_second"] <= 0 || v["set_latency_p99_ns"] <= 0) {
			t.Errorf("%s: no SET in %v", c.Name(), v)
		}
	}
	for name := range programs {
		if f.Host.Versions[name] == "" {
			t.Errorf("no version of %s in %v", name, f.Host.Versions)
		}
	}
}

// The reference guest's server closes each connection after one answer of four frames:
// SYN-ACK, the answer, and the end. At a fixed rate just as many requests are sent as
// were asked for, and from the moment due the latency is not below that from the
// sending.
func TestFixedRate(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needNative(t, "inside the hostvm a request takes too long")
	m := matrix(t, "system: reference, app: http, platform: qemumicrovm, accel: kvm, experiment: http, load: {duration: 2s, warmup: 0, connections: 2, rate: 20}",
		"system: reference, app: http, platform: qemu1nic, accel: kvm, experiment: http",
		"system: process, app: redis, platform: process, experiment: http, load: {rate: 1}")
	f := newRun(t, "--matrix", m).run().want(exitFailed).file()
	s := f.Cells[0].Samples[0]
	if s.Status != results.SampleOK {
		t.Fatalf("%s: %s", s.Status, s.Reason)
	}
	v := s.Values
	if v["requests"] != 40 || v["errors"] != 0 || v["requests_per_second"] > 20 || v["requests_per_second"] < 10 {
		t.Errorf("of 40 requests at 20 per second: %v", v)
	}
	if v["latency_p50_ns"] < v["latency_uncorrected_p50_ns"] || v["latency_uncorrected_p50_ns"] <= 0 {
		t.Errorf("latencies %v", v)
	}
	if v["frames_out_per_request"] < 2 || v["userspace_exits_per_request"] <= 0 {
		t.Errorf("per request: %v", v)
	}
	for i, want := range map[int]string{1: "load.rate is missing", 2: "app redis does not speak HTTP"} {
		if c := f.Cells[i]; !strings.Contains(c.Reason, want) {
			t.Errorf("%s: %s, %s; want %q", c.Name(), c.Status, c.Reason, want)
		}
	}
}

// Under load a container is what the bare process is: the same generators, and its CPU
// time, which is in a group below the sample's own.
func TestThroughputDocker(t *testing.T) {
	needRoot(t)
	needNative(t, "an engine wants a root that it can write to")
	needProgram(t, "redis-benchmark", "redis-tools")
	e := dockerd.Start(t, dockerd.Options{})
	m := matrix(t, "system: docker, app: [redis, sqlite], platform: docker, experiment: throughput, load: {duration: 1s, warmup: 0, connections: 4}")
	f := dockerRun(t, e, "--matrix", m, "--timeout", "1m").start().wait(patience(2 * time.Minute)).want(0).file()
	for _, c := range f.Cells {
		s := c.Samples[0]
		if s.Status != results.SampleOK {
			t.Errorf("%s: %s: %s", c.Name(), s.Status, s.Reason)
			continue
		}
		if v := s.Values; v["requests_per_second"] <= 0 || v["errors"] != 0 || v["cpu_per_request_ns"] <= 0 {
			t.Errorf("%s: %v", c.Name(), v)
		}
	}
}

// Under KVM with hardware behind it a request's time comes apart: in the guest, in KVM,
// in the VMM, halted, and waiting for a CPU. Together they are the time that the one vCPU
// had, between its first and last exit of the load.
func TestThroughputUnderKVM(t *testing.T) {
	needRoot(t)
	needHostVM(t, "KVM there has hardware behind it, emulated")
	onlyOnLinux(t, "6.12.")
	needKVM(t)
	needProgram(t, "wrk", "wrk")
	const seconds = 4
	m := matrix(t, "system: linux, app: nginx, platform: qemu1nic, accel: kvm, experiment: throughput, load: {duration: 4s, warmup: 0, connections: 2}")
	f := newRun(t, "--matrix", m, "--timeout", patience(30*time.Second).String()).start().wait(patience(180 * time.Second)).want(0).file()
	s := f.Cells[0].Samples[0]
	checkOK(t, f, s)
	v := s.Values
	for _, name := range []string{"exits_per_request", "guest_per_request_ns", "kvm_per_request_ns", "vmm_per_request_ns", "halted_per_request_ns", "host_network_per_request_ns"} {
		if _, ok := v[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	parts := v["guest_per_request_ns"] + v["kvm_per_request_ns"] + v["vmm_per_request_ns"] + v["halted_per_request_ns"] + v["waited_per_request_ns"]
	if whole := parts * v["requests"] / 1e9; whole < 0.7*seconds || whole > 1.6*seconds { // wrk's start and end are in it, and slow
		t.Errorf("the parts add up to %.2f s of %d s: %v", whole, seconds, v)
	}
	if v["exits_per_request"] < 1 || v["guest_per_request_ns"] <= 0 || v["kvm_per_request_ns"] <= 0 {
		t.Errorf("%v", v)
	}
}
