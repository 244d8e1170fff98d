// SPDX-License-Identifier: Apache-2.0

package pagecache

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mostHolders is how many are named.
const mostHolders = 3

// Holders names processes that have a file of the set mapped, whose pages the kernel does
// not drop; at most three. They are told by the file's path.
func (s Set) Holders() []string {
	maps, _ := filepath.Glob("/proc/[0-9]*/maps")
	var out []string
	for _, path := range maps {
		raw, err := os.ReadFile(path)
		if err != nil || !s.mapped(raw) {
			continue // it has ended
		}
		dir := filepath.Dir(path)
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		out = append(out, fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), filepath.Base(dir)))
		if len(out) == mostHolders {
			break
		}
	}
	return out
}

// mapped tells whether /proc/PID/maps names one of the files (proc_pid_maps(5)).
func (s Set) mapped(maps []byte) bool {
	for line := range bytes.Lines(maps) {
		if at := bytes.IndexByte(line, '/'); at >= 0 && slices.Contains(s.paths, strings.TrimSuffix(string(line[at:]), "\n")) {
			return true
		}
	}
	return false
}
