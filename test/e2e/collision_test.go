// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ukprobe/ukprobe/results"
)

// A run's namespace is named by its start and its seed: one of that name is in
// the way for one second. It is left alone, and the error says what to do.
func TestNamespaceAlreadyThere(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	needProgram(t, "ip", "iproute2")
	c := newRun(t, "--only", "system=process,app=hello", "--samples", "1", "--warmup", "0")
	made := map[string]bool{}
	t.Cleanup(func() { // before the check that nothing is left
		for name := range made {
			_ = exec.Command("ip", "netns", "delete", name).Run()
		}
	})
	for s := range 4 * int(patience(time.Second)/time.Second) {
		at := time.Now().Add(time.Duration(s) * time.Second).UTC().Format("20060102-150405")
		name := fmt.Sprintf("ukprobe-%s%s", at, c.mark())
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Fatalf("ip netns add: %v: %s", err, out)
		}
		made[name] = true
	}
	c.run().want(exitFailed).says("network namespace ukprobe-", "is already there", "ukprobe clean").noFile()
	for name := range made {
		if _, err := os.Stat("/run/netns/" + name); err != nil {
			t.Errorf("somebody else's namespace is gone: %v", err)
		}
	}
}

// Names of taps are private to a run's namespace: one of that name on the host
// itself is in nobody's way, and stays.
func TestTapOfThatNameOnTheHost(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "uktap0"
	tap := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP}
	if err := netlink.LinkAdd(tap); err != nil {
		t.Skipf("cannot make a tap on the host: %v", err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(tap) })
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm")
	c := newRun(t, "--matrix", m).run().want(0)
	checkOK(t, c.file(), c.cell(1).Samples[0])
	if l, err := netlink.LinkByName("uktap0"); err != nil || l.Attrs().Index != tap.Index {
		t.Errorf("the host's own uktap0 is gone: %v", err)
	}
}

// Two runs at once have the same names of taps and the same addresses, each in
// its own namespace. Both succeed, and neither counts anything of the other.
func TestTwoRunsAtOnce(t *testing.T) {
	needRoot(t)
	needKVM(t)
	args := func(pio int) []string {
		m := matrix(t, fmt.Sprintf("system: reference, app: http, platform: qemumicrovm, accel: kvm, args: 'pio=%d'", pio))
		return []string{"--matrix", m, "--samples", "3"}
	}
	pios := []int{111, 2222}
	calls := []*call{newRun(t, args(pios[0])...), newRun(t, args(pios[1])...)}
	for _, c := range calls {
		c.start()
	}
	var spans [2][2]time.Time
	for i, c := range calls {
		cell := c.wait(patience(time.Minute)).want(0).cell(3)
		for _, s := range cell.Samples {
			checkOK(t, c.file(), s)
			checkOrder(t, s, results.EventFrameOut, results.EventSynAck, results.EventFirstResponse)
			if n := s.Values["pio_out_port_0x5f0"]; n != float64(pios[i]) {
				t.Errorf("run %d counted %v port writes, want %d", i, n, pios[i])
			}
			if got, want := consoleOuts(s), float64(7+textBytes(s)); got != want {
				t.Errorf("run %d counted %v console OUTs, want %v", i, got, want)
			}
		}
		run := c.file().Run
		spans[i] = [2]time.Time{run.Started, *run.Finished}
	}
	if spans[0][1].Before(spans[1][0]) || spans[1][1].Before(spans[0][0]) {
		t.Errorf("the two runs were not at the same time: %v", spans)
	}
}
