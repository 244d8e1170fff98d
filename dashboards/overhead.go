// SPDX-License-Identifier: Apache-2.0

package dashboards

import "github.com/ukprobe/ukprobe/dashboards/grafana"

func overhead() grafana.Dashboard {
	b := builder()
	ours := func(metric string) string { return metric + `{job=~"$job"}` }
	b.Row("What the probes cost guests (`ukprobe overhead`, served by run)")
	b.Add(grafana.Bars("Ratio to no probes", "1: no longer than without. From the last `ukprobe overhead` on this host.", "short",
		target(ours("ukprobe_overhead_ratio"), "{{workload}}: {{condition}}")), 12, 8)
	b.Add(grafana.Bars("More than with no probes", "", "s", target(ours("ukprobe_overhead_extra_seconds"), "{{workload}}: {{condition}}")), 12, 8)

	b.Row("The hooks")
	b.Add(grafana.Stacked("Hooks that fired", "For whatever process of the host.", "ops", target(perSecond("hook", ours("ukprobe_hook_fired_total")), "{{hook}}")), 12, 9)
	b.Add(grafana.Table("Rungs", "What each hook is attached by.", []string{"hook", "rung", "job", "instance"},
		grafana.Column{Name: "attached", Unit: "short", Target: target(ours("ukprobe_hook_info"), "")}), 12, 9)
	b.Add(grafana.TimeSeries("Time inside a program per run", "Only while the kernel's BPF statistics are on (sysctl kernel.bpf_stats_enabled=1). Without the way there and back.", "s",
		target(perSecond("hook, program", ours("ukprobe_bpf_program_run_seconds_total"))+" / "+perSecond("hook, program", ours("ukprobe_bpf_program_runs_total")), "{{program}}")), 12, 8)
	b.Add(grafana.TimeSeries("CPU time inside programs", "As above.", "percentunit",
		target(perSecond("hook", ours("ukprobe_bpf_program_run_seconds_total")), "{{hook}}")), 12, 8)

	b.Row("What was lost")
	b.Add(grafana.TimeSeries("Lost events by cause", "docs/metrics.md says what each means.", "ops",
		target(perSecond("cause", series("ukprobe_lost_events_total")), "{{cause}}")), 8, 7)
	b.Add(grafana.TimeSeries("Hooks that could not run", "", "ops", target(perSecond("hook", ours("ukprobe_hook_missed_total")), "{{hook}}")), 8, 7)
	b.Add(grafana.Stat("Readings that failed (watch)", "", "short",
		target("sum("+ours("ukprobe_vm_read_errors_total")+")", "VMs"), target("sum("+ours("ukprobe_vm_network_errors_total")+")", "networks")), 8, 7)

	b.Row("ukprobe itself")
	b.Add(grafana.TimeSeries("CPU time", "Of ukprobe's process; what its programs take is the processes' that they interrupt.", "percentunit",
		target("rate("+ours("process_cpu_seconds_total")+"[$__rate_interval])", "{{job}} {{instance}}")), 8, 8)
	b.Add(grafana.TimeSeries("Memory", "", "bytes", target(ours("process_resident_memory_bytes"), "resident {{instance}}"),
		target(ours("go_memstats_heap_inuse_bytes"), "heap {{instance}}")), 8, 8)
	b.Add(grafana.TimeSeries("Scraping", "How long a scrape takes, and how much it brings. Absent for what is pushed.", "s",
		target(`scrape_duration_seconds{job=~"$job",job=~"ukprobe.*"}`, "{{job}} {{instance}}")), 8, 8)
	b.Add(grafana.TimeSeries("Series of a scrape", "", "short", target(`scrape_samples_scraped{job=~"$job",job=~"ukprobe.*"}`, "{{job}} {{instance}}")), 8, 7)
	b.Add(grafana.TimeSeries("Open files and goroutines", "", "short", target(ours("process_open_fds"), "files {{instance}}"), target(ours("go_goroutines"), "goroutines {{instance}}")), 8, 7)
	b.Add(grafana.TimeSeries("Garbage collection", "Pauses, seconds per second.", "percentunit",
		target("rate("+ours("go_gc_duration_seconds_sum")+"[$__rate_interval])", "{{job}} {{instance}}")), 8, 7)
	return dashboard("overhead", "self-overhead", "What ukprobe costs, and what it lost.", b)
}
