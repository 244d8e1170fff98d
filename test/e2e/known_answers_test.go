// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/results"
)

// The question that the reference guest is asked, and that it answers exactly.
var asked = reference.Cmdline{PIO: 1000, CPUID: 500, HLT: 20}

// attachment is one way to attach, with the rung that KVM's hooks must then have.
type attachment struct {
	name   string
	flags  []string
	rung   string // of the hooks in kvmHooks; "" for whatever the ladder gives
	inside bool   // needs kprobes or fentry on KVM
	types  bool   // needs the types of KVM's modules
}

var attachments = []attachment{
	{name: "auto"},
	{name: "tp_btf", flags: []string{"--attach", "tp_btf"}, rung: "tp_btf", types: true},
	{name: "raw_tp", flags: []string{"--attach", "raw_tp"}, rung: "raw_tp"},
	{name: "tracepoint", flags: []string{"--attach", "tracepoint"}, rung: "tracepoint"},
	{name: "kprobe strict", flags: []string{"--attach", "kprobe", "--strict"}, rung: "kprobe", inside: true, types: true},
	{name: "fentry strict", flags: []string{"--attach", "fentry", "--strict"}, rung: "fentry", inside: true, types: true},
}

// kvmHooks exist on every rung, and are where the counts come from.
var kvmHooks = []string{"kvm_entry", "kvm_exit", "kvm_userspace_exit", "kvm_pio", "kvm_cpuid", "kvm_halt"}

// TestKnownAnswers boots the reference guest on each rung: every count is what
// the guest was told to do, exactly, and the counts of all rungs are equal.
func TestKnownAnswers(t *testing.T) {
	needRoot(t)
	needKVM(t)
	first := map[string]map[string]float64{} // rung → counts that all must have
	for _, a := range attachments {
		t.Run(a.name, func(t *testing.T) {
			if a.inside {
				needHostVM(t, "this kernel has no "+a.rung+" on KVM's functions")
			}
			if a.types && !modulesHaveTypes() {
				t.Skip("needs the types of KVM's modules (Linux 5.11)")
			}
			// What the firmware does counts differently on different rungs of old kernels.
			base := boot(t, reference.Cmdline{}, 1, a.flags).Cells[0].Samples[0]
			checkAnswers(t, reference.Cmdline{}, base, base)
			f := boot(t, asked, 2, a.flags)
			checkAttachment(t, a, f)
			for _, s := range f.Cells[0].Samples {
				checkOK(t, f, s)
				checkReferenceTimeline(t, s)
				checkAnswers(t, asked, s, base)
				if first[a.name] == nil {
					first[a.name] = steady(s)
				} else if diff := gocmp.Diff(first[a.name], steady(s)); diff != "" {
					t.Errorf("two samples of one guest (-first +second):\n%s", diff)
				}
			}
		})
	}
	for name, counts := range first {
		if diff := gocmp.Diff(first["auto"], counts); diff != "" {
			t.Errorf("the counts on auto and on %s differ (-auto +%s):\n%s", name, name, diff)
		}
	}
}

// modulesHaveTypes reports whether KVM's types are known: of its module, or of a
// kernel that has it built in.
func modulesHaveTypes() bool {
	if _, err := os.Stat("/sys/module/kvm/initstate"); err != nil { // only modules have it
		return true
	}
	_, err := os.Stat("/sys/kernel/btf/kvm")
	return err == nil
}

// boot runs the reference guest n times.
func boot(t *testing.T, c reference.Cmdline, n int, flags []string) *results.File {
	t.Helper()
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: kvm, args: '"+c.String()+"'")
	call := newRun(t, append([]string{"--matrix", m, "--samples", itoa(n)}, flags...)...).run().want(0)
	call.cell(n)
	return call.file()
}

func checkAttachment(t *testing.T, a attachment, f *results.File) {
	t.Helper()
	for _, hook := range kvmHooks {
		if hook == "kvm_exit" && (!inside() || !modulesHaveTypes()) {
			continue // of a KVM that only emulates: never fires; and where there are no types it is the tracepoint
		}
		if r := f.Host.Rungs[hook]; a.rung != "" && r.Rung != a.rung {
			t.Errorf("%s is attached by %q, want %s: %s", hook, r.Rung, a.rung, r.Reason)
		} else if r.Rung == "" {
			t.Errorf("%s is not attached: %s", hook, r.Reason)
		}
	}
}

// checkReferenceTimeline: on microvm with a NIC under KVM the guest shows every
// event that a guest without a service can.
func checkReferenceTimeline(t *testing.T, s results.Sample) {
	t.Helper()
	checkOrder(t, s, results.EventVMMExec, results.EventVMCreated, results.EventVCPUCreated, results.EventFirstRun,
		results.EventGuestEntry, results.EventFirmwareEnd, results.EventConsoleFirst, results.EventFrameOut,
		results.EventConsoleReady, results.EventIdle, results.EventVMMExit)
	checkAbsent(t, s, results.EventSynAck, "no service port")
	checkAbsent(t, s, results.EventFirstResponse, "no service port")
	if s.Phases.VMMNs == nil || s.Phases.FirmwareNs == nil || s.Phases.GuestNs == nil {
		t.Errorf("phases are missing: %+v", s.Phases)
	}
}

