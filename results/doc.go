// SPDX-License-Identifier: Apache-2.0

// Package results keeps what runs measured: the types of run.json, the store of a results
// folder (ukprobe.db, SQLite) that loses no finished sample, its readers, run.json as its
// export and import, and the statistics derived from the samples.
//
// It knows what a cell, a sample, an event and a phase are. It does not know
// how any of them is measured: no BPF, no VMM, no network. Terminal output is
// in results/report.
//
// Every time span and timestamp is in nanoseconds; timestamps of events are
// CLOCK_MONOTONIC of the measured host. Something that was not measured is
// absent, with a reason, and never zero. The format is described field by
// field in docs/run.schema.json.
package results
