// SPDX-License-Identifier: Apache-2.0

package firecracker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/golden"
)

// versions are the ones around each change.
var versions = []Version{{}, {0, 18, 0}, {0, 20, 0}, {0, 21, 3}, {0, 22, 0}, {0, 23, 3}, {0, 25, 2}, {1, 0, 0}, {1, 4, 0}, {1, 5, 0}, {1, 16, 1}, {1, 17, 0}}

// TestRequests: command lines and requests, word by word, for each version.
func TestRequests(t *testing.T) {
	var out strings.Builder
	for _, v := range versions {
		fmt.Fprintf(&out, "# firecracker %s\n", v)
		fmt.Fprintf(&out, "args %q\n", Args(v, "/run/s.sock", "/dev/stderr"))
		fmt.Fprintf(&out, "args without a log %q\n", Args(v, "/run/s.sock", ""))
		j := Jail{Jailer: "/bin/jailer", Firecracker: "/bin/firecracker", ID: "s1", UID: 65534, GID: 65533, Base: "/jails"}
		argv, err := j.Argv(v, Args(v, "/s.sock", ""))
		fmt.Fprintf(&out, "jailer %q, %v\n", argv, err)
		for _, m := range []MicroVM{
			{VCPUs: 2, MemoryMiB: 256, Kernel: "/vmlinux", Cmdline: "console=ttyS0 \"a\"", Log: "/dev/stderr",
				Drives: []Drive{{ID: "disk0", Path: "/root.img", Root: true}, {ID: "disk1", Path: "/data.img", ReadOnly: true}},
				NICs:   []NIC{{ID: "eth0", Tap: "uktap0", MAC: "52:54:00:12:00:02"}}},
			{VCPUs: 1, MemoryMiB: 128, Kernel: "/vmlinux", Initrd: "/initrd"},
		} {
			if v.Unknown() {
				continue // asked before it is told anything
			}
			calls, err := m.Calls(v)
			for _, c := range calls {
				fmt.Fprintf(&out, "%s %s\n", c, c.Body)
			}
			if err != nil {
				fmt.Fprintf(&out, "%v\n", err)
			}
		}
		out.WriteString("\n")
	}
	fmt.Fprintf(&out, "# start\n%s %s\n", Start(), Start().Body)
	golden.Check(t, "requests.txt", out.String())
}

// TestInitArguments: before 1.0 devices are announced behind the "--" of a command
// line, which is the guest's init's.
func TestInitArguments(t *testing.T) {
	nic := []NIC{{ID: "eth0", Tap: "uktap0"}}
	for _, tt := range []struct {
		v       Version
		cmdline string
		nics    []NIC
		refused bool
	}{
		{Version{0, 25, 2}, "console=ttyS0 -- -x", nic, true},
		{Version{0, 25, 2}, "console=ttyS0 --x -", nic, false},
		{Version{0, 25, 2}, "console=ttyS0 -- -x", nil, false},
		{Version{1, 0, 0}, "console=ttyS0 -- -x", nic, false},
	} {
		_, err := MicroVM{Kernel: "/k", Cmdline: tt.cmdline, NICs: tt.nics}.Calls(tt.v)
		if (err != nil) != tt.refused || err != nil && !strings.Contains(err.Error(), "leave -- out, or use 1.0.0 or newer") {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// TestEmptyCommandLine: absent, it would be Firecracker's default for Linux.
func TestEmptyCommandLine(t *testing.T) {
	calls, err := MicroVM{Kernel: "/k"}.Calls(Version{1, 14, 2})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"kernel_image_path":"/k","boot_args":""}`, calls[1].Body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
