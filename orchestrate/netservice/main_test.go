// SPDX-License-Identifier: Apache-2.0

package netservice

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/network"
)

// newLab makes a lab with both servers in it.
func newLab(t *testing.T) (*network.Lab, *Server) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	run := fmt.Sprintf("nstest-%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)
	j, err := journal.Open(t.TempDir(), run)
	if err != nil {
		t.Fatal(err)
	}
	lab, err := network.NewLab(j, run)
	if err != nil {
		t.Fatal(errors.Join(err, j.Close()))
	}
	s, err := Start(lab)
	if err != nil {
		t.Fatal(errors.Join(err, lab.Close(), j.Close()))
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), lab.Close(), j.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return lab, s
}

// newVeth makes a wire whose far end is up and has no address, as a guest's is.
func newVeth(t *testing.T, lab *network.Lab) *network.Veth {
	t.Helper()
	v, err := lab.Veth(network.VethOptions{Down: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	if out, err := in(v, "ip", "link", "set", "eth0", "up"); err != nil {
		t.Fatal(err, out)
	}
	return v
}

// in runs a command at the far end of a wire.
func in(v *network.Veth, name string, args ...string) (string, error) {
	var out []byte
	err := v.Do(func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	return string(out), err
}

func busybox(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox: apt-get install busybox-static")
	}
	return path
}

// script is what udhcpc runs when it knows something: it writes that down, and sets
// the interface up as Debian's own script does.
const script = `#!/bin/sh
set -e
echo "$1 ip=$ip subnet=$subnet router=$router dns=$dns serverid=$serverid lease=$lease hostname=$hostname domain=$domain" >> "$0.log"
case $1 in
bound|renew) ip addr replace "$ip/$mask" dev "$interface" ;;
deconfig) ip addr flush dev "$interface" ;;
esac
`

// udhcpc asks for an address, and returns what it was told.
func udhcpc(t *testing.T, v *network.Veth, args ...string) (log, out string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "udhcpc.script")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	argv := append([]string{"udhcpc", "-i", "eth0", "-s", path, "-f", "-n", "-q", "-t", "3", "-T", "1"}, args...)
	out, err = in(v, busybox(t), argv...)
	text, _ := os.ReadFile(path + ".log")
	return strings.TrimSpace(string(text)), out, err
}
