// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// End is what the guest does after its ready line.
type End string

const (
	// EndDefault is EndHold with a network and EndHalt without.
	EndDefault End = ""
	// EndHalt halts with interrupts off; the VM stays, idle for good.
	EndHalt End = "halt"
	// EndExit asks the VMM to end: isa-debug-exit, then the keyboard
	// controller's reset, then a triple fault (QEMU needs -no-reboot).
	EndExit End = "exit"
	// EndCrash is a triple fault.
	EndCrash End = "crash"
	// EndSpin is an endless loop that never leaves the guest by itself.
	EndSpin End = "spin"
	// EndHold answers the network.
	EndHold End = "hold"
)

// Limits of the guest's command line.
const (
	// MaxMemMiB is the most memory that can be asked for.
	MaxMemMiB = 4095
	// MaxCmdlineBytes is the longest command line the guest reads.
	MaxCmdlineBytes = 2047
	// MaxCPUs is the most CPUs that can be asked for.
	MaxCPUs  = 8
	maxCount = 1<<32 - 1
)

// Cmdline is the guest's command line. The zero value prints the start, counts
// and ready lines and halts.
type Cmdline struct {
	CPUs   int // CPUs at work, the VM must have as many; 0 means 1
	PIO    int // one-byte OUTs by each CPU, number k's to PIOPort + k
	CPUID  int // CPUID instructions by each CPU
	HLT    int // HLTs by the boot CPU, each ended by a timer after HLTNs
	MemMiB int // MiB of memory written to, one write per 4 KiB page

	IP      netip.Prefix // the guest's address; the zero value means no network
	Gateway netip.Addr   // accepted for symmetry: answers go to their sender
	Port    int          // TCP port to answer; 0 means DefaultPort

	End End

	// BootTimer is where Firecracker's boot timer is told, before the ready line: a
	// port (0x3f0) or, above 0xffff, an address (0xd0000000, 0xc0000000); 0 for none.
	BootTimer int

	// SpinEarly and CrashEarly replace the ready line and what follows.
	SpinEarly, CrashEarly bool
	// CrashGP makes a crash begin with a general protection fault instead of an
	// invalid opcode. Without an interrupt table both are triple faults.
	CrashGP bool
}

// Validate says what the guest would refuse or could not read.
func (c Cmdline) Validate() error {
	for _, n := range []struct {
		name       string
		value, max int
	}{
		{"cpus", c.CPUs, MaxCPUs}, {"pio", c.PIO, maxCount}, {"cpuid", c.CPUID, maxCount}, {"hlt", c.HLT, maxCount},
		{"mem", c.MemMiB, MaxMemMiB}, {"port", c.Port, 65535}, {"boot-timer", c.BootTimer, maxCount},
	} {
		if n.value < 0 || n.value > n.max {
			return fmt.Errorf("reference guest: %s=%d: give a number from 0 to %d", n.name, n.value, n.max)
		}
	}
	if err := c.validateNetwork(); err != nil {
		return err
	}
	return c.validateEnd()
}

func (c Cmdline) validateNetwork() error {
	if c.IP == (netip.Prefix{}) {
		if c.Gateway.IsValid() || c.Port != 0 {
			return fmt.Errorf("reference guest: gw and port need ip: give the guest an address")
		}
		return nil
	}
	if !c.IP.IsValid() || !c.IP.Addr().Is4() {
		return fmt.Errorf("reference guest: ip=%s: give an IPv4 address with a prefix length", c.IP)
	}
	if c.Gateway.IsValid() && !c.Gateway.Is4() {
		return fmt.Errorf("reference guest: gw=%s: give an IPv4 address", c.Gateway)
	}
	return nil
}

func (c Cmdline) validateEnd() error {
	switch c.End {
	case EndDefault, EndHalt, EndExit, EndCrash, EndSpin:
	case EndHold:
		if c.IP == (netip.Prefix{}) {
			return fmt.Errorf("reference guest: end=hold needs ip: give the guest an address")
		}
	default:
		return fmt.Errorf("reference guest: end=%s: give halt, exit, crash, spin or hold", c.End)
	}
	if c.SpinEarly && c.CrashEarly {
		return fmt.Errorf("reference guest: spin=early and crash=early exclude each other: give one")
	}
	return nil
}

// String returns the words that the guest reads, in a fixed order, leaving out
// what is zero. Call Validate first: String writes invalid values too.
func (c Cmdline) String() string {
	var words []string
	number := func(key string, n int) {
		if n != 0 {
			words = append(words, key+"="+strconv.Itoa(n))
		}
	}
	flag := func(word string, set bool) {
		if set {
			words = append(words, word)
		}
	}
	number("cpus", c.CPUs)
	number("pio", c.PIO)
	number("cpuid", c.CPUID)
	number("hlt", c.HLT)
	number("mem", c.MemMiB)
	flag("ip="+c.IP.String(), c.IP != (netip.Prefix{}))
	flag("gw="+c.Gateway.String(), c.Gateway.IsValid())
	number("port", c.Port)
	number("boot-timer", c.BootTimer)
	flag("spin=early", c.SpinEarly)
	flag("crash=early", c.CrashEarly)
	flag("crash=gp", c.CrashGP)
	flag("end="+string(c.End), c.End != EndDefault)
	return strings.Join(words, " ")
}
