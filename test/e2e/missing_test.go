// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// nobody is Debian's uid and gid of that name, which may do nothing.
const nobody = 65534

func (c *call) asNobody() *call {
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	c.cmd.Dir = "/"
	c.cmd.Env = append(c.cmd.Env, "TMPDIR=/tmp", "HOME=/")
	return c
}

// Without root nothing can be measured: the error says so, and how to go on. What
// would be done can be shown.
func TestWithoutRoot(t *testing.T) {
	needRoot(t) // to become somebody else
	c := newCall(t, "run", "--out", "/tmp/never").asNobody().run().want(exitFailed).says("not root", "sudo", "--dry-run")
	if _, err := os.Stat("/tmp/never"); err == nil || strings.Contains(c.stderr.String(), "[1/") {
		t.Errorf("something was done:\n%s", c.output())
	}
	dry := newCall(t, "run", "--dry-run").asNobody().run().want(0)
	for _, want := range []string{"reference/hello/qemumicrovm/boot", "process/nginx/process/boot", "cpus ", "run as root"} {
		if !strings.Contains(dry.stdout.String(), want) {
			t.Errorf("--dry-run does not say %q:\n%s", want, dry.stdout.String())
		}
	}
	newCall(t, "version").asNobody().run().want(0)
	newCall(t, "clean", "--journal-dir", t.TempDir()).asNobody().run().want(exitFailed).says("permission denied", "root")
}

// hideKVM covers /dev with a file system that has the devices that programs need,
// and no kvm.
const hideKVM = `mount -t tmpfs none /mnt
for d in null zero full random urandom tty; do touch /mnt/$d; mount --bind /dev/$d /mnt/$d; done
mkdir /mnt/net; touch /mnt/net/tun; mount --bind /dev/net/tun /mnt/net/tun
mount --move /mnt /dev`

func TestWithoutKVM(t *testing.T) {
	needRoot(t)
	needNative(t, "emulation in emulation says nothing more")
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm")
	cell := newRun(t, "--matrix", m).inPrivateMounts(hideKVM).run().want(0).cell(1)
	if cell.Accel != "tcg" || cell.Samples[0].Status != results.SampleOK {
		t.Errorf("auto without /dev/kvm: accel %s, sample %s: want tcg, ok", cell.Accel, cell.Samples[0].Status)
	}
	c := newRun(t, "--matrix", m, "--accel", "kvm").inPrivateMounts(hideKVM).run()
	cell = c.cell(0)
	if cell.Status != results.CellUnsupported && cell.Status != results.CellFailed {
		t.Errorf("--accel kvm without /dev/kvm: the cell is %s", cell.Status)
	}
	for _, want := range []string{"/dev/kvm", "modprobe"} {
		if !strings.Contains(cell.Reason, want) {
			t.Errorf("--accel kvm without /dev/kvm: reason %q does not say %q", cell.Reason, want)
		}
		if !strings.Contains(c.stdout.String(), want) {
			t.Errorf("--accel kvm without /dev/kvm: the table does not say %q:\n%s", want, c.stdout.String())
		}
	}
	if c.exit == 0 {
		t.Error("a run in which nothing could be measured ended with status 0")
	}
}

// What opens as /dev/kvm and is none is told by every command in doctor's words.
func TestNotKVM(t *testing.T) {
	needRoot(t)
	needNative(t, "emulation in emulation says nothing more")
	const bound = `mount --bind /dev/null /dev/kvm`
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm")
	cell := newRun(t, "--matrix", m, "--accel", "kvm").inPrivateMounts(bound).run().want(exitFailed).cell(0)
	if !strings.Contains(cell.Reason, "/dev/kvm opens and is not KVM") {
		t.Errorf("run: %q", cell.Reason)
	}
	newCall(t, "overhead", "--journal-dir", "/nonexistent/j").inPrivateMounts(bound).run().want(exitFailed).says("/dev/kvm opens and is not KVM")
	doctor := newCall(t, "doctor").inPrivateMounts(bound).run()
	if !strings.Contains(doctor.output(), "/dev/kvm opens and is not KVM") {
		t.Errorf("doctor:\n%s", doctor.output())
	}
}

// A cell without its VMM fails with the package to install; the others run.
func TestWithoutQEMU(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	bin := t.TempDir() // a PATH that has everything but QEMU
	for _, name := range []string{"sh"} {
		if err := os.Symlink("/bin/"+name, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	m := matrix(t, "system: reference, app: hello, platform: [qemu, qemumicrovm]", "system: process, app: hello, platform: process")
	c := newRun(t, "--matrix", m)
	c.cmd.Env = append(c.cmd.Env, "PATH="+bin)
	f := c.run().want(exitFailed).file()
	for _, cell := range f.Cells {
		if cell.Platform == "process" {
			if cell.Status != results.CellOK || len(cell.Samples) != 1 {
				t.Errorf("%s is %s with %d samples: %s", cell.Name(), cell.Status, len(cell.Samples), cell.Reason)
			}
			continue
		}
		if cell.Status != results.CellFailed || !strings.Contains(cell.Reason, "apt-get install qemu-system-x86") {
			t.Errorf("%s is %s, reason %q: want failed, with the package", cell.Name(), cell.Status, cell.Reason)
		}
	}
}
