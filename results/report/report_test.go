// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/results"
)

func ns(v int64) *int64 { return &v }

// boot is an ok sample whose phases have the given lengths in µs; a phase of
// length 0 is missing.
func boot(vmm, firmware, guest int64) results.Sample {
	s := results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: ns((vmm + firmware + guest) * 1000)}}
	at := int64(7_000_000_000_000)
	event := func(name string, after int64, rung, hook string) {
		at += after * 1000
		s.Events = append(s.Events, results.Event{Name: name, NS: at, Rung: rung, Hook: hook})
	}
	event(results.EventVMMExec, 0, "tp_btf", "sched_process_exec")
	if vmm > 0 {
		s.Phases.VMMNs = ns(vmm * 1000)
		event(results.EventVMCreated, vmm/2, "fentry", "kvm_dev_ioctl")
		event(results.EventGuestEntry, vmm-vmm/2, "tp_btf", "kvm_entry")
	}
	if firmware > 0 {
		s.Phases.FirmwareNs = ns(firmware * 1000)
		event(results.EventFirmwareEnd, firmware, "tp_btf", "kvm_exit")
	}
	s.Phases.GuestNs = ns(guest * 1000)
	event(results.EventConsoleReady, guest, "tp_btf", "kvm_pio")
	s.Missing = []results.Missing{
		{Name: results.EventIdle, Reason: "the guest was ended when it was ready"},
		{Name: results.EventFrameOut, Reason: "the platform has no network device, so that there is no interface on which a frame could have been seen"},
	}
	return s
}

// bootKernel is an ok sample of a bzImage behind an option ROM, lengths in µs. The
// decompressor is missing if its length is 0.
func bootKernel(vmm, bios, rom, setup, decompress, kernel int64) results.Sample {
	s := boot(vmm, bios+rom, setup+decompress+kernel)
	s.Phases.BIOSNs, s.Phases.OptionROMNs, s.Phases.KernelNs = ns(bios*1000), ns(rom*1000), ns(kernel*1000)
	at := int64(7_000_000_000_000) + (vmm+bios)*1000
	event := func(name string, after int64) {
		at += after * 1000
		s.Events = append(s.Events, results.Event{Name: name, NS: at, Rung: "tp_btf", Hook: "kvm_exit"})
	}
	event(results.EventOptionROM, 0)
	if decompress > 0 {
		s.Phases.SetupNs, s.Phases.DecompressNs = ns(setup*1000), ns(decompress*1000)
		event(results.EventDecompress, rom+setup)
		event(results.EventKernel, decompress)
	} else {
		event(results.EventKernel, rom+setup)
		s.Missing = append(s.Missing, results.Missing{Name: results.EventDecompress, Reason: "kvm_exit: alive, but did not happen in this guest"})
	}
	return s
}

