// SPDX-License-Identifier: Apache-2.0

package dashboards

import "github.com/ukprobe/ukprobe/dashboards/grafana"

func boot() grafana.Dashboard {
	b := builder()
	b.Row("What runs")
	b.Add(grafana.Stat("Boots of the run", "Samples and warm-ups that are done, of all that the run takes.", "short",
		target("sum(ukprobe_run_steps_done{job=~\"$job\"})", "done"), target("sum(ukprobe_run_steps{job=~\"$job\"})", "of")), 6, 4)
	b.Add(grafana.Stat("Samples by status", "Warm-ups left out.", "short",
		target("sum by (status) ("+series("ukprobe_samples_total")+")", "{{status}}")), 6, 4)
	b.Add(grafana.Stat("VMs watched", "By ukprobe watch: now, at most, and those that found no room.", "short",
		target("sum(ukprobe_vms{job=~\"$job\"})", "now"), target("sum(ukprobe_vms_limit{job=~\"$job\"})", "at most"),
		target("sum(ukprobe_vms_not_watched_total{job=~\"$job\"})", "no room")), 12, 4)
	b.Add(grafana.Table("Runs", "", []string{"run", "version", "kernel", "cpu", "instance"},
		grafana.Column{Name: "up", Unit: "short", Target: target("ukprobe_run_info{job=~\"$job\"}", "")}), 12, 5)
	b.Add(grafana.Table("VMs", "", []string{"vm", "name", "vmm", "pid", "cgroup", "uuid", "instance"},
		grafana.Column{Name: "info", Unit: "short", Target: target("ukprobe_vm_info{job=~\"$job\",vm=~\"$vm\"}", "")}), 12, 5)

	b.Row("Boot time")
	total := histogram("ukprobe_boot_phase", `phase="total"`)
	b.Add(grafana.Table("By cell", "From exec to ready, of all samples of the run. Quantiles are from histogram buckets, 9 % wide.", eachLabel,
		grafana.Column{Name: "samples", Unit: "short", Target: target("sum by ("+each+") ("+series("ukprobe_samples_total", `status="ok"`)+")", "")},
		grafana.Column{Name: "median", Unit: "s", Target: target(quantileOfAll(0.5, each, total), "")},
		grafana.Column{Name: "95 %", Unit: "s", Target: target(quantileOfAll(0.95, each, total), "")}), 24, 8)
	b.Add(grafana.Heatmap("Total", "From exec to ready: how many samples ended in each bucket.", buckets(total)), 12, 9)
	b.Add(grafana.TimeSeries("Running median of the total", "Of all samples so far.", "s", target(quantileOfAll(0.5, each, total), legend)), 12, 9)
	b.Add(grafana.Bars("Median of the phases", "vmm: exec to guest entry; firmware; guest: to ready.", "s",
		target(quantileOfAll(0.5, each+", phase", histogram("ukprobe_boot_phase", `phase=~"vmm|firmware|guest"`)), "{{phase}} "+legend)), 12, 9)
	b.Add(grafana.Stacked("Samples per minute", "", "short",
		target("60 * "+perSecond("status", series("ukprobe_samples_total")), "{{status}}")), 12, 9)

	b.Row("Memory")
	b.Add(grafana.Heatmap("When the guest got its memory", "Page faults on guest memory by the time since the guest was first seen (probes: full).", buckets(histogram("ukprobe_guest_populate"))), 24, 8)
	return dashboard("boot", "boot overview", "How long guests take to boot, and what runs now.", b)
}
