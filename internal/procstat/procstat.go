// SPDX-License-Identifier: Apache-2.0

// Package procstat reads /proc/PID/stat (proc_pid_stat(5)): only what tells one
// process from another. It does not open the file: whose /proc, how much of it is
// read and what a missing one means is its callers' business.
package procstat

import (
	"bytes"
	"fmt"
	"strconv"
)

// Stat is what the file says of a process.
type Stat struct {
	Comm  string // field 2: any bytes, as the process wants
	State string // field 3: Z and X have ended
	Start uint64 // field 22: clock ticks since boot. With the pid it is nobody else's within one boot
}

// Parse reads the file's text. The name stands in parentheses and may hold
// parentheses and spaces too: it ends at the last one.
func Parse(text []byte) (Stat, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return Stat{}, fmt.Errorf("no name in parentheses in %.80q", text)
	}
	fields := bytes.Fields(text[end+1:])
	const start = 22 - 3 // the manual counts from 1, and field 3 is first here
	if len(fields) <= start {
		return Stat{}, fmt.Errorf("%d fields after the name, want more than %d", len(fields), start)
	}
	n, err := strconv.ParseUint(string(fields[start]), 10, 64)
	if err != nil {
		return Stat{}, fmt.Errorf("start time: %w", err)
	}
	return Stat{Comm: string(text[open+1 : end]), State: string(fields[0]), Start: n}, nil
}
