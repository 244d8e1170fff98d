// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// networkDescs are the metrics of [Network].
type networkDescs struct {
	responses, unanswered, repeated, refused, unparsed, untracked *prometheus.Desc
}

func newNetworkDescs(desc func(name, help string, more ...string) *prometheus.Desc) networkDescs {
	return networkDescs{
		responses:  desc("ukprobe_network_response_seconds", "Time from a request on the guest's network device to its answer, seen on the host, by kind of request and the side that answers (guest, outside).", "kind", "side"),
		unanswered: desc("ukprobe_network_unanswered_requests_total", "Requests on the guest's network device that got no answer, by kind and the side that did not answer.", "kind", "side"),
		repeated:   desc("ukprobe_network_repeated_requests_total", "Requests that were sent again, retransmitted SYNs among them, by kind and the side that was asked.", "kind", "side"),
		refused:    desc("ukprobe_network_refused_connections_total", "SYNs answered by RST, by the side that refused.", "side"),
		unparsed:   desc("ukprobe_network_unparsed_frames_total", "Frames that were not looked into for requests, by reason.", "reason"),
		untracked:  desc("ukprobe_network_untracked_segments_total", "TCP segments with data of connections that began before the watch or were lost."),
	}
}

func (d networkDescs) describe(ch chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{d.responses, d.unanswered, d.repeated, d.refused, d.unparsed, d.untracked} {
		ch <- one
	}
}

// collect writes what there is: a series begins with its first event.
func (d networkDescs) collect(ch chan<- prometheus.Metric, created time.Time, n Network, with func(...string) []string) {
	counter := func(desc *prometheus.Desc, k uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(k), with(labels...)...)
	}
	for e, h := range n.Responses {
		ch <- h.Both(d.responses, created, with(e.Kind, e.Side)...)
	}
	for e, k := range n.Unanswered {
		counter(d.unanswered, k, e.Kind, e.Side)
	}
	for e, k := range n.Repeated {
		counter(d.repeated, k, e.Kind, e.Side)
	}
	for e, k := range n.Refused {
		counter(d.refused, k, e.Side)
	}
	for reason, k := range n.Unparsed {
		counter(d.unparsed, k, reason)
	}
	if n.Untracked > 0 {
		counter(d.untracked, n.Untracked)
	}
}
