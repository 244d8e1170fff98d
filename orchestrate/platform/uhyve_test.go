// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// program puts a program that holds a text into a folder.
func program(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n# "+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

var oneGiB = Resources{MemoryMiB: 1024, VCPUs: 1, Accel: KVM}

// TestHermiTuxLaunch holds the variables against eurosys21-artifacts' fig_12
// impl/hermitux-uhyve-redis.sh, and ssrg-vt/hermitux-kernel's tools.
func TestHermiTuxLaunch(t *testing.T) {
	dir := t.TempDir()
	proxy := program(t, filepath.Join(dir, "proxy"), proxyMark)
	t.Setenv("PATH", dir)
	nic := guestNIC()
	b := system.Boot{Kernel: "/images/hermitux", Initrd: "/images/redis-server", Env: []string{"HERMIT_MINIFS=1", "HERMIT_MINIFS_HOSTLOAD=/list"}}
	l, err := uhyve{}.Launch(b, oneGiB, &nic, "redis.conf")
	if err != nil {
		t.Fatal(err)
	}
	want := Launch{
		Argv: []string{proxy, "/images/hermitux", "/images/redis-server", "redis.conf"},
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HERMIT_ISLE=uhyve", "HERMIT_TUX=1", "HERMIT_MEM=1024M", "HERMIT_CPUS=1",
			"HERMIT_NETIF=uktap7", "HERMIT_NETIF_MAC=52:54:00:12:00:09", "HERMIT_IP=198.18.0.9", "HERMIT_GATEWAY=198.18.0.1", "HERMIT_MASK=255.255.255.0",
			"HERMIT_MINIFS=1", "HERMIT_MINIFS_HOSTLOAD=/list"},
		Console: Console{Write: true}, Accel: KVM,
	}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	l, err = uhyve{}.Launch(b, oneGiB, nil, "")
	if err != nil || len(l.Argv) != 3 || strings.Contains(strings.Join(l.Env, " "), "NETIF") {
		t.Errorf("without a network: %q, %q, %v", l.Argv, l.Env, err)
	}
}

// TestHermitLaunch holds the options against hermit-os/uhyve's README.md and
// src/bin/uhyve.rs.
func TestHermitLaunch(t *testing.T) {
	dir := t.TempDir()
	path := program(t, filepath.Join(dir, "uhyve"), uhyveMark)
	t.Setenv("PATH", dir)
	nic := guestNIC()
	l, err := uhyve{}.Launch(system.Boot{Kernel: "/images/hello"}, oneGiB, &nic, "--name x")
	if err != nil {
		t.Fatal(err)
	}
	want := Launch{
		Argv: []string{path, "-m", "1024MiB", "-c", "1", "--net=tap:uktap7", "-e", "HERMIT_IP=198.18.0.9", "-e", "HERMIT_GATEWAY=198.18.0.1", "-e", "HERMIT_MASK=255.255.255.0", "/images/hello", "--", "--name", "x"},
		Env:  []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TMPDIR={dir}"}, Console: Console{Write: true}, Accel: KVM,
	}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if l, err = (uhyve{}).Launch(system.Boot{Kernel: "/images/hello"}, oneGiB, nil, ""); err != nil || cmp.Diff([]string{path, "-m", "1024MiB", "-c", "1", "/images/hello"}, l.Argv) != "" {
		t.Errorf("without a network: %q, %v", l.Argv, err)
	}
}

func TestUhyveRefuses(t *testing.T) {
	dir := t.TempDir()
	program(t, filepath.Join(dir, "uhyve"), uhyveMark)
	t.Setenv("PATH", dir)
	for _, tt := range []struct {
		name string
		b    system.Boot
		r    Resources
		kind error
		err  string
	}{
		{"no image", system.Boot{}, oneGiB, system.ErrUnsupported, "boots images of the Hermit family"},
		{"a disk", system.Boot{Kernel: "/k", Disks: []system.Disk{{}}}, oneGiB, system.ErrUnsupported, "uhyve has no disks"},
		{"little memory", system.Boot{Kernel: "/k"}, Resources{MemoryMiB: 14}, system.ErrUnsupported, "16 MiB or more, in steps of 2: memory: 14"},
		{"odd memory", system.Boot{Kernel: "/k"}, Resources{MemoryMiB: 65}, system.ErrUnsupported, "in steps of 2: memory: 65"},
		{"HermiTux with Hermit's VMM", system.Boot{Kernel: "/k", Initrd: "/p"}, oneGiB, errOtherProgram, "(it does not read HERMIT_ISLE)"},
	} {
		_, err := uhyve{}.Launch(tt.b, tt.r, nil, "")
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	program(t, filepath.Join(dir, "uhyve"), proxyMark)
	if _, err := (uhyve{}).Launch(system.Boot{Kernel: "/k"}, oneGiB, nil, ""); !errors.Is(err, errOtherProgram) || !strings.Contains(err.Error(), "cargo install --locked uhyve") {
		t.Errorf("Hermit with HermitCore's VMM: %v", err)
	}
}

// TestProxyBesideTheKernel: a build of HermiTux is found whole, but not one that
// others can change.
func TestProxyBesideTheKernel(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	prefix := t.TempDir()
	kernel := filepath.Join(prefix, "x86_64-hermit/extra/tests/hermitux")
	if err := os.MkdirAll(filepath.Dir(kernel), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := findProxy(kernel); err == nil || !strings.Contains(err.Error(), "keep its prefix folder together") {
		t.Errorf("nothing there: %v", err)
	}
	proxy := program(t, filepath.Join(prefix, "bin/proxy"), proxyMark)
	if got, err := findProxy(kernel); got != proxy || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if err := os.Chmod(proxy, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := findProxy(kernel); err == nil || !strings.Contains(err.Error(), "others can change it") {
		t.Errorf("writable by all: %v", err)
	}
}

func TestUhyveAccel(t *testing.T) {
	for _, tt := range []struct {
		want string
		h    Host
		got  string
		err  string
	}{
		{matrix.AccelAuto, Host{KVM: true, Hardware: true}, KVM, ""},
		{matrix.AccelKVM, Host{KVM: true}, KVM, ""},
		{matrix.AccelAuto, Host{KVM: true}, "", "use --accel kvm to try"},
		{matrix.AccelTCG, Host{KVM: true}, "", "platform uhyve has only KVM"},
		{matrix.AccelAuto, Host{KVMReason: "no such device"}, "", "accel kvm: no such device"},
	} {
		got, err := uhyve{}.Accel(tt.want, system.Boot{}, tt.h)
		if got != tt.got || (err == nil) != (tt.err == "") || err != nil && (!errors.Is(err, system.ErrUnsupported) || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s on %+v: %q, %v", tt.want, tt.h, got, err)
		}
	}
}
