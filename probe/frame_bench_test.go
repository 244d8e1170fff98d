// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// BenchmarkFrame is the time of tc_in for one frame, with and without looking into
// it. The frame is always the same: what the table is asked for is in the cache.
func BenchmarkFrame(b *testing.B) {
	c := newConn(client, guest)
	opened := c.open()
	data := c.ask(ack, "GET / HTTP/1.0\r\n\r\n")
	six := newConn(client, guest)
	six.six = true
	opened6 := six.open()
	data6 := six.ask(ack, "GET / HTTP/1.0\r\n\r\n")
	for _, bm := range []struct {
		name          string
		port          uint16
		flags         uint16
		before        [][]byte
		frame         []byte
		notOfAnyWatch bool
	}{
		{name: "not watched", frame: data, notOfAnyWatch: true},
		{name: "counted", frame: data},
		{name: "counted and marked", frame: data, port: 80},
		{name: "flows/tcp of a connection", frame: data, flags: deviceFlows, before: opened},
		{name: "flows/tcp6 of a connection", frame: data6, flags: deviceFlows, before: opened6},
		{name: "flows/tcp of none", frame: data, flags: deviceFlows},
		{name: "flows/udp", frame: dnsFrame(false, client, guest, 1000, 1001, 1, false), flags: deviceFlows},
		{name: "flows/dns query, repeated", frame: dnsFrame(false, client, guest, 1000, 53, 1, false), flags: deviceFlows},
		{name: "flows/arp request, repeated", frame: arpAsk(client, guest), flags: deviceFlows},
	} {
		b.Run(bm.name, func(b *testing.B) {
			bench, w := newFlowBench(b)
			if !bm.notOfAnyWatch {
				bench.pass(bm.before...)
			}
			d := bpf.KVMDevice{Slot: w.slot, ServicePort: bm.port, Flags: bm.flags}
			if err := bench.updateMap(bpf.KVMMapDevices, loopback(b), &d); err != nil {
				b.Fatal(err)
			}
			if bm.notOfAnyWatch {
				if err := bench.deleteKey(bpf.KVMMapDevices, loopback(b)); err != nil {
					b.Fatal(err)
				}
			}
			_, d1, err := bench.load(objNet, bpf.NetProgTcIn).Benchmark(bm.frame, max(b.N, 1000), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(d1.Nanoseconds()), "ns/frame")
		})
	}
}

// BenchmarkRequestAndAnswer is the time of both programs together for an exchange
// that begins and ends: an entry made and taken away, an observation. By the
// kernel's statistics, which add their own clock to each run.
func BenchmarkRequestAndAnswer(b *testing.B) {
	on, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		b.Fatal(err)
	}
	defer on.Close()
	bench, _ := newFlowBench(b)
	query, answer := dnsFrame(false, client, guest, 1000, 53, 1, false), dnsFrame(false, guest, client, 53, 1000, 1, true)
	bench.pass(query, answer)
	runtime := func() (ns float64) {
		for _, name := range []string{bpf.NetProgTcIn, bpf.NetProgTcOut} {
			stats, err := bench.load(objNet, name).Stats()
			if err != nil {
				b.Fatal(err)
			}
			ns += float64(stats.Runtime)
		}
		return ns
	}
	before := runtime()
	for range b.N {
		bench.pass(query, answer)
	}
	b.ReportMetric((runtime()-before)/float64(b.N), "ns/exchange")
}
