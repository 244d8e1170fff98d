// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/probe"
)

// reporting is a bench with three VMs, whose clock the test moves.
func reporting(t *testing.T) (*bench, *Reporter) {
	b := newBench(t)
	b.hooks = []probe.HookStatus{{Hook: probe.HookPIO, Rung: probe.TPBTF, Hits: 12}, {Hook: probe.HookKVMExit, Rung: probe.TPBTF},
		{Hook: probe.HookRun, Refused: []probe.Refusal{{Rung: probe.Kprobe, Reason: "the kernel has no kprobes (CONFIG_KPROBES)"}}}}
	b.add(10, 1, "/", true, qemu("web")...)
	b.add(11, 1, "/", true, qemu("a-name-that-is-quite-long-for-a-virtual-machine.example.org")...)
	b.clock.Store(epoch.UnixNano())
	b.start(Words{All: true}, Options{})
	reporter := NewReporter(b.w, "1.2.3")
	b.tick(10 * time.Second)
	b.set(1, someCounts())
	b.set(2, userExits(1234567))
	b.come(1, 10, 1)
	b.come(2, 11, 1)
	b.come(3, 12, 1) // no vCPU was seen
	return b, reporter
}

func TestTable(t *testing.T) {
	for name, style := range map[string]Style{
		"table.txt":        {How: "--verbose says why"},
		"table-why.txt":    {Details: true},
		"table-only.txt":   {Only: true, Rows: 10},
		"table-narrow.txt": {Width: 44},
		"table-ascii.txt":  {Width: 80, ASCII: true, Sort: SortName},
		"table-rows.txt":   {Width: 80, Rows: 12},
		"table-color.txt":  {Width: 80, Rows: 12, Color: true, Sort: SortTime},
	} {
		t.Run(name, func(t *testing.T) {
			b, reporter := reporting(t)
			b.beyond = 3
			var out bytes.Buffer
			if err := reporter.Next().Write(&out, style); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, name, out.String())
			for line := range strings.Lines(out.String()) {
				line = strings.NewReplacer("\x1b[1m", "", "\x1b[2m", "", "\x1b[0m", "").Replace(strings.TrimSuffix(line, "\n"))
				if n := utf8.RuneCountInString(line); n > style.width() {
					t.Errorf("%d columns of %d: %q", n, style.width(), line)
				}
			}
			if n := strings.Count(out.String(), "\n"); style.Rows > 0 && n > style.Rows {
				t.Errorf("%d lines of %d", n, style.Rows)
			}
		})
	}
}

