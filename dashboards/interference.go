// SPDX-License-Identifier: Apache-2.0

package dashboards

import "github.com/ukprobe/ukprobe/dashboards/grafana"

func interference() grafana.Dashboard {
	b := builder()
	b.Row("Samples of a run")
	b.Add(grafana.Stat("Disturbed samples", "More than the cell allows of some CPU went to others; repeated are those taken in their place.", "short",
		target("sum("+series("ukprobe_disturbed_samples_total")+")", "disturbed"), target("sum("+series("ukprobe_repeated_samples_total")+")", "repeated"),
		target("sum("+series("ukprobe_samples_total")+")", "of all")), 8, 8)
	b.Add(grafana.Bars("Time that went to others, by cause", "On the samples' CPUs while a guest was measured, over all samples.", "s",
		target("sum by (cause) ("+series("ukprobe_interference_seconds_total")+")", "{{cause}}")), 8, 8)
	b.Add(grafana.Bars("Time that went to others, by cell", "Foreign tasks, device interrupts and steal.", "s",
		target("sum by ("+each+") ("+series("ukprobe_interference_seconds_total", `cause=~"foreign|irq|steal"`)+")", legend)), 8, 8)
	b.Add(grafana.TimeSeries("Share of the most disturbed CPU, last sample", "", "percentunit",
		target("max by ("+each+") ("+series("ukprobe_interference_ratio")+")", legend)), 12, 8)
	b.Add(grafana.Stacked("Time that went to others, per second", "", "percentunit",
		target(perSecond("cause", series("ukprobe_interference_seconds_total")), "{{cause}}")), 12, 8)

	b.Row("vCPUs that waited (probes: full, or watch)")
	b.Add(grafana.TimeSeries("99 % of the waits for a CPU", "", "s",
		target(quantileOfRate(0.99, each, histogram("ukprobe_vcpu_runqueue_delay")), legend)), 12, 8)
	b.Add(grafana.TimeSeries("Waits for a CPU per second", "", "ops",
		target("sum by ("+each+") (histogram_count(rate("+series("ukprobe_vcpu_runqueue_delay_seconds")+"[$__rate_interval]))) or "+
			perSecond(each, series("ukprobe_vcpu_runqueue_delay_seconds_count")), legend)), 12, 8)
	return dashboard("interference", "interference", "Who else had the CPUs that guests were measured on.", b)
}
