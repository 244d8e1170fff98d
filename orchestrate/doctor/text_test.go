// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/golden"
)

// fixed is a report with each kind of line in it.
func fixed() *Report {
	hook := func(name string, st Status, found, remedy string, refused ...Refusal) Check {
		c := group(groupHooks).check(name, st, found, remedy)
		c.Hook = &Hook{Tells: "something", Refused: append([]Refusal{}, refused...)}
		if st == OK {
			c.Hook.Rung = found
		}
		return c
	}
	noFentry := Refusal{"fentry", "the kernel has no BPF trampolines on functions (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)"}
	noKprobe := Refusal{"kprobe", "the kernel has no kprobes (CONFIG_KPROBES)"}
	r := &Report{Version: FormatVersion, Ukprobe: "1.0", Kernel: "6.1.0-37-amd64", CPU: "Some CPU @ 2.00GHz", Checks: []Check{
		needed(group(groupPrivileges).ok("capabilities", "root, with CAP_BPF")),
		needed(group(groupHooks).ok("probe", "BPF programs load and attach")),
		hook("sched_exec", OK, "tp_btf", ""),
		hook("kvm_pio", OK, "tp_btf", "", noFentry, noKprobe),
		hook("kvm_run", Warn, "none; its events come from elsewhere", "boot another kernel", noFentry, noKprobe),
		hook("tap_in", Fail, "none. Lost: frames", "boot another kernel", Refusal{"kprobe", "no function tun_net_xmit in this kernel (tun not loaded?)…"}),
		group(groupPrograms).fail("qemu-system-x86_64", "not found. Lost: platforms qemu, qemu1nic and qemumicrovm", "apt-get install qemu-system-x86"),
		group(groupHost).warn("leftovers", "of runs that are gone: <a> & b", "ukprobe clean"),
	}}
	r.judge()
	return r
}

func TestGolden(t *testing.T) {
	blocked := fixed()
	blocked.Checks[1] = needed(group(groupHooks).fail("probe", "no", "see above"))
	blocked.judge()
	text := func(r *Report, s Style) string {
		var b bytes.Buffer
		if err := r.WriteText(&b, s); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	raw, err := json.MarshalIndent(fixed(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{
		"utf8.txt":    text(fixed(), Style{}),
		"ascii.txt":   text(fixed(), Style{ASCII: true}),
		"color.txt":   text(fixed(), Style{Color: true}),
		"blocked.txt": text(blocked, Style{}),
		"report.json": string(raw) + "\n",
	} {
		golden.Check(t, name, got)
	}
}

func TestASCIIHoldsNothingElse(t *testing.T) {
	var b bytes.Buffer
	r := fixed()
	r.Checks[0].Found = "naïve ✓ “quoted” \u202e \x1b[31m\x07"
	if err := r.WriteText(&b, Style{ASCII: true}); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(b.String(), func(c rune) bool { return c > 127 }); i >= 0 {
		t.Errorf("byte %d of the ASCII form is not ASCII: %q", i, b.String()[i:])
	}
	if strings.ContainsAny(b.String(), "\x1b\x07") {
		t.Error("what a program printed reaches the terminal as an escape sequence")
	}
}

func TestJudge(t *testing.T) {
	programs, net := group(groupPrograms), group(groupNetwork)
	qemu := programs.fail("qemu-system-x86_64", "", "")
	for name, tc := range map[string]struct {
		checks []Check
		want   []string
	}{
		"nothing wrong":            {[]Check{programs.ok("qemu-system-x86_64", "")}, []string{}},
		"a needed one":             {[]Check{needed(net.fail("lab", "", "")), net.fail("tap", "", "")}, []string{"network.lab"}},
		"a needed one, only worse": {[]Check{needed(net.warn("lab", "", ""))}, []string{}},
		"no QEMU":                  {[]Check{qemu, net.ok("veth", "")}, []string{}},
		"no veth":                  {[]Check{net.fail("veth", "", "")}, []string{}},
		"neither QEMU nor veth":    {[]Check{qemu, net.fail("veth", "", "")}, []string{"programs.qemu-system-x86_64", "network.veth"}},
		"neither QEMU nor images":  {[]Check{qemu, programs.fail("dpkg-deb", "", "")}, []string{"programs.qemu-system-x86_64", "programs.dpkg-deb"}},
	} {
		r := Report{Checks: tc.checks}
		r.judge()
		if diff := cmp.Diff(tc.want, r.BlockedBy); diff != "" {
			t.Errorf("%s: blocked by (-want +got):\n%s", name, diff)
		}
		if r.CanRun != (len(tc.want) == 0) {
			t.Errorf("%s: can run = %v", name, r.CanRun)
		}
	}
}
