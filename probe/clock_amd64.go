// SPDX-License-Identifier: Apache-2.0

package probe

// haveTSC says that rdtsc reads a time-stamp counter on this architecture.
const haveTSC = true

// rdtsc reads the time-stamp counter after every earlier load and before every
// later instruction (lfence; rdtsc; lfence: Intel SDM vol. 2, RDTSC; on AMD as
// Linux sets it up, where LFENCE is serialising).
func rdtsc() uint64
