// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const head = `{"op":"open","version":1,"run":"r1","pid":42,"start":777,"boot":"b"}` + "\n"

func TestParse(t *testing.T) {
	ns := Entry{Kind: KindNetNS, Name: "ukprobe-r1", Data: map[string]string{"path": "/run/netns/ukprobe-r1"}}
	addNS := `{"op":"add","kind":"netns","name":"ukprobe-r1","data":{"path":"/run/netns/ukprobe-r1"}}` + "\n"
	addCg := `{"op":"add","kind":"cgroup","name":"c"}` + "\n"
	cg := Entry{Kind: KindCgroup, Name: "c"}

	tests := []struct {
		name    string
		in      string
		entries []Entry
		pid     int
		closed  bool
		bad     int
		size    int
	}{
		{name: "empty file"},
		{name: "header only", in: head, pid: 42, size: len(head)},
		{name: "two entries in order", in: head + addNS + addCg, pid: 42, entries: []Entry{ns, cg}, size: len(head + addNS + addCg)},
		{name: "forgotten", in: head + addNS + addCg + `{"op":"del","kind":"netns","name":"ukprobe-r1"}` + "\n", pid: 42, entries: []Entry{cg}, size: len(head+addNS+addCg) + 48},
		{name: "killed in the middle of a line", in: head + addNS + addCg[:20], pid: 42, entries: []Entry{ns}, size: len(head + addNS)},
		{name: "killed before the newline: the change was not made", in: head + addNS + addCg[:len(addCg)-1], pid: 42, entries: []Entry{ns}, size: len(head + addNS)},
		{name: "killed in the header", in: head[:10]},
		{name: "recorded again keeps its place", in: head + `{"op":"add","kind":"netns","name":"ukprobe-r1"}` + "\n" + addCg + addNS, pid: 42, entries: []Entry{ns, cg}, size: len(head+addCg+addNS) + 48},
		{name: "garbage in the middle", in: head + "\x00\x00\n" + addCg, pid: 42, entries: []Entry{cg}, bad: 1, size: len(head+addCg) + 3},
		{name: "unknown op", in: head + `{"op":"zap"}` + "\n", pid: 42, bad: 1, size: len(head) + 13},
		{name: "newer format", in: `{"op":"open","version":9,"run":"r1","pid":42}` + "\n", bad: 1, size: 46},
		{name: "entry without a name", in: head + `{"op":"add","kind":"netns"}` + "\n", pid: 42, bad: 1, size: len(head) + 28},
		{name: "given up", in: head + addCg + `{"op":"close"}` + "\n", pid: 42, closed: true, entries: []Entry{cg}, size: len(head+addCg) + 15},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := parse([]byte(tt.in))
			if diff := cmp.Diff(tt.entries, c.entries, cmp.Transformer("empty", func(e []Entry) []Entry {
				if len(e) == 0 {
					return nil
				}
				return e
			})); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			got := []any{c.owner.PID, c.closed, len(c.bad), int(c.size)}
			if diff := cmp.Diff([]any{tt.pid, tt.closed, tt.bad, tt.size}, got); diff != "" {
				t.Errorf("pid, closed, bad, size (-want +got):\n%s\n%v", diff, c.bad)
			}
		})
	}
}

func TestMountBelow(t *testing.T) {
	const info = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw
40 23 0:40 / /tmp/ukprobe-a\040b/root/dev rw - devtmpfs none rw
`
	for dir, want := range map[string]string{
		"/tmp/ukprobe-a b":      "/tmp/ukprobe-a b/root/dev",
		"/tmp/ukprobe-a":        "",
		"/sys/fs/cgroup":        "/sys/fs/cgroup",
		"/tmp/ukprobe-a b/root": "/tmp/ukprobe-a b/root/dev",
	} {
		if got := mountBelow(info, dir); got != want {
			t.Errorf("mountBelow(%q) = %q, want %q", dir, got, want)
		}
	}
}
