// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/test/dockerd"
)

// agree checks that the host has done just what fio says that it has had done: nothing is
// merged, since there is one read or write at a time, each of one request.
func agree(t *testing.T, name string, v map[string]float64, count float64, sizes ...int) {
	t.Helper()
	n, bytes := 0.0, 0.0
	for _, size := range sizes {
		n += count
		bytes += count * float64(size)
		for _, kind := range []string{"reads", "writes"} {
			want := 2 * count // at random, and one after the other
			if kind == "writes" {
				want += count // with a flush after each
			}
			if got := v[fmt.Sprintf("host_%s_from_%d_bytes", kind, size)]; got != want {
				t.Errorf("%s: the host has seen %v %s of %d bytes, want %v", name, got, kind, size, want)
			}
		}
	}
	for value, want := range map[string]float64{
		"host_reads": 2 * n, "host_read_bytes": 2 * bytes, "host_writes": 3 * n, "host_write_bytes": 3 * bytes,
		"reads": count, "sequential_reads": count, "writes": count, "sequential_writes": count,
		"read_bytes": count * float64(sizes[0]),
	} {
		if v[value] != want {
			t.Errorf("%s: %s is %v, want %v", name, value, v[value], want)
		}
	}
	// fio does not flush after its last write; a disk's last close may.
	if f := v["flushes"]; f != count-1 || v["host_flushes"] < f || v["host_flushes"] > n+10 {
		t.Errorf("%s: %v flushes, of the host %v", name, f, v["host_flushes"])
	}
	for _, what := range []string{"read", "write", "flush"} {
		inside, outside := v[what+"_latency_mean_ns"], v["host_"+what+"_latency_mean_ns"]
		if inside <= 0 || outside <= 0 || v["host_"+what+"_latency_p99_ns"] < v["host_"+what+"_latency_p50_ns"] {
			t.Errorf("%s: %s takes %v ns for fio, %v ns for the host: %v", name, what, inside, outside, v)
		}
	}
}

// Debian's fio as a process, with two sizes of blocks, and on the disk of a microVM that
// lets 50 reads and writes a second through: the known answer is that rate, and that the
// host sees what fio does.
func TestFileSystem(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	const requests, iops = 100, 50
	m := matrix(t, "system: process, app: fio, platform: process, experiment: fs, load: {requests: 100, block_bytes: [4096, 65536]}, scratch: {size_mib: 8}",
		"system: linux, app: fio, platform: qemu, accel: tcg, experiment: fs, memory_mib: 512, load: {requests: 100}, scratch: {size_mib: 8, iops: 50}",
		"system: process, app: hello, platform: process, experiment: fs",
		"system: process, app: fio, platform: process, experiment: fs, probes: none, scratch: {iops: 50}",
		"system: process, app: fio, platform: process, experiment: fs, probes: full, load: {duration: 200ms, warmup: 0, pipeline: 4}, scratch: {size_mib: 8}")
	f := newRun(t, "--matrix", m, "--timeout", "2m").start().wait(patience(5 * time.Minute)).want(0).file()
	for i, sizes := range [][]int{{4096, 65536}, {4096}} {
		c := f.Cells[i]
		s := c.Samples[0]
		checkOK(t, f, s)
		v := s.Values
		t.Logf("%s: %.1f reads/s of p50 %.3f ms, of the host %.3f ms", c.Name(), v["reads_per_second"], v["read_latency_p50_ns"]/1e6, v["host_read_latency_p50_ns"]/1e6)
		agree(t, c.Name(), v, requests, sizes...)
		if !strings.Contains(s.Outputs["fio"], `"fio version" : "fio-`) {
			t.Errorf("%s: output %q", c.Name(), s.Outputs["fio"])
		}
		if got := v["block_65536_read_bytes"]; (got == requests*65536) != (len(sizes) > 1) {
			t.Errorf("%s: %v bytes in blocks of 64 KiB", c.Name(), got)
		}
	}
	// The VMM's bucket lets a tenth of a second's share through at once (QEMU's
	// util/throttle.c); a busy machine makes it slower and never faster.
	v := f.Cells[1].Samples[0].Values
	for _, kind := range []string{"reads", "sequential_reads", "writes", "sequential_writes"} {
		if rate := v[kind+"_per_second"]; rate > iops*1.1 || rate < iops*0.5 {
			t.Errorf("%s: %.1f a second through a disk of %d", kind, rate, iops)
		}
	}
	// Several at a time are asked for by io_submit: the host sees the calls and not the
	// reads. The flushes are one at a time.
	s := f.Cells[4].Samples[0]
	checkOK(t, f, s)
	checkAbsent(t, s, "host_reads", "io_submit")
	if v := s.Values; v["reads"] <= 0 || v["host_unseen_calls"] < 4 || v["host_flushes"] < v["flushes"] || v["flush_latency_max_ns"] > 10*v["host_flush_latency_p99_ns"]+1e9 {
		t.Errorf("four at a time: %v", v)
	}
	for i, want := range map[int]string{2: "process hello has no disk", 3: "platform process does not limit reads and writes"} {
		if c := f.Cells[i]; c.Status != results.CellUnsupported || !strings.Contains(c.Reason, want) {
			t.Errorf("%s: %s, %s; want unsupported, %s", c.Name(), c.Status, c.Reason, want)
		}
	}
}

// In a container it is the same, on a file of the sample's that is mounted there; and
// dnsmasq answers there too.
func TestFileSystemDocker(t *testing.T) {
	needRoot(t)
	needProgram(t, "dnsperf", "dnsperf")
	needNative(t, "an engine wants a root that it can write to")
	e := dockerd.Start(t, dockerd.Options{})
	m := matrix(t, "system: docker, app: fio, platform: docker, experiment: fs, load: {requests: 50}, scratch: {size_mib: 8}",
		"system: docker, app: fio, platform: docker, experiment: fs, probes: none, load: {requests: 50}, scratch: {size_mib: 8}",
		"system: docker, app: dnsmasq, platform: docker, experiment: dns, load: {duration: 1s, warmup: 0, connections: 2}")
	f := dockerRun(t, e, "--matrix", m, "--timeout", "1m").start().wait(patience(3 * time.Minute)).want(0).file()
	for i, c := range f.Cells {
		s := c.Samples[0]
		if s.Status != results.SampleOK {
			t.Errorf("%s: %s: %s", c.Name(), s.Status, s.Reason)
			continue
		}
		v := s.Values
		switch i {
		case 0:
			agree(t, c.Name(), v, 50, 4096)
		case 1:
			checkAbsent(t, s, "host_reads", "--probes none")
			if v["reads"] != 50 {
				t.Errorf("%s: %v", c.Name(), v)
			}
		case 2:
			if v["requests"] <= 0 || v["errors"] != 0 || v["latency_p50_ns"] <= 0 || v["wire_latency_p50_ns"] <= 0 {
				t.Errorf("%s: %v", c.Name(), v)
			}
		}
	}
}
