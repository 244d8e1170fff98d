// SPDX-License-Identifier: Apache-2.0

package dashboards

import "github.com/ukprobe/ukprobe/dashboards/grafana"

func network() grafana.Dashboard {
	b := builder()
	b.Row("Traffic, seen from the guest")
	b.Add(grafana.TimeSeries("Frames", "", "pps", target(perSecond("direction, "+each, series("ukprobe_guest_network_frames_total")), "{{direction}} "+legend)), 12, 9)
	b.Add(grafana.TimeSeries("Bytes", "", "Bps", target(perSecond("direction, "+each, series("ukprobe_guest_network_bytes_total")), "{{direction}} "+legend)), 12, 9)

	b.Row("Answers")
	b.Add(grafana.Heatmap("The guest's time to answer", "From a request on the guest's device to its answer, all kinds.", buckets(histogram("ukprobe_network_response", `side="guest"`))), 12, 9)
	b.Add(grafana.Table("Times to answer by kind", "Of all answers so far; side is who answers.", append([]string{"kind", "side"}, eachLabel...),
		grafana.Column{Name: "median", Unit: "s", Target: target(quantileOfAll(0.5, "kind, side, "+each, histogram("ukprobe_network_response")), "")},
		grafana.Column{Name: "99 %", Unit: "s", Target: target(quantileOfAll(0.99, "kind, side, "+each, histogram("ukprobe_network_response")), "")}), 12, 9)
	b.Add(grafana.TimeSeries("Median and 99 % by kind", "", "s",
		target(quantileOfRate(0.5, "kind, side", histogram("ukprobe_network_response")), "{{kind}} by {{side}} 50 %"),
		target(quantileOfRate(0.99, "kind, side", histogram("ukprobe_network_response")), "{{kind}} by {{side}} 99 %")), 24, 8)

	b.Row("What went wrong")
	b.Add(grafana.TimeSeries("Unanswered", "Requests that were given up, by who did not answer.", "ops",
		target(perSecond("kind, side", series("ukprobe_network_unanswered_requests_total")), "{{kind}} by {{side}}")), 12, 7)
	b.Add(grafana.TimeSeries("Repeated", "Sent again, retransmitted SYNs among them.", "ops",
		target(perSecond("kind, side", series("ukprobe_network_repeated_requests_total")), "{{kind}} to {{side}}")), 12, 7)
	b.Add(grafana.TimeSeries("Refused connections", "SYNs answered by RST.", "ops",
		target(perSecond("side", series("ukprobe_network_refused_connections_total")), "by {{side}}")), 8, 7)
	b.Add(grafana.TimeSeries("Frames not looked into", "", "ops",
		target(perSecond("reason", series("ukprobe_network_unparsed_frames_total")), "{{reason}}")), 8, 7)
	b.Add(grafana.TimeSeries("TCP data of unknown connections", "", "ops",
		target(perSecond(each, series("ukprobe_network_untracked_segments_total")), legend)), 8, 7)
	return dashboard("network", "network", "Frames of guests, and how fast they answer, seen at their devices.", b)
}
