// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	com1 = 0x3f8
	lcr  = com1 + 3
	// kvm_pio's rw argument.
	pioIn, pioOut = 0, 1
)

func nativeUint64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// uart plays a guest's serial line: it fires kvm_pio with the arguments that the
// kernel's tracepoint has (rw, port, size, count, data).
type uart struct {
	*bench
	data *kernelBuffer
}

func newUART(b *bench) uart { return uart{bench: b, data: newKernelBuffer(b.t, 8)} }

func (u uart) out(port uint64, value byte) { u.t.Helper(); u.access(pioOut, port, 1, 1, value) }

func (u uart) access(rw, port, size, count uint64, value byte) {
	u.t.Helper()
	u.data.Set([]byte{value})
	u.fire("raw_tp_pio", rw, port, size, count, u.data.Addr)
}

func (u uart) print(text string) {
	u.t.Helper()
	for i := range len(text) {
		u.out(com1, text[i])
	}
}

// texts are the lines' texts, in order.
func texts(lines []Line) []string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Text)
	}
	return out
}

func TestPIOCountsAndConsole(t *testing.T) {
	b := newBench(t, 2, SVM)
	w := b.open(Target{CgroupID: ownCgroup(t), ConsolePort: com1, KVM: true})
	b.ran(w)
	u := newUART(b)

	u.print("hello\r\nwor")
	u.access(pioIn, com1+5, 1, 1, 0)
	u.access(pioOut, 0x80, 1, 1, 'x')   // not the console's
	u.access(pioOut, com1, 2, 1, 'y')   // two bytes wide: not a UART's
	u.access(pioOut, com1+8, 1, 1, 'z') // just beyond
	eventually(t, "the first line", func() bool { return len(w.Lines()) == 2 })

	lines := w.Lines()
	if diff := cmp.Diff([]string{"hello\r\n", "wor"}, texts(lines)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if lines[0].Partial || !lines[1].Partial || lines[0].Hook != HookPIO || lines[1].Hook != HookPIO {
		t.Errorf("lines %+v: the second only is partial, both are of %s", lines, HookPIO)
	}
	if lines[0].FirstNS == 0 || lines[0].FirstNS >= lines[0].LastNS || lines[0].LastNS >= lines[1].FirstNS {
		t.Errorf("times of %+v do not rise", lines)
	}
	c := countsOf(t, w)
	want := map[Port]uint64{{com1, true}: 11, {com1 + 5, false}: 1, {0x80, true}: 1, {com1 + 8, true}: 1}
	if diff := cmp.Diff(want, c.Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if c.Values["pio_out"] != 13 || c.Values["pio_in"] != 1 || len(c.Lost) != 0 {
		t.Errorf("counts %v, lost %v: want 13 out, 1 in, none lost", c.Values, c.Lost)
	}
}

func TestPIODivisorLatchIsNotText(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(Target{CgroupID: ownCgroup(t), ConsolePort: com1, KVM: true})
	u := newUART(b)
	u.out(lcr, 0x83) // DLAB: the port is a divisor now
	u.out(com1, 1)
	u.out(com1+1, 0)
	u.out(lcr, 0x03)
	u.print("ok\n")
	eventually(t, "the line", func() bool { return len(w.Lines()) > 0 })
	if diff := cmp.Diff([]string{"ok\n"}, texts(w.Lines())); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if got := countsOf(t, w).Ports[Port{com1, true}]; got != 4 {
		t.Errorf("%d accesses to the port, want 4: the divisor's counts, it is only no text", got)
	}
}

func TestPIOLongLineIsCut(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(Target{CgroupID: ownCgroup(t), ConsolePort: com1, KVM: true})
	u := newUART(b)
	long := strings.Repeat("0123456789abcdef", maxLine/16)
	u.print(long + "tail\n")
	eventually(t, "both pieces", func() bool { return len(w.Lines()) == 2 })
	if diff := cmp.Diff([]string{long, "tail\n"}, texts(w.Lines())); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestPIOLost(t *testing.T) {
	tests := []struct {
		name string
		fire func(uart)
		text []string
		lost map[string]uint64
		outs uint64
	}{
		{"string output shows its first element only", func(u uart) {
			u.access(pioOut, com1, 1, 5, 'a')
			u.out(com1, '\n')
		}, []string{"a\n"}, map[string]uint64{"console_bytes": 4}, 6},
		{"unreadable data", func(u uart) {
			u.fire("raw_tp_pio", pioOut, com1, 1, 3, 8)
			u.print("b\n")
		}, []string{"b\n"}, map[string]uint64{"console_bytes": 3}, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 1, SVM)
			w := b.open(Target{CgroupID: ownCgroup(t), ConsolePort: com1, KVM: true})
			b.ran(w)
			tt.fire(newUART(b))
			eventually(t, "the line", func() bool { return len(w.Lines()) == 1 })
			c := countsOf(t, w)
			if diff := cmp.Diff(tt.text, texts(w.Lines())); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.lost, c.Lost); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
			if c.Values["pio_out"] != tt.outs {
				t.Errorf("pio_out %d, want %d", c.Values["pio_out"], tt.outs)
			}
		})
	}
}

// TestPIOPortTableOverflows: a guest may touch 256 ports; what it does with others
// is counted as lost, and takes nothing from the next guest.
func TestPIOPortTableOverflows(t *testing.T) {
	const fit, more = 256, 100
	b := newBench(t, 2, SVM)
	w := b.open(Target{CgroupID: ownCgroup(t), KVM: true})
	b.ran(w)
	defer func() {
		closeWatch(t, w)
		next := b.open(Target{CgroupID: ownCgroup(t), KVM: true})
		b.ran(next)
		b.fire("raw_tp_pio", pioOut, 0x80, 1, 1, 0)
		if c := countsOf(t, next); len(c.Ports) != 1 || len(c.Lost) != 0 {
			t.Errorf("the next guest: ports %v, lost %v: want its own", c.Ports, c.Lost)
		}
	}()
	for port := range uint64(fit + more) {
		b.fire("raw_tp_pio", pioOut, port, 1, 1, 0)
	}
	c := countsOf(t, w)
	var inTable uint64
	for _, n := range c.Ports {
		inTable += n
	}
	if c.Values["pio_out"] != fit+more || inTable+c.Lost["pio_ports"] != fit+more || inTable != fit {
		t.Errorf("pio_out %d, in the table %d, lost %v: want %d = %d + %d", c.Values["pio_out"], inTable, c.Lost, fit+more, fit, more)
	}
}

// TestPIONothingOfOthers: accesses outside the cgroup are only a sign of life.
func TestPIONothingOfOthers(t *testing.T) {
	b := newBench(t, 1, SVM)
	_, _, other := freshCgroup(t)
	w := b.open(Target{CgroupID: other, ConsolePort: com1, KVM: true})
	b.ran(w)
	newUART(b).print("not yours\n")
	c := countsOf(t, w)
	if n, ok := c.Values["pio_out"]; !ok || n != 0 || len(c.Ports) != 0 || len(w.Lines()) != 0 {
		t.Errorf("counts %v, ports %v, lines %v: want a proven 0", c.Values, c.Ports, w.Lines())
	}
	if _, ok := c.Values["kvm_exits"]; ok {
		t.Errorf("kvm_exits is counted though its hook never fired: %v", c.Values)
	}
}
