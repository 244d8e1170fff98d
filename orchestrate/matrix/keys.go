// SPDX-License-Identifier: Apache-2.0

package matrix

import "slices"

// SettingKeys are the keys that --set takes, nested ones with dots, sorted.
func SettingKeys() []string { return slices.Clone(settingKeys) }

var settingKeys = []string{
	"accel", "address", "args", "cache",
	"cpu.aslr", "cpu.client", "cpu.cstates", "cpu.governor", "cpu.irqs", "cpu.ksm", "cpu.smt", "cpu.thp", "cpu.turbo", "cpu.vcpu", "cpu.vmm",
	"density.at_most", "density.ram_mib", "disk", "image", "initrd",
	"interference", "interference.at_most_percent", "interference.repeat", "kernel",
	"load.block_bytes", "load.connections", "load.duration", "load.pipeline", "load.rate", "load.requests", "load.threads", "load.value_bytes", "load.warmup",
	"memory_mib", "memory_search.confirm", "memory_search.from_mib", "memory_search.step_mib", "memory_search.to_mib",
	"parallel", "port", "probes", "ready", "samples",
	"scratch.bytes_per_second", "scratch.cache", "scratch.iops", "scratch.size_mib",
	"tap", "timeout", "timeout_learnt", "until", "until.at_most", "until.within_percent", "vcpus", "vhost", "warmup",
}
