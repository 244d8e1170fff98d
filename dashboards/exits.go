// SPDX-License-Identifier: Apache-2.0

package dashboards

import "github.com/ukprobe/ukprobe/dashboards/grafana"

func exits() grafana.Dashboard {
	b := builder()
	b.Row("How often")
	b.Add(grafana.Stacked("Exits by reason", "All exits from guests. Absent where KVM emulates: then there are none to see.", "ops",
		target(perSecond("isa, reason", series("ukprobe_kvm_exits_total")), "{{reason}}")), 12, 9)
	b.Add(grafana.Stacked("Exits to the VMM by reason", "", "ops",
		target(perSecond("reason", series("ukprobe_kvm_userspace_exits_total")), "{{reason}}")), 12, 9)
	b.Add(grafana.TimeSeries("Exits to the VMM by guest", "", "ops",
		target(perSecond(each, series("ukprobe_kvm_userspace_exits_total")), legend)), 12, 8)
	b.Add(grafana.TimeSeries("Port accesses and page faults (watch)", "Seen from the guest.", "ops",
		target(perSecond("vm, direction", series("ukprobe_guest_port_accesses_total")), "{{vm}} port {{direction}}"),
		target(perSecond("vm", series("ukprobe_guest_page_faults_total")), "{{vm}} page faults")), 12, 8)

	b.Row("How long: exits that KVM handles")
	b.Add(grafana.Heatmap("Handling time", "From an exit to the vCPU's next entry.", buckets(histogram("ukprobe_kvm_exit_handling"))), 12, 9)
	b.Add(grafana.TimeSeries("99 % of handling times by reason", "", "s",
		target(quantileOfRate(0.99, "isa, reason", histogram("ukprobe_kvm_exit_handling")), "{{reason}}")), 12, 9)
	b.Add(grafana.Stacked("Where the time between guest runs went", "Seconds per second: vmm in user space, halted as the guest asked, waited for a CPU, kvm the rest.", "s",
		target(perSecond("part", series("ukprobe_kvm_exit_handling_part_seconds_total")), "{{part}}")), 12, 8)
	b.Add(grafana.TimeSeries("Median run of the guest at a stretch, by the exit that ended it", "", "s",
		target(quantileOfRate(0.5, "isa, reason", histogram("ukprobe_guest_run")), "{{reason}}")), 12, 8)

	b.Row("How long: round trips through the VMM")
	b.Add(grafana.Heatmap("Round trips", "From an exit to user space to the next KVM_RUN.", buckets(histogram("ukprobe_vmm_round_trip"))), 12, 9)
	b.Add(grafana.TimeSeries("Median and 99 % by reason", "", "s",
		target(quantileOfRate(0.5, "reason", histogram("ukprobe_vmm_round_trip")), "{{reason}} 50 %"),
		target(quantileOfRate(0.99, "reason", histogram("ukprobe_vmm_round_trip")), "{{reason}} 99 %")), 12, 9)

	b.Row("vCPUs")
	b.Add(grafana.Heatmap("Halted", "From a HLT to the wake-up (probes: full, or watch).", buckets(histogram("ukprobe_vcpu_halted"))), 12, 8)
	b.Add(grafana.Heatmap("Waiting for a CPU", "A vCPU's thread could run and did not (probes: full, or watch).", buckets(histogram("ukprobe_vcpu_runqueue_delay"))), 12, 8)
	return dashboard("exits", "exits", "Why guests leave guest mode, and how long it takes.", b)
}
