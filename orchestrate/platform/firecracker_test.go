// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// namedFirecracker puts a program alone into PATH that has Firecracker's name and
// tells a version, and returns its folder.
func namedFirecracker(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "firecracker"), []byte("#!/bin/sh\n"+version+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	return dir
}

// referenceKernel writes the reference guest.
func referenceKernel(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reference.elf")
	if err := os.WriteFile(path, reference.Image(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// api is an API that says yes to everything and keeps what it was told.
func api(t *testing.T, socket string) (told func() []string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			got = append(got, "GET "+r.URL.Path)
			_, _ = io.WriteString(w, `{"vmm_version":"0.21.3"}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.Path+" "+string(body))
		w.WriteHeader(http.StatusNoContent)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	return func() []string {
		_ = s.Shutdown(context.Background())
		<-done
		return got
	}
}

// TestFirecrackerLaunch: what is started, and what its API is then told, word by
// word, by version and by image.
func TestFirecrackerLaunch(t *testing.T) {
	kernel := referenceKernel(t)
	bare := system.Boot{Kernel: kernel}
	disks := system.Boot{Kernel: kernel, Disks: []system.Disk{{Path: "/images/root.ext2", Format: "raw"}, {Path: "/images/data", Format: "raw", ReadOnly: true}}}
	initrd := system.Boot{Kernel: kernel, Initrd: "/images/initrd", Disks: []system.Disk{{Path: "/images/data", Format: "raw", ReadOnly: true}}}
	var out strings.Builder
	for _, tt := range []struct {
		name, version, jailer string
		image                 system.Boot
	}{
		{"0.18.0", "echo firecracker 0.18.0", "", disks},
		{"unknown to --version, by its API 0.21.3", "exit 1", "", initrd},
		{"0.23.3", "echo Firecracker v0.23.3", "", bare},
		{"1.14.2", "echo Firecracker v1.14.2", "", initrd},
		{"1.14.2, jailed", "echo Firecracker v1.14.2", "/bin/true", disks},
		{"1.7.0, jailed, with an initrd", "echo Firecracker v1.7.0", "/bin/true", initrd},
	} {
		dir := namedFirecracker(t, tt.version)
		t.Setenv(EnvJailer, tt.jailer)
		nic := guestNIC()
		l, err := firecracker{}.Launch(tt.image, Resources{MemoryMiB: 128, VCPUs: 2, Accel: KVM}, &nic, "a=b c")
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		sample := t.TempDir()
		here := strings.NewReplacer(dir, "/path", sample, Dir, filepath.Dir(kernel), "/images")
		fmt.Fprintf(&out, "# %s\nconsole port 0x%x, write %v; accel %s; env %q\n%s\n", tt.name, l.Console.Port, l.Console.Write, l.Accel, l.Env, here.Replace(strings.Join(l.Argv, " ")))
		for _, name := range slices.Sorted(maps.Keys(l.Copies)) {
			fmt.Fprintf(&out, "copy %s of %s\n", name, here.Replace(l.Copies[name]))
		}
		socket := filepath.Join(sample, "api.sock")
		if tt.jailer != "" {
			socket = filepath.Join(sample, "firecracker/ukprobe/root/api.sock")
			if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		told := api(t, socket)
		err = l.Drive(t.Context(), Driven{Dir: sample, Event: func(name string) { fmt.Fprintf(&out, "event %s\n", name) }})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for _, call := range told() {
			out.WriteString(here.Replace(call) + "\n")
		}
		out.WriteString("\n")
	}
	golden.Check(t, "firecracker.txt", out.String())
}

// TestFirecrackerRefuses: what it cannot take is told before the start.
func TestFirecrackerRefuses(t *testing.T) {
	kernel := referenceKernel(t)
	bzImage := filepath.Join(t.TempDir(), "vmlinuz")
	header := make([]byte, 1024)
	header[0x1fe], header[0x1ff] = 0x55, 0xaa
	copy(header[0x202:], "HdrS")
	if err := os.WriteFile(bzImage, header, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		version, jailer string
		image           system.Boot
		want            string
		unsupported     bool
		vcpus           int // 0: one
	}{
		"many CPUs":      {"echo firecracker 0.18.0", "", system.Boot{Kernel: kernel}, "32 vCPUs at most: vcpus: 33 cannot be had", true, 33},
		"a program":      {"echo v1.14.2", "", system.Boot{RootFS: "/", Argv: []string{"/bin/true"}}, "boots kernels; this system is not one", true, 0},
		"a bzImage":      {"echo v1.14.2", "", system.Boot{Kernel: bzImage}, "takes only an uncompressed ELF kernel", true, 0},
		"qcow2":          {"echo v1.14.2", "", system.Boot{Kernel: kernel, Disks: []system.Disk{{Path: "/d", Format: "qcow2"}}}, "takes raw disks, this is qcow2", true, 0},
		"early initrd":   {"echo firecracker 0.18.0", "", system.Boot{Kernel: kernel, Initrd: "/i"}, "firecracker 0.18.0 takes no initrd, the first that does is 0.21.0: give the guest a disk instead (disk: in the cell)", true, 0},
		"too old":        {"echo firecracker 0.10.1", "", system.Boot{Kernel: kernel}, "is version 0.10.1: use 0.18.0 or newer", false, 0},
		"something else": {"echo hello", "", system.Boot{Kernel: kernel}, "is it Firecracker?", false, 0},
		"old jailer":     {"echo Firecracker v0.22.4", "/bin/true", system.Boot{Kernel: kernel}, "only from 0.23.0 on: unset UKPROBE_JAILER", true, 0},
		"jailer unknown": {"exit 1", "/bin/true", system.Boot{Kernel: kernel}, "of unknown version with its jailer", true, 0},
		"no kernel":      {"echo v1.14.2", "", system.Boot{Kernel: "/none"}, "no such file", false, 0},
	} {
		namedFirecracker(t, tt.version)
		t.Setenv(EnvJailer, tt.jailer)
		_, err := firecracker{}.Launch(tt.image, Resources{MemoryMiB: 128, VCPUs: max(tt.vcpus, 1)}, nil, "")
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, system.ErrUnsupported) != tt.unsupported {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	t.Setenv(EnvJailer, "")
	t.Setenv("PATH", t.TempDir())
	_, err := firecracker{}.Launch(system.Boot{Kernel: kernel}, Resources{}, nil, "")
	if !errors.Is(err, system.ErrUnsupported) || !strings.Contains(err.Error(), "put a release of firecracker-microvm/firecracker into PATH") {
		t.Errorf("no Firecracker: %v", err)
	}
}

// TestFirecrackerCPUs: odd numbers too, in every version, since no hyper-threads are asked
// for.
func TestFirecrackerCPUs(t *testing.T) {
	kernel := referenceKernel(t)
	for _, version := range []string{"echo firecracker 0.18.0", "echo Firecracker v1.14.2"} {
		namedFirecracker(t, version)
		for _, n := range []int{1, 3, 32} {
			if _, err := (firecracker{}).Launch(system.Boot{Kernel: kernel}, Resources{MemoryMiB: 128, VCPUs: n}, nil, ""); err != nil {
				t.Errorf("%s, %d vCPUs: %v", version, n, err)
			}
		}
	}
}

// TestFirecrackerElsewhere: the environment's paths are taken, and errors name them.
func TestFirecrackerElsewhere(t *testing.T) {
	dir := namedFirecracker(t, "echo Firecracker v1.14.2")
	t.Setenv("PATH", t.TempDir())
	t.Chdir(dir)
	b := system.Boot{Kernel: referenceKernel(t)}
	r := Resources{MemoryMiB: 128, VCPUs: 1}
	if n := (firecracker{}).TapUser(); n != 0 {
		t.Errorf("its tap is for user %d, want root", n)
	}
	t.Setenv(EnvFirecracker, "./firecracker")
	if l, err := (firecracker{}).Launch(b, r, nil, ""); err != nil || l.Argv[0] != filepath.Join(dir, "firecracker") {
		t.Errorf("%q, %v: want a whole path", l.Argv, err)
	}
	if err := os.WriteFile("jailer", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvJailer, "./jailer")
	if l, err := (firecracker{}).Launch(b, r, nil, ""); err != nil || l.Argv[0] != filepath.Join(dir, "jailer") {
		t.Errorf("%q, %v: want the jailer", l.Argv, err)
	}
	if n := (firecracker{}).TapUser(); n != jailUser {
		t.Errorf("its tap is for user %d, want the jail's", n)
	}
	for _, variable := range []string{EnvJailer, EnvFirecracker} {
		t.Setenv(variable, "/none/x")
		if _, err := (firecracker{}).Launch(b, r, nil, ""); err == nil || !strings.Contains(err.Error(), "find /none/x: ") || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s: %v", variable, err)
		}
	}
}

// TestFirecrackerDescribed: before there is an image its command can be shown.
func TestFirecrackerDescribed(t *testing.T) {
	namedFirecracker(t, "echo Firecracker v1.14.2")
	if _, err := (firecracker{}).Launch(system.Boot{Kernel: system.Unbuilt}, Resources{}, &network.Guest{}, ""); err != nil {
		t.Error(err)
	}
}

// TestFirecrackerVersionAsked: once for each binary, and again if it has changed.
func TestFirecrackerVersionAsked(t *testing.T) {
	dir := namedFirecracker(t, "")
	path, log := filepath.Join(dir, "firecracker"), filepath.Join(dir, "log")
	for _, v := range []string{"1.14.1", "1.14.12"} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho asked >>"+log+"\necho Firecracker v"+v+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got, err := firecrackerVersion(path); err != nil || got.String() != v {
				t.Errorf("%s, %v; want %s", got, err, v)
			}
		}
	}
	if asked, err := os.ReadFile(log); err != nil || string(asked) != "asked\nasked\n" {
		t.Errorf("%q, %v: want one question for each binary", asked, err)
	}
}

// TestFirecrackerMissing: that the program is not there is said before what is wrong
// with the accelerator; where nothing is, Launch says it.
func TestFirecrackerMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(EnvFirecracker, "")
	const find = `unsupported: find firecracker: exec: "firecracker": executable file not found in $PATH: put a release of firecracker-microvm/firecracker into PATH under that name, or its path into UKPROBE_FIRECRACKER; besides, `
	for _, tt := range []struct {
		want string
		host Host
		err  string
	}{
		{"auto", Host{KVM: true}, find + "accel auto: platform firecracker has only KVM, and KVM here has no hardware behind it"},
		{"auto", Host{KVMReason: "none here"}, find + "accel kvm: none here"},
		{"tcg", Host{KVM: true}, "unsupported: accel tcg: platform firecracker has only KVM"},
		{"kvm", Host{KVM: true}, ""},
	} {
		_, err := firecracker{}.Accel(tt.want, system.Boot{}, tt.host)
		if (err == nil) != (tt.err == "") || err != nil && (!errors.Is(err, system.ErrUnsupported) || !strings.HasPrefix(err.Error(), tt.err)) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestFirecrackerAccel(t *testing.T) {
	namedFirecracker(t, "echo Firecracker v1.14.2")
	free, fpu := system.Boot{FPUFree: true}, system.Boot{}
	for _, tt := range []struct {
		want  string
		image system.Boot
		host  Host
		err   string
	}{
		{"auto", fpu, Host{KVM: true, Hardware: true}, ""},
		{"auto", free, Host{KVM: true}, ""},
		{"kvm", fpu, Host{KVM: true}, ""},
		{"auto", fpu, Host{KVM: true}, "unsupported: accel auto: platform firecracker has only KVM, and KVM here has no hardware behind it"},
		{"tcg", free, Host{KVM: true, Hardware: true}, "unsupported: accel tcg: platform firecracker has only KVM"},
		{"auto", free, Host{KVMReason: "none here"}, "unsupported: accel kvm: none here"},
		{"kvm", free, Host{KVMReason: "none here"}, "unsupported: accel kvm: none here"},
	} {
		got, err := firecracker{}.Accel(tt.want, tt.image, tt.host)
		switch {
		case tt.err == "" && (err != nil || got != KVM):
			t.Errorf("%+v: %s, %v", tt, got, err)
		case tt.err != "" && (!errors.Is(err, system.ErrUnsupported) || !strings.HasPrefix(err.Error(), tt.err)):
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// TestFirecrackerDriveEnds: no event for what did not happen, and a driver that ends
// with its context.
func TestFirecrackerDriveEnds(t *testing.T) {
	namedFirecracker(t, "echo Firecracker v1.14.2")
	l, err := firecracker{}.Launch(system.Boot{Kernel: referenceKernel(t)}, Resources{MemoryMiB: 128, VCPUs: 1}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	var events []string
	err = l.Drive(ctx, Driven{Dir: t.TempDir(), Event: func(name string) { events = append(events, name) }})
	if err == nil || !strings.Contains(err.Error(), "the API socket") || !strings.Contains(err.Error(), "was not there yet") {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff([]string(nil), events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
