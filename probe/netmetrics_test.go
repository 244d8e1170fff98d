// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestNetworkMetrics: what passed a guest's device stands in the metrics, of a live
// watch as of one that has ended, and of both together.
func TestNetworkMetrics(t *testing.T) {
	b := newBench(t, 2, SVM)
	c := NewCollector(b.Probe, "vm")
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	want := map[string]float64{}
	for i := range 2 {
		w := b.open(Target{CgroupID: nowhere + uint64(i), Flows: true})
		b.wired(w)
		done := c.Track(w, "a")
		in := newConn(client, guest)
		b.pass(in.open()...)
		b.pass(in.ask(ack, "x"), in.answer(ack, "y"), in.ask(ack, "x"), in.answer(rst, ""), in.ask(ack, "late"))
		refused := newConn(guest, client)
		b.pass(refused.ask(syn, ""), refused.answer(rst|ack, ""), arpAsk(client, guest), arpAsk(client, guest),
			segment{vlan: true}.bytes())
		for name, n := range map[string]float64{
			"ukprobe_network_response_seconds,tcp_connect,guest":       1,
			"ukprobe_network_response_seconds,tcp_first,guest":         1,
			"ukprobe_network_unanswered_requests_total,tcp_next,guest": 1,
			"ukprobe_network_repeated_requests_total,arp,guest":        1,
			"ukprobe_network_refused_connections_total,outside":        1,
			"ukprobe_network_unparsed_frames_total,vlan":               1,
			"ukprobe_network_untracked_segments_total":                 1,
		} {
			want[name] += n
		}
		if diff := cmp.Diff(want, gatherNetwork(t, reg)); diff != "" {
			t.Errorf("watch %d, live (-want +got):\n%s", i, diff)
		}
		if err := done(); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, gatherNetwork(t, reg)); diff != "" {
			t.Errorf("watch %d, ended (-want +got):\n%s", i, diff)
		}
	}
}

// gatherNetwork lists the network's series with their counts; of the labels only
// those that are not the collector's own.
func gatherNetwork(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if len(f.GetName()) < 16 || f.GetName()[:16] != "ukprobe_network_" {
			continue
		}
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() { // sorted by name: kind, reason, side, vm
				if l.GetName() != "vm" {
					name += "," + l.GetValue()
				}
			}
			out[name] = valueOf(m)
		}
	}
	return out
}

func valueOf(m *dto.Metric) float64 {
	if m.Histogram != nil {
		return float64(m.GetHistogram().GetSampleCount())
	}
	return m.GetCounter().GetValue()
}