func testFile() *results.File {
	cell := func(system, app, platform, accel string) results.Cell {
		return results.Cell{System: system, App: app, Platform: platform, Experiment: "boot", Accel: accel, Status: results.CellOK}
	}
	ref := cell("reference", "hello", "qemu", "kvm")
	ref.Firmware = "seabios"
	for i := range int64(10) {
		s := boot(41_200+100*i, 12_030+10*i, 812+i)
		s.Phases.BIOSNs, s.Phases.OptionROMNs = ns(11_000_000+10_000*i), ns(1_030_000)
		ref.Samples = append(ref.Samples, s)
	}
	ref.Samples[3].Taints = []string{"foreign task on cpu 1", "steal"}
	ref.Samples[5].Taints = []string{"steal"}

	micro := cell("reference", "hello", "qemumicrovm", "kvm")
	micro.Firmware = "qboot"
	micro.Reason = "1 of 3 samples not ok, the last one: timeout: not ready after 30s"
	micro.Samples = []results.Sample{boot(9_000, 0, 1_200), boot(9_100, 0, 1_234), {Status: results.SampleTimeout, Reason: "not ready after 30s"}}
	micro.Samples[1].Events[3-1].Rung = "kprobe"
	micro.Settings = &results.Settings{TimeoutNs: 30e9}

	broken := cell("reference", "hello", "qemu1nic", "kvm")
	broken.Status, broken.Reason = results.CellFailed, "KVM internal error\x1b[31m\nsuberror 1"
	broken.Samples = []results.Sample{{Status: results.SampleFailed, Reason: "KVM internal error\x1b[31m\nsuberror 1",
		Events:  []results.Event{{Name: results.EventVMCreated, NS: 5_000_000, Rung: "kprobe", Hook: "kvm_dev_ioctl"}, {Name: results.EventVMMExit, NS: 7_500_000, Rung: "tracepoint", Hook: "sched_process_exit"}},
		Missing: []results.Missing{{Name: results.EventVMMExec, Reason: "the ring buffer was full"}}}}

	linux := cell("linux", "nginx", "qemu1nic", "tcg")
	for i := range int64(6) {
		linux.Samples = append(linux.Samples, boot(120_000+i, 900_000+i*1000, 2_345_000+i*7000))
	}
	bz := cell("linux", "hello", "qemu", "kvm")
	bz.Firmware = "seabios"
	for i := range int64(7) {
		bz.Samples = append(bz.Samples, bootKernel(41_000, 9_000+i*10, 1_200, 300, 79_000+i*100, 120_000+i*1000))
	}
	blind := cell("linux", "nginx", "qemu", "kvm")
	blind.Firmware = "seabios"
	blind.Samples = []results.Sample{bootKernel(41_000, 9_000, 1_200, 300, 0, 150_000)}
	absent := cell("linux", "hello", "firecracker", "tcg")
	absent.Status, absent.Reason = results.CellUnsupported, "no firecracker in PATH: install it or leave the cell out with --only"

	process := cell("process", "nginx", "process", "none")
	for range 6 {
		process.Samples = append(process.Samples, boot(0, 0, 950))
	}
	f := &results.File{Cells: []results.Cell{ref, linux, broken, micro, absent, process, bz, blind}}
	for i := range f.Cells {
		f.Cells[i].Summary = f.Cells[i].Summarize()
	}
	return f
}

var variants = map[string]Options{
	"utf8":  {},
	"ascii": {ASCII: true},
	"color": {Color: true},
}

func TestTable(t *testing.T) {
	for name, o := range variants {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Table(&b, testFile(), o); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "table_"+name+".txt", b.String())
			checkOutput(t, b.String(), o)
		})
	}
}

func TestTimeline(t *testing.T) {
	for name, o := range variants {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			f := testFile()
			for i := range f.Cells {
				if err := Timeline(&b, &f.Cells[i], o); err != nil {
					t.Fatal(err)
				}
				b.WriteByte('\n')
			}
			golden.Check(t, "timeline_"+name+".txt", b.String())
			checkOutput(t, b.String(), o)
		})
	}
}

