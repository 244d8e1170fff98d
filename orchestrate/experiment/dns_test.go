// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
)

// names is a server of names of the test: it answers one question after the other.
type names struct {
	wait time.Duration // before each answer
	code func(n int) dnsmessage.RCode

	mu       sync.Mutex
	answered int
}

// serve puts it in the place of the guest's service.
func (s *names) serve(t *testing.T, l *Live) {
	t.Helper()
	var conn *net.UDPConn
	err := l.Boot.Lab.Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: l.Addr.AsSlice(), Port: int(l.Boot.Image.Service.Port)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if reply := s.reply(buf[:n]); reply != nil {
				_, _ = conn.WriteToUDPAddrPort(reply, from)
			}
		}
	}()
}

func (s *names) reply(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 || !strings.HasSuffix(m.Questions[0].Name.String(), ".ukprobe.test.") {
		return nil
	}
	s.mu.Lock()
	n := s.answered
	s.answered++
	s.mu.Unlock()
	time.Sleep(s.wait)
	m.Response = true
	if s.code != nil {
		m.RCode = s.code(n)
	}
	if m.RCode == dnsmessage.RCodeSuccess {
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET},
			Body: &dnsmessage.AResource{A: [4]byte{198, 51, 100, 1}}}}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}

func (s *names) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}

func newNames(t *testing.T, s *names) *Live {
	t.Helper()
	if err := (workload.Dnsperf{}).Program().Find(); err != nil {
		t.Skip(err)
	}
	l, _ := newLive(t, nil)
	s.serve(t, l)
	return l
}

// A server of known rate is seen to have it, and no latency is below its delay.
func TestKnownNames(t *testing.T) {
	s := &names{wait: 5 * time.Millisecond}
	l := newNames(t, s)
	w := matrix.Workload{Duration: time.Second, Connections: 2, Threads: 1, Pipeline: 1}
	if err := l.Load(t.Context(), workload.Dnsperf{}, w); err != nil {
		t.Fatal(err)
	}
	v := l.Sample.Values
	t.Logf("%v requests per second, p50 %v ns, of a server of at most 200", v["requests_per_second"], v["latency_p50_ns"])
	if rate := v["requests_per_second"]; rate <= 0 || rate > 200*1.05 {
		t.Errorf("%v requests per second of a server of at most 200", rate)
	}
	// Two wait for one server: it has slept twice for most.
	if v["latency_p50_ns"] < 5e6 || v["latency_mean_ns"] < 5e6 || v["latency_p99_ns"] > v["load_ns"] {
		t.Errorf("latencies %v", v)
	}
	// Two runs; what was on its way at the end counts for the server alone.
	if out := l.Sample.Outputs["dnsperf-latency"]; out == "" || strings.Contains(out, "\n> ") {
		t.Errorf("output %q: want the statistics without the answers", out)
	}
	if n := float64(s.count()); n <= v["requests"] || v["errors"] != 0 {
		t.Errorf("the server has answered %v in two runs: %v", n, v)
	}
}

// With a rate there are just so many questions, in one run.
func TestNamesByRate(t *testing.T) {
	s := &names{}
	l := newNames(t, s)
	w := matrix.Workload{Duration: time.Second, Connections: 4, Threads: 1, Pipeline: 8, Rate: 100}
	if err := l.Load(t.Context(), workload.Dnsperf{}, w); err != nil {
		t.Fatal(err)
	}
	v := l.Sample.Values
	if n := s.count(); v["requests"] > 101 || v["requests"] < 1 || v["requests"] > float64(n) || v["latency_p50_ns"] <= 0 {
		t.Errorf("at 100 a second for a second: %d answered, %v", n, v)
	}
}

// A server that fails fast has no throughput.
func TestNamesThatFail(t *testing.T) {
	s := &names{wait: time.Millisecond, code: func(n int) dnsmessage.RCode {
		if n%10 == 0 {
			return dnsmessage.RCodeServerFailure
		}
		return dnsmessage.RCodeSuccess
	}}
	l := newNames(t, s)
	w := matrix.Workload{Duration: 500 * time.Millisecond, Connections: 1, Threads: 1, Pipeline: 1, Rate: 100}
	err := l.Load(t.Context(), workload.Dnsperf{}, w)
	if err == nil || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Errorf("error %v", err)
	}
}
