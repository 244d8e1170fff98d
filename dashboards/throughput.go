// SPDX-License-Identifier: Apache-2.0

package dashboards

import "github.com/ukprobe/ukprobe/dashboards/grafana"

func throughput() grafana.Dashboard {
	b := builder()
	op := "operation, " + each
	last := func(expr string) string { return "max by (" + expr + ")" }
	b.Row("Load, as its generator tells (experiments throughput, http, dns)")
	b.Add(grafana.Bars("Requests per second", "Of the last sample of each cell.", "reqps",
		target(last(op)+" ("+series("ukprobe_load_requests_per_second")+")", legend+" {{operation}}")), 12, 9)
	b.Add(grafana.TimeSeries("Requests per second over time", "", "reqps",
		target(last(op)+" ("+series("ukprobe_load_requests_per_second")+")", legend+" {{operation}}")), 12, 9)
	b.Add(grafana.Bars("Latency", "Of the last sample of each cell.", "s",
		target(last("stat, "+op)+" ("+series("ukprobe_load_latency_seconds", `stat=~"p50|p99|max"`)+")", "{{stat}} "+legend+" {{operation}}")), 12, 9)
	b.Add(grafana.Stat("Good answers and errors", "Of all samples.", "short",
		target("sum("+series("ukprobe_load_requests_total")+")", "good"), target("sum("+series("ukprobe_load_errors_total")+")", "errors")), 6, 9)
	b.Add(grafana.Bars("How busy the generator was", "At 95 % and more it may be what limits the throughput.", "percentunit",
		target(last(op)+" ("+series("ukprobe_load_client_busy_ratio")+")", legend+" {{operation}}")), 6, 9)

	b.Row("What a request costs the host")
	b.Add(grafana.Bars("Time per request", "cpu: CPU time of all the guest's processes; guest, kvm, vmm, halted, waited: the vCPUs' time.", "s",
		target(last("part, "+op)+" ("+series("ukprobe_load_request_cost_seconds")+")", "{{part}} "+legend+" {{operation}}")), 12, 9)
	b.Add(grafana.Bars("Exits per request", "All, and those that went on to the VMM.", "short",
		target(last("kind, "+op)+" ("+series("ukprobe_load_exits_per_request")+")", "{{kind}} "+legend+" {{operation}}")), 12, 9)

	b.Row("Seen at the guest's device (also of watch --network)")
	b.Add(grafana.TimeSeries("Answers per second by kind", "", "reqps",
		target("sum by (kind) (histogram_count(rate("+series("ukprobe_network_response_seconds", `side="guest"`)+"[$__rate_interval]))) or "+
			perSecond("kind", series("ukprobe_network_response_seconds_count", `side="guest"`)), "{{kind}}")), 12, 8)
	b.Add(grafana.TimeSeries("99 % of the guest's times to answer", "", "s",
		target(quantileOfRate(0.99, each, histogram("ukprobe_network_response", `side="guest"`)), legend)), 12, 8)
	return dashboard("throughput", "throughput", "Requests per second, their latency, and what they cost.", b)
}
