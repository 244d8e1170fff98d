// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/bpf"
)

// expected are the events that a timeline either has or accounts for, if a guest
// like it has them at all.
var expected = []string{
	EventRuntimeExec, EventVMMExec, EventVMCreated, EventVCPUCreated, EventFirstRun, EventGuestEntry, EventOptionROM, EventFirmwareEnd,
	EventDecompress, EventKernel, EventConsoleFirst, EventConsoleReady, EventFrameOut, EventSYNACK, EventFirstResponse, EventIdle, EventVMMExit,
}

// kvmEvents exist only for guests that run under KVM.
var kvmEvents = map[string]bool{
	EventVMCreated: true, EventVCPUCreated: true, EventFirstRun: true, EventGuestEntry: true,
	EventOptionROM: true, EventFirmwareEnd: true, EventDecompress: true, EventKernel: true, EventIdle: true,
}

// missing gives a reason for each expected event that the timeline lacks.
func (w *Watch) missing(t Timeline) []Missing {
	var out []Missing
	for _, name := range expected {
		if _, ok := t.At(name); !ok && w.target.Has(name) {
			out = append(out, Missing{Name: name, Reason: w.whyMissing(t, name)})
		}
	}
	return out
}

func (w *Watch) whyMissing(t Timeline, name string) string {
	switch {
	case kvmEvents[name] && !w.target.KVM:
		return "not under KVM: the host kernel does not see it"
	case name == EventConsoleReady && w.target.Ready == nil:
		return "not looked for: this app is ready at its first response"
	case name == EventConsoleFirst || name == EventConsoleReady:
		return w.whyNoConsole(name)
	case (name == EventSYNACK || name == EventFirstResponse) && w.target.ServicePort == 0:
		return "the app has no service port"
	case name == EventFrameOut && w.device() == nil:
		return "the guest has no network device"
	case name == EventFirmwareEnd && len(w.target.Image) == 0:
		return "the image's load segments are not known"
	case name == EventOptionROM:
		return w.whyNoOptionROM()
	case name == EventIdle && !t.Ready():
		return "the guest did not become ready"
	}
	hooks := slices.DeleteFunc(slices.Clone(eventHooks[name]), func(hook string) bool {
		return hook == HookRIP && w.p.state(hook) == nil // of no use on this ISA
	})
	if name == EventIdle && w.target.IdlePort != 0 {
		hooks = append(hooks, HookPIO)
	}
	return w.whySilent(hooks)
}

// whyNoOptionROM tells apart the hooks that could have seen one and those that
// cannot on their rung.
func (w *Watch) whyNoOptionROM() string {
	var able, parts, blind []string
	for _, name := range eventHooks[EventOptionROM] {
		rung := w.rungOf(name)
		switch {
		case rung == "" && name == HookRIP: // only for want of the others
		case rung == "" || linear(name, rung, w.p.isa):
			able = append(able, name)
		default:
			blind = append(blind, fmt.Sprintf("%s by %s", name, rung))
		}
	}
	if len(able) > 0 {
		parts = append(parts, w.whySilent(able))
	}
	if len(blind) > 0 {
		parts = append(parts, strings.Join(blind, ", ")+": without the code segment's base, by which addresses in real mode are known")
	}
	return strings.Join(parts, "; ")
}

func (w *Watch) whyNoConsole(name string) string {
	hook := HookPIO
	if w.target.ConsoleWrite {
		hook = HookSyscall
	} else if w.target.ConsolePort == 0 {
		return "the guest has no console"
	}
	if name == EventConsoleReady {
		w.mu.Lock()
		n := len(w.console.Lines)
		w.mu.Unlock()
		if n > 0 {
			return fmt.Sprintf("none of %d console lines matched %q", n, w.target.Ready)
		}
	}
	return w.whySilent([]string{hook})
}

// whySilent explains hooks that gave nothing: not attached, never fired on this
// host, or alive but silent for this guest. Only the last is a finding about
// the guest.
func (w *Watch) whySilent(names []string) string {
	var parts []string
	for _, name := range names {
		parts = append(parts, w.p.whySilent(name, w.device()))
	}
	return strings.Join(parts, "; ")
}

func (p *Probe) whySilent(name string, dev *Device) string {
	if name == HookTCIn || name == HookTCOut {
		if dev == nil {
			return name + ": no device is watched"
		}
		id := map[string]bpf.KVMHook{HookTCIn: bpf.KVMHookHOOK_TC_IN, HookTCOut: bpf.KVMHookHOOK_TC_OUT}[name]
		if p.hits(id) == 0 {
			return fmt.Sprintf("%s: attached by %s, but no frame has passed it yet", name, dev.Rung)
		}
		return name + ": alive, but no such frame came"
	}
	s := p.state(name)
	switch {
	case s == nil || s.rung == "":
		why := ""
		if s != nil && len(s.refused) > 0 {
			why = " (" + s.refused[0].Reason + ")"
		}
		return name + ": not attached" + why
	case p.hits(s.hook.id) == 0:
		return fmt.Sprintf("%s: attached by %s, but has never fired on this host", name, s.rung)
	}
	return name + ": alive, but did not happen in this guest"
}
