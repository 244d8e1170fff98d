// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

func hex(n int) string { return strconv.FormatInt(int64(n), 16) }

// hasFlag looks for a flag of the CPU.
func hasFlag(name string) bool {
	info, _ := os.ReadFile("/proc/cpuinfo")
	return slices.Contains(strings.Fields(string(info)), name)
}
