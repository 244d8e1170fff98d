// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// A process whose addresses are randomised, and one for which that is switched off
// (personality(2), ADDR_NO_RANDOMIZE).
func TestASLRProcess(t *testing.T) {
	if _, err := exec.LookPath("setarch"); err != nil {
		t.Skip("no setarch: apt-get install util-linux")
	}
	for command, distinct := range map[string]int{"exec sleep 60": 3, "exec setarch -R sleep 60": 1} {
		t.Run(command, func(t *testing.T) {
			seen := map[string]map[uint64]bool{}
			for range 3 {
				b, s := newBoot(t, command)
				b.Accel = platform.None
				s.ready = probe.EventConsoleReady
				s.happens(probe.EventConsoleReady, monotonicNs())
				open := func() (Addresser, error) { return nil, errors.New("nobody needs it") }
				got, err := (&ASLR{Boot: b, Program: "/usr/bin/sleep", Open: open}).Sample(t.Context(), "s")
				if err != nil || got.Status != OK {
					t.Fatalf("%v, %s: %s", err, got.Status, got.Reason)
				}
				for _, part := range []string{"program", "mmap", "stack", "vdso"} {
					if len(got.Addresses[part]) != 1 || got.Addresses[part][0]%4096 != 0 {
						t.Fatalf("%s: %x", part, got.Addresses)
					}
					if seen[part] == nil {
						seen[part] = map[uint64]bool{}
					}
					seen[part][got.Addresses[part][0]] = true
				}
			}
			for part, at := range seen {
				if len(at) != distinct {
					t.Errorf("%s at %d addresses, want %d", part, len(at), distinct)
				}
			}
		})
	}
}

// seer tells what a test says.
type seer struct {
	found map[probe.AddressKind][]uint64
	err   error
	asked uint64
	// in how many samples it was attached, and from how many detached
	opened, closed int
}

func (s *seer) Hook() probe.HookStatus { return probe.HookStatus{Hook: probe.HookAddresses} }

func (s *seer) Close() error {
	s.closed++
	return nil
}

func (s *seer) Of(group uint64) (map[probe.AddressKind][]uint64, error) {
	s.asked = group
	return s.found, s.err
}

func TestASLRGuest(t *testing.T) {
	const high = 0xffffffff81000000
	for _, tt := range []struct {
		name   string
		found  map[probe.AddressKind][]uint64
		err    error
		want   map[string][]uint64
		reason string
	}{
		{
			"seen", map[probe.AddressKind][]uint64{probe.AddressHalt: {1, 2, 1}, probe.AddressConsole: {}, probe.AddressOther: {high, 5, high + 1}}, nil,
			map[string][]uint64{"halt": {2, 1}, "other_high": {high, high + 1}, "other_low": {5}}, "",
		},
		{"not seen", nil, nil, nil, "aslr: the guest was at no address"},
		{"error", nil, errors.New("no map"), nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, s := newBoot(t, "exec sleep 60")
			b.Accel = platform.KVM
			s.ready = probe.EventConsoleReady
			s.happens(probe.EventConsoleReady, monotonicNs())
			see := &seer{found: tt.found, err: tt.err}
			var noted []string
			b.Attached = func(h probe.HookStatus) { noted = append(noted, h.Hook) }
			open := func() (Addresser, error) { see.opened++; return see, nil }
			got, err := (&ASLR{Boot: b, Open: open}).Sample(context.Background(), "s")
			if d := cmp.Diff([]string{probe.HookAddresses}, noted); d != "" || see.opened != 1 || see.closed != 1 {
				t.Errorf("attached %d times, detached %d, noted %v", see.opened, see.closed, noted)
			}
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if d := cmp.Diff(tt.want, got.Addresses, cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
			if !strings.HasPrefix(got.Reason, tt.reason) || (got.Status == OK) != (tt.reason == "") {
				t.Errorf("%s: %s", got.Status, got.Reason)
			}
			if see.asked == 0 || see.asked != s.target.CgroupID {
				t.Errorf("asked for cgroup %d, watched %d", see.asked, s.target.CgroupID)
			}
		})
	}
}

func TestReadRegions(t *testing.T) {
	const text = `5581c0a00000-5581c0a02000 r--p 00000000 fe:00 7             /usr/sbin/my nginx
5581c0a02000-5581c0a20000 r-xp 00002000 fe:00 7             /usr/sbin/my nginx
5581c1f00000-5581c1f21000 rw-p 00000000 00:00 0             [heap]
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
7f1000000000-7f1000001000 r--p 00000000 fe:00 9             /lib/x86_64-linux-gnu/libc.so.6
7f1000100000-7f1000101000 r--p 00000000 fe:00 10            /lib64/ld-linux-x86-64.so.2
7ffe00000000-7ffe00021000 rw-p 00000000 00:00 0             [stack]
7ffe000a0000-7ffe000a2000 r-xp 00000000 00:00 0             [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0     [vsyscall]
`
	got, err := readRegions(strings.NewReader(text), "/usr/sbin/my nginx")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]uint64{"program": {0x5581c0a00000}, "heap": {0x5581c1f00000}, "mmap": {0x7f1000000000}, "stack": {0x7ffe00000000}, "vdso": {0x7ffe000a0000}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := readRegions(strings.NewReader("zz-1 r--p 0 0:0 0 [heap]\n"), ""); err == nil {
		t.Error("an address that is none is no error")
	}
}