// checkAnswers holds the probes' counts against what the guest was told, what it
// says of itself, and the contract's fixed overheads. base is a guest that was
// told nothing: it has the firmware's own CPUIDs.
func checkAnswers(t *testing.T, c reference.Cmdline, s, base results.Sample) {
	t.Helper()
	says := counts(t, s)
	want := map[string]float64{
		"pio_out_port_0x5f0": float64(c.PIO),
		"cpuid":              base.Values["cpuid"] + float64(c.CPUID),
		"halts":              float64(c.HLT) + 1, // the last one is for good
		"console outs":       float64(reference.ConsoleSetupOuts + textBytes(s)),
		"frames_out":         1, // the ARP announcement
		"tap_frames_out":     1,
		"bytes_out":          42,
		"pio_out":            sumOf(s, "pio_out_port_"),
		"pio_in":             sumOf(s, "pio_in_port_"),
		"guest's pio":        float64(c.PIO),
		"guest's cpuid":      float64(c.CPUID),
		"guest's hlt":        float64(c.HLT),
		"guest's frames":     1,
	}
	got := map[string]float64{
		"console outs": consoleOuts(s), "guest's pio": float64(says.PIO), "guest's cpuid": float64(says.CPUID),
		"guest's hlt": float64(says.HLT), "guest's frames": float64(says.FramesOut),
	}
	for name := range want {
		if v, ok := s.Values[name]; ok {
			got[name] = v
		}
	}
	if c.PIO == 0 {
		delete(want, "pio_out_port_0x5f0") // a port that nobody touched is not in the table
	}
	if inside() {
		exitAnswers(s, c, base, want, got)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// exitAnswers adds what only a KVM with hardware behind it shows: as many entries as
// exits, and every exit with its reason.
func exitAnswers(s results.Sample, c reference.Cmdline, base results.Sample, want, got map[string]float64) {
	want["kvm_entries"] = s.Values["kvm_exits"]
	want["kvm_exits"] = sumOf(s, "kvm_exits_")
	want["kvm_exits_cpuid"] = base.Values["kvm_exits_cpuid"] + float64(c.CPUID)
	want["kvm_exits_hlt"] = float64(c.HLT) + 1
	// Each OUT and IN that a device in user space takes is one exit to it.
	want["kvm_userspace_exits_io"] = s.Values["kvm_exits_io"]
	for name := range want {
		if v, ok := s.Values[name]; ok {
			got[name] = v
		}
	}
}

// steady are the counts that must be the same on every rung and in every
// sample. Left out or corrected is what differs from boot to boot for reasons of
// the guest or of the host: the digits of the TSC on the console (one OUT each),
// and exits because of the host's interrupts.
func steady(s results.Sample) map[string]float64 {
	out := maps.Clone(s.Values)
	for _, name := range []string{"pio_out", "pio_out_port_0x3f8", "kvm_userspace_exits", "kvm_userspace_exits_io", "kvm_exits_io"} {
		if _, ok := out[name]; ok {
			out[name] -= float64(textBytes(s))
		}
	}
	// What the VMM reads from disk is up to what else the host's page cache has to hold.
	for _, name := range []string{"kvm_entries", "kvm_exits", "kvm_exits_external_interrupt", "kvm_exits_interrupt_window", "disk_read_bytes", "major_faults"} {
		delete(out, name)
	}
	if !modulesHaveTypes() {
		// Linux 5.10: by tracepoint a CPUID of the VMM's own counts too, and how often
		// memory is given differs by one from boot to boot.
		for _, name := range []string{"cpuid", "kvm_exits_nested_page_fault"} {
			delete(out, name)
		}
	}
	// A zero is given only once the hook has fired for anybody on the host, which
	// other work decides. Times and shares are no counts.
	maps.DeleteFunc(out, func(name string, n float64) bool {
		return n == 0 || strings.HasSuffix(name, "_ns") || strings.HasSuffix(name, "_percent")
	})
	return out
}

// counts is the guest's own account.
func counts(t *testing.T, s results.Sample) reference.Counts {
	t.Helper()
	for _, l := range s.Console {
		if strings.HasPrefix(l.Text, "ukprobe-reference: counts") {
			c, err := reference.ParseCounts(l.Text)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	t.Fatalf("no line of counts on the console: %+v", s.Console)
	return reference.Counts{}
}

// textBytes is how many bytes of text the guest wrote on its console.
func textBytes(s results.Sample) int {
	n := 0
	for _, l := range s.Console {
		n += len(l.Text) + 1
	}
	return n
}

// consoleOuts is how many OUTs went to the eight ports of the console.
func consoleOuts(s results.Sample) float64 {
	var n float64
	for port := reference.COM1; port < reference.COM1+8; port++ {
		n += s.Values["pio_out_port_0x"+hex(port)]
	}
	return n
}

func sumOf(s results.Sample, prefix string) float64 {
	var sum float64
	for name, v := range s.Values {
		if strings.HasPrefix(name, prefix) {
			sum += v
		}
	}
	return sum
}
