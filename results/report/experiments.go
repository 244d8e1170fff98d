// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"

	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/results"
)

// imageSize is the experiment that starts no guest: nothing is attached and nothing is
// a median.
const imageSize = "image-size"

// aslr is the experiment whose figures are over all samples together.
const aslr = "aslr"

// experimentColumns are the figures that a table of an experiment shows; an
// experiment that is not here has a boot's. All others are in run.json.
var experimentColumns = map[string][]phase{
	imageSize: {
		{"file_bytes", "files"}, {"allocated_bytes", "on disk"}, {"compressed_bytes", "zstd"},
		{"unpacked_bytes", "unpacked"}, {"stripped_bytes", "stripped"},
		{"unikernel_bytes", "unikernel"}, {"kernel_bytes", "kernel"}, {"app_bytes", "app"}, {"libraries_bytes", "libraries"}, {"rootfs_rest_bytes", "rest of root fs"},
	},
	"memory-min": {{"memory_min_bytes", "least memory"}, {"memory_failing_bytes", "fails with"}, {"boots", "boots"}},
	"memory-use": {
		{"guest_ready_bytes", "guest, ready"}, {"guest_idle_bytes", "idle"}, {"guest_load_bytes", "under load"},
		{"vmm_ready_bytes", "VMM"}, {"process_ready_bytes", "process"}, {"pss_ready_bytes", "all (PSS)"}, {"pss_load_bytes", "under load"},
		{"page_tables_ready_bytes", "page tables"},
	},
	"density": {
		{"instances", "instances"}, {"memory_per_instance_bytes", "memory each"},
		{"boot_first_ns", "boot of the 1st"}, {"boot_last_ns", "of the last"}, {"latency_first_ns", "latency of the 1st"}, {"latency_last_ns", "of the last"},
	},
	"throughput": {
		{"requests_per_second", "requests/s"}, {"latency_p50_ns", "p50"}, {"latency_p99_ns", "p99"}, {"errors", "errors"}, {"cpu_per_request_ns", "CPU/req"},
		{"exits_per_request", "exits/req"}, {"guest_per_request_ns", "guest/req"}, {"kvm_per_request_ns", "KVM/req"}, {"vmm_per_request_ns", "VMM/req"},
		{"host_network_per_request_ns", "network/req"}, {"client_busy_percent", "client busy"}, {"client_waited_percent", "waited"},
	},
	"http": {
		{"requests_per_second", "requests/s"}, {"latency_p50_ns", "p50"}, {"latency_p90_ns", "p90"}, {"latency_p99_ns", "p99"},
		{"latency_p999_ns", "p99.9"}, {"errors", "errors"}, {"client_busy_percent", "client busy"}, {"client_waited_percent", "waited"},
	},
	"dns": {{"requests_per_second", "queries/s"}, {"latency_p50_ns", "p50"}, {"latency_p99_ns", "p99"}, {"errors", "errors"},
		{"client_busy_percent", "client busy"}, {"client_waited_percent", "waited"}},
	"fs": {
		{"block_bytes", "block"}, {"read_latency_p50_ns", "read p50"}, {"read_bytes_per_second", "read/s"}, {"write_latency_p50_ns", "write p50"}, {"write_bytes_per_second", "write/s"},
		{"flush_latency_p50_ns", "flush p50"},
		{"host_reads", "host, all jobs: reads"}, {"host_read_latency_p50_ns", "all reads p50"}, {"host_writes", "all writes"}, {"host_write_latency_p50_ns", "all writes p50"},
	},
	aslr: {
		{"boots", "boots"}, {"addresses_distinct", "addresses"}, {"entropy_bits", "entropy of the address"},
		{"varying_bits", "its bits that vary"}, {"aligned_bytes", "multiples of"},
	},
}

// columns are the figures that a block of cells shows.
func (g group) columns() []phase {
	if c := experimentColumns[g.experiment]; c != nil {
		return c
	}
	return phases
}

// likeBoot: the block shows a boot's phases, and so their parts.
func (g group) likeBoot() bool { return experimentColumns[g.experiment] == nil }

// summary writes a median, and below it the two ends of its interval.
func (o Options) summary(metric string, s results.Summary) string {
	line := o.quantity(metric, s.Median)
	if s.CI95 != nil {
		line += "\n" + o.units().Interval(metric, s.Median, s.CI95[0], s.CI95[1])
	}
	return line
}

// narrow is summary for a table on a terminal: the interval's unit is left to the median,
// above it, if both ends have that.
func (o Options) narrow(metric string, s results.Summary) string {
	line, interval, known := strings.Cut(o.summary(metric, s), "\n")
	if !known {
		return line
	}
	return line + "\n" + units.Ends(line, interval)
}

// onOneLine is summary where there is one line only: 68.0 ms (41.1–139 ms).
func (o Options) onOneLine(metric string, s results.Summary) string {
	return joined(strings.Split(o.summary(metric, s), "\n"))
}

// joined puts the lines of a figure into one, what stands below it in parentheses.
func joined(lines []string) string {
	if len(lines) < 2 {
		return strings.Join(lines, "")
	}
	return lines[0] + " (" + strings.Join(lines[1:], " ") + ")"
}