// checkOutput checks what holds for every output: 80 columns, no escape
// sequence unless asked for, none that came with the data.
func checkOutput(t *testing.T, out string, o Options) {
	t.Helper()
	for line := range strings.Lines(out) {
		if n := text.StringWidthWithoutEscSequences(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if !o.Color && strings.Contains(out, "\x1b") {
		t.Error("an escape sequence without colour")
	}
	if o.ASCII && strings.ContainsFunc(out, func(r rune) bool { return r > 127 }) {
		t.Error("more than ASCII")
	}
}

func TestEmpty(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, &results.File{}, Options{}); err != nil || b.String() != "The run has no cells.\n" {
		t.Errorf("%v, %q", err, b.String())
	}
	b.Reset()
	c := results.Cell{System: "a", App: "b", Platform: "c", Status: "skipped", Reason: "not started"}
	if err := Timeline(&b, &c, Options{}); err != nil || b.String() != "a/b on c: no sample, skipped: not started\n" {
		t.Errorf("%v, %q", err, b.String())
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWriteErrors(t *testing.T) {
	f := testFile()
	for _, err := range []error{Table(brokenWriter{}, f, Options{}), Timeline(brokenWriter{}, &f.Cells[0], Options{})} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("err = %v", err)
		}
	}
}

func TestPickSample(t *testing.T) {
	totals := func(ts ...int64) *results.Cell {
		c := &results.Cell{}
		for _, v := range ts {
			s := results.Sample{Status: results.SampleFailed}
			if v > 0 {
				s = boot(0, 0, v)
			}
			c.Samples = append(c.Samples, s)
		}
		return c
	}
	tests := []struct {
		cell   *results.Cell
		at     int
		median bool
	}{
		{totals(), -1, false},
		{totals(5), 0, true},
		{totals(9, 1, 5), 2, true},
		{totals(9, 1, 5, 7), 2, true},
		{totals(9, 0, 5, 0, 7), 4, true},
		{totals(0, 0), 1, false},
	}
	for i, tt := range tests {
		if at, median := pickSample(tt.cell); at != tt.at || median != tt.median {
			t.Errorf("%d: sample %d, %v; want %d, %v", i, at, median, tt.at, tt.median)
		}
	}
}

// TestPieces: parts are drawn in place of their whole where they are all there.
func TestPieces(t *testing.T) {
	tests := []struct {
		name   string
		phases results.Phases
		want   map[string]int64
	}{
		{"nothing", results.Phases{}, map[string]int64{}},
		{"wholes", results.Phases{VMMNs: ns(1), FirmwareNs: ns(2), GuestNs: ns(3), TotalNs: ns(6)},
			map[string]int64{"VMM": 1, "SeaBIOS": 2, "guest": 3}},
		{"a unikernel's", results.Phases{VMMNs: ns(1), FirmwareNs: ns(5), BIOSNs: ns(2), OptionROMNs: ns(3), GuestNs: ns(3), TotalNs: ns(9)},
			map[string]int64{"VMM": 1, "SeaBIOS": 2, "option ROM": 3, "guest": 3}},
		{"a bzImage's", results.Phases{GuestNs: ns(6), SetupNs: ns(1), DecompressNs: ns(2), KernelNs: ns(3), TotalNs: ns(10)},
			map[string]int64{"setup": 1, "decompress": 2, "kernel": 3, "in no phase": 4}},
		{"without the setup", results.Phases{GuestNs: ns(5), DecompressNs: ns(2), KernelNs: ns(3)}, map[string]int64{"decompress": 2, "kernel": 3}},
		{"a vmlinux's", results.Phases{GuestNs: ns(5), KernelNs: ns(5)}, map[string]int64{"kernel": 5}},
		{"a part missing", results.Phases{GuestNs: ns(9), KernelNs: ns(3)}, map[string]int64{"guest": 9}},
		{"never ready", results.Phases{FirmwareNs: ns(2), SetupNs: ns(1), DecompressNs: ns(4)}, map[string]int64{"SeaBIOS": 2, "setup": 1, "decompress": 4}},
	}
	for _, tt := range tests {
		got := map[string]int64{}
		for _, s := range pieces(tt.phases, firmwareName("seabios")) {
			got[s.name] = s.ns
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	marks := map[string]string{}
	all := pieces(results.Phases{VMMNs: ns(1), FirmwareNs: ns(2), BIOSNs: ns(1), OptionROMNs: ns(1), GuestNs: ns(3), SetupNs: ns(1), DecompressNs: ns(1), KernelNs: ns(1), TotalNs: ns(7)}, "")
	for _, s := range all {
		for _, mark := range []string{s.utf8, s.ascii} {
			if other, taken := marks[mark]; taken {
				t.Errorf("%s and %s have the same mark %s", s.name, other, mark)
			}
			marks[mark] = s.name
		}
	}
	if len(all) != 7 {
		t.Errorf("%d pieces: %+v", len(all), all)
	}
}

func TestShare(t *testing.T) {
	for _, tt := range []struct {
		ns      []int64
		columns int
		want    []int
	}{
		{[]int64{1}, 80, []int{80}},
		{[]int64{1, 1}, 80, []int{40, 40}},
		{[]int64{1, 1_000_000_000}, 80, []int{1, 79}},
		{[]int64{1, 1, 1}, 80, []int{27, 27, 26}},
		{[]int64{1, 1 << 62, 1, 1}, 20, []int{1, 17, 1, 1}},
	} {
		segs := make([]segment, len(tt.ns))
		for i, v := range tt.ns {
			segs[i].ns = v
		}
		share(segs, tt.columns)
		got := []int{}
		for _, s := range segs {
			got = append(got, s.columns)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%v: -want +got:\n%s", tt.ns, d)
		}
	}
}

func TestDuration(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0 ns", 999: "999 ns", 1000: "1.00 µs", 12_345: "12.3 µs", 999_400: "999 µs",
		1_234_567: "1.23 ms", 56_789_012: "56.8 ms", 456_789_012: "457 ms", 9_996_000: "10.0 ms", 12e9: "12.0 s", 3600e9: "3600 s",
	} {
		if got := (Options{}).duration(v); got != want {
			t.Errorf("%v ns: %q, want %q", v, got, want)
		}
	}
}

func TestOptionsFor(t *testing.T) {
	tests := []struct {
		env      string
		terminal bool
		want     Options
	}{
		{"LANG=C.UTF-8", true, Options{Color: true, Width: 100}},
		{"LANG=C.UTF-8", false, Options{Width: 100}},
		{"LANG=C.UTF-8 NO_COLOR=0", true, Options{Width: 100}},
		{"LANG=C.UTF-8 TERM=dumb", true, Options{Width: 100}},
		{"", true, Options{Color: true, ASCII: true, Width: 100}},
		{"LANG=de_DE.utf8 LC_ALL=C", true, Options{Color: true, ASCII: true, Width: 100}},
		{"LANG=C LC_CTYPE=en_US.UTF-8", true, Options{Color: true, Width: 100}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.env, tt.terminal), func(t *testing.T) {
			env := map[string]string{}
			for _, kv := range strings.Fields(tt.env) {
				k, v, _ := strings.Cut(kv, "=")
				env[k] = v
			}
			got := OptionsFor(func(k string) string { return env[k] }, tt.terminal, 100)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestTimedOut: what the table says of samples that timed out, and which sample is
// nearest a median that counts them.
func TestTimedOut(t *testing.T) {
	const others = "; the other figures are of the "
	tests := []struct {
		totals         []int64 // 0: timed out; -1: failed
		note, total    string
		at             int
		median, legend bool
	}{
		{[]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0}, "2 of 12 timed out after 270ms: in total they count as longer than all others" + others + "10 that did not", "6.50 µs\n3.00–10.0", 5, true, false},
		{[]int64{1, 2, 3, 4, 5, 6, 7, 0, 0, 0, -1}, "3 of 10 timed out after 270ms: in total they count as longer than all others" + others + "7 that did not", "5.50 µs", 4, true, true},
		{[]int64{0, 5, -1, 0, 7, 0, 9}, "3 of 6 timed out after 270ms: total has no median, for that is one of them" + others + "3 that did not", "–", 6, true, false},
		{[]int64{0, 0, 5}, "2 of 3 timed out after 270ms: total has no median, for that is one of them" + others + "1 that did not", "–", 1, false, false},
	}
	for _, tt := range tests {
		c := results.Cell{Status: results.CellOK, Settings: &results.Settings{TimeoutNs: 270e6}}
		for _, v := range tt.totals {
			s := results.Sample{Status: results.SampleTimeout}
			switch {
			case v < 0:
				s.Status = results.SampleFailed
			case v > 0:
				s = boot(0, 0, v)
			}
			c.Samples = append(c.Samples, s)
		}
		c.Summary = c.Summarize()
		o := Options{}
		if got := o.note(&c); got != tt.note {
			t.Errorf("%v: note %q, want %q", tt.totals, got, tt.note)
		}
		if got := o.figure(&c, "total_ns"); got != tt.total {
			t.Errorf("%v: total %q, want %q", tt.totals, got, tt.total)
		}
		if at, median := pickSample(&c); at != tt.at || median != tt.median {
			t.Errorf("%v: sample %d, %v; want %d, %v", tt.totals, at, median, tt.at, tt.median)
		}
		if got := strings.Contains(strings.Join(o.legend([]results.Cell{c}), "\n"), "the interval's end timed out"); got != tt.legend {
			t.Errorf("%v: the legend speaks of it: %v", tt.totals, got)
		}
	}
}
