// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"regexp"
	"strconv"
	"strings"
)

// kvmexit is bcc's kvmexit at work.
type kvmexit struct{ *process }

// startKvmexit waits for its header, which it prints once its program is attached.
func startKvmexit(ctx context.Context, t tool, dir string) (session, error) {
	p, err := launch(dir, nil, "/usr/bin/python3", "-u", t.program)
	if err != nil {
		return nil, err
	}
	if err := p.wait(ctx, func() (bool, error) { return strings.Contains(p.text(), "Hit Ctrl-C"), nil }); err != nil {
		p.cancel()
		return nil, err
	}
	return kvmexit{p}, nil
}

func (p kvmexit) stop(context.Context) (account, error) {
	if err := p.interrupt(); err != nil {
		return account{}, err
	}
	text := p.text()
	return account{CPU: p.cpu(), Bytes: int64(len(text)), Seen: kvmexitSeen(text)}, nil
}

// kvmexitRow: PID TID KVM_EXIT_REASON COUNT (kvmexit_example.txt of bcc).
var kvmexitRow = regexp.MustCompile(`^\d+\s+\d+\s+(\S+)\s+(\d+)\s*$`)

func kvmexitSeen(text string) map[answer]uint64 {
	byReason := map[string]uint64{}
	for line := range strings.Lines(text) {
		if m := kvmexitRow.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			n, _ := strconv.ParseUint(m[2], 10, 64)
			byReason[strings.TrimPrefix(m[1], "EXIT_REASON_")] += n
		}
	}
	return map[answer]uint64{ioExits: byReason["IO_INSTRUCTION"], cpuids: byReason["CPUID"], halts: byReason["HLT"]}
}