func TestNoVM(t *testing.T) {
	b := newBench(t)
	b.clock.Store(epoch.UnixNano())
	b.start(Words{All: true}, Options{})
	reporter := NewReporter(b.w, "")
	b.tick(time.Second)
	var out bytes.Buffer
	if err := reporter.Next().Write(&out, Style{}); err != nil {
		t.Fatal(err)
	}
	if want := "0 VMs in 1 s\n\nno VM was seen\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// TestNothingMeant: whoever filters everything away is told why.
func TestNothingMeant(t *testing.T) {
	text := func(b *bench) string {
		var out bytes.Buffer
		if err := NewReporter(b.w, "").Next().Write(&out, Style{}); err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(out.String(), "\n\n")
		return rest
	}
	fill := func() *bench {
		b := newBench(t)
		b.add(1, 1, "/", false, "init")
		b.add(10, 1, "/", true, qemu("web")...)
		b.add(11, 1, "/", true, qemu("db")...)
		return b
	}
	b := fill().start(Words{Names: []string{"nosuch"}}, Options{})
	want := "2 VMs were seen, none matches --name nosuch\n"
	if got := text(b); got != want {
		t.Errorf("silent VMs: %q, want %q", got, want)
	}
	b.come(1, 10, 1) // one of the two shows itself
	if got := text(b); got != want {
		t.Errorf("one of them twice: %q, want %q", got, want)
	}
	if got := b.w.Totals().Status(); !strings.HasSuffix(got, "0 seen, 2 passed over by the filter") {
		t.Errorf("status %q", got)
	}
	b = fill().start(Words{Cgroups: []string{"/nosuch"}}, Options{})
	b.come(1, 10, 1)
	want = "no such cgroup (yet): /nosuch\n2 VMs were seen, none matches --cgroup /nosuch\n"
	if got := text(b); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b.add(10, 1, "/nosuch/x", true, qemu("web")...)
	b.mu.Lock()
	b.adopted[10] = b.guest(2, 10, 1)
	b.mu.Unlock()
	waitFor(t, "the VM that was moved to be counted no longer", func() bool { return b.w.Totals().PassedOver == 1 })
	b = fill().start(Words{PIDs: []int{1}}, Options{})
	if got, want := text(b), "pid 1 has no VM\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b.remove(1)
	if got, want := strings.Join(b.w.Unmet(), ""), "pid 1 has ended"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestReportsOfIntervals: each report is of its own span.
func TestReportsOfIntervals(t *testing.T) {
	b, reporter := reporting(t)
	find := func(r Report, name string) *VMReport {
		for i := range r.VMs {
			if r.VMs[i].VM == name {
				return &r.VMs[i]
			}
		}
		return nil
	}
	first := find(reporter.Next(), "web")
	if first.Seconds != 10 || first.Values["pio_out"] != 12 || first.Exits[0].Reason != "hlt" {
		t.Errorf("the first: %+v", first)
	}
	n := someCounts()
	n.Values["pio_out"] += 6
	n.Ports[probe.Port{Number: 0x3f8, Out: true}] += 6
	b.set(1, n)
	b.tick(2 * time.Second)
	second := find(reporter.Next(), "web")
	want := []PortRow{{Port: "0x3f8", Direction: "out", Count: 6, Rate: 3}}
	if diff := cmp.Diff(want, second.Ports); diff != "" || second.Seconds != 2 || second.Values["pio_out"] != 6 || len(second.Exits) != 0 {
		t.Errorf("the second: %+v\n%s", second, diff)
	}
	b.tick(time.Second)
	b.leave(1)
	b.tick(time.Second)
	if third := find(reporter.Next(), "web"); third == nil || !third.Ended || third.Seconds != 1 {
		t.Errorf("when it ended: %+v", third)
	}
	if fourth := find(reporter.Next(), "web"); fourth != nil {
		t.Errorf("after its end: %+v", fourth)
	}
}

// TestNoVCPUEvent: of a VM that has not shown itself nothing is known; that nothing
// happened is only said of one that has.
func TestNoVCPUEvent(t *testing.T) {
	b := newBench(t)
	b.clock.Store(epoch.UnixNano())
	b.start(Words{All: true}, Options{})
	b.come(1, 10, 1)
	reporter := NewReporter(b.w, "")
	text := func() string {
		b.tick(time.Second)
		var out bytes.Buffer
		if err := reporter.Next().Write(&out, Style{}); err != nil {
			t.Fatal(err)
		}
		_, own, _ := strings.Cut(out.String(), "pid 10, 1 s\n")
		return own
	}
	for _, n := range []probe.Counts{{}, {Values: map[string]uint64{"frames_in": 0, "bytes_in": 0}}} {
		b.set(1, n)
		if got, want := text(), "  no vCPU event yet\n"; got != want {
			t.Errorf("at first: %q, want %q", got, want)
		}
	}
	b.set(1, probe.Counts{Values: map[string]uint64{"page_faults": 0}, Spans: map[string]probe.Histogram{probe.SpanWaited: {}}})
	if got, want := text(), "  nothing happened\n"; got != want {
		t.Errorf("of one that was seen: %q, want %q", got, want)
	}
	if got, want := text(), "  nothing happened\n"; got != want {
		t.Errorf("an interval later: %q, want %q", got, want)
	}
	b.come(2, 11, 1)
	b.leave(2)
	b.tick(time.Second)
	var out bytes.Buffer
	if err := reporter.Next().Write(&out, Style{}); err != nil || !strings.Contains(out.String(), "  no vCPU event until its end\n") {
		t.Errorf("of one that has ended: %v\n%s", err, &out)
	}
}

// TestNoEventNoSeries: a histogram that counted nothing would look like a finding.
func TestNoEventNoSeries(t *testing.T) {
	b := newBench(t).start(Words{All: true}, Options{})
	b.come(1, 10, 1)
	get, stop := serving(t, b, "")
	_, body := get("/metrics")
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(body, `ukprobe_vm_up{vm="unknown-10"} 1`) || strings.Contains(body, "ukprobe_vcpu_") || strings.Contains(body, "ukprobe_kvm_") {
		t.Errorf("metrics of a VM that was not seen:\n%s", body)
	}
}

// TestReportBeginsNow: what a VM did before is not in the first report.
func TestReportBeginsNow(t *testing.T) {
	b := newBench(t)
	b.clock.Store(epoch.Add(time.Minute).UnixNano())
	b.start(Words{All: true}, Options{})
	b.set(1, userExits(1000))
	b.come(1, 10, 1)
	reporter := NewReporter(b.w, "")
	b.set(1, userExits(1005))
	b.tick(time.Second)
	if vm := reporter.Next().VMs[0]; vm.Seconds != 1 || vm.Values["kvm_userspace_exits"] != 5 || vm.UserExits[0].Rate != 5 {
		t.Errorf("%+v", vm)
	}
}

func TestReportAsJSON(t *testing.T) {
	_, reporter := reporting(t)
	text, err := json.MarshalIndent(reporter.Next(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "report.json", string(text)+"\n")
}

func TestNumbers(t *testing.T) {
	s := Style{}
	for ns, want := range map[int64]string{0: "0 ns", 999: "999 ns", 1000: "1.00 µs", 12345: "12.3 µs", 999_999: "1.00 ms", 1_500_000: "1.50 ms", 2_000_000_000: "2.00 s", 3600e9: "3600 s"} {
		if got := s.duration(ns); got != want {
			t.Errorf("%d ns: %q, want %q", ns, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 0.25: "0.25", 99.95: "100", 1234: "1234", 12345: "12.3k", 1.5e6: "1.50M", 2e9: "2.00G"} {
		if got := compact(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
