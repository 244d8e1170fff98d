// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// validate is newRun for `ukprobe validate`.
func validate(t *testing.T, args ...string) *call {
	t.Helper()
	c := newRun(t, args...)
	c.cmd.Args[1] = "validate"
	return c
}

// validateQuietly tries again where other work on the machine made the guest print so
// slowly that nothing can be proven; at the third time that is an error.
func validateQuietly(t *testing.T, args []string) *call {
	t.Helper()
	for range 2 {
		call := validate(t, args...).run()
		if call.exit == 0 || !strings.Contains(call.stderr.String(), "try it on a quieter machine") {
			return call.want(0)
		}
		t.Log(call.stderr.String())
	}
	return validate(t, args...).run().want(0)
}

// claims are the claims of that name in a cell's ok samples.
func claims(c results.Cell, name string, control int64) []results.Claim {
	var out []results.Claim
	for _, s := range c.Samples {
		for _, claim := range s.Claims {
			if s.Status == results.SampleOK && claim.Name == name && claim.ControlNS == control {
				out = append(out, claim)
			}
		}
	}
	return out
}

// TestValidate: on every rung the reference guest's TSC is mapped to where the
// host saw it, to less than a millisecond's error, and the exit status says so.
func TestValidate(t *testing.T) {
	needRoot(t)
	needKVM(t)
	n := 5
	if inside() {
		n = 3
	}
	for _, a := range attachments {
		t.Run(a.name, func(t *testing.T) {
			if a.inside {
				needHostVM(t, "this kernel has no "+a.rung+" on KVM's functions")
			}
			if a.types && !modulesHaveTypes() {
				t.Skip("needs the types of KVM's modules (Linux 5.11)")
			}
			call := validateQuietly(t, append([]string{"--only", "system=reference", "--samples", itoa(n)}, a.flags...))
			if text := call.stdout.String(); !strings.Contains(text, "Proven: in ") || !strings.Contains(text, "reference_ready agrees: off by ") {
				t.Errorf("the table does not say that it is proven:\n%s", text)
			}
			f := call.file()
			if proof := results.Proof(f); proof.Err != nil {
				t.Error(proof.Err)
			}
			for _, name := range []string{"reference_start", "reference_ready"} {
				got := claims(f.Cells[0], name, 0)
				if len(got) != n {
					t.Fatalf("%d claims %s of %d samples", len(got), name, n)
				}
				for _, c := range got {
					checkMapped(t, c)
				}
			}
			for _, control := range []int64{-1e6, 1e6} {
				if got := claims(f.Cells[0], "reference_ready", control); len(got) != n {
					t.Errorf("%d controls of %d samples", len(got), n)
				}
			}
		})
	}
}

// checkMapped: a reading of the TSC has a verdict, with every term of its error.
func checkMapped(t *testing.T, c results.Claim) {
	t.Helper()
	if c.Status == results.ClaimUnknown || c.OffNS == nil || c.ErrNS == nil || c.ClaimNS == nil || c.HostNS == nil || c.Mapping == "" {
		t.Errorf("%+v: want a verdict, and how it was mapped", c)
		return
	}
	var sum int64
	for _, ns := range c.Terms {
		sum += ns
	}
	if sum < *c.ErrNS-2 || sum > *c.ErrNS+2 {
		t.Errorf("%s: its error of %d ns is not the sum of %v", c.Name, *c.ErrNS, c.Terms)
	}
	// 7 µs are what a host under emulation needs to read a clock.
	if mapping := c.Terms["mapping"]; mapping <= 0 || mapping > 50_000 {
		t.Errorf("%s: the mapping's error is %d ns", c.Name, mapping)
	}
}

// TestValidateWithoutKVM: under TCG there is no proof; that is an error, with the
// reason, whatever else was measured.
func TestValidateWithoutKVM(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	call := validate(t, "--only", "system=reference", "--samples", "1", "--accel", "tcg").run().want(1)
	if text := call.stderr.String(); !strings.Contains(text, "not proven on this machine") || !strings.Contains(text, "not under KVM") {
		t.Errorf("%s", text)
	}
}

// TestValidateLinux: Linux' stamps are judged as a series, and what they leave out
// of the boot is told, by phase where the host saw phases.
func TestValidateLinux(t *testing.T) {
	needRoot(t)
	call := validate(t, "--only", "system=linux", "--samples", "1", "--warmup", "0", "--timeout", patience(60e9).String()).run().want(0)
	f := call.file()
	got := claims(f.Cells[0], "linux_printk", 0)
	if len(got) != 1 {
		t.Fatalf("%d series: %s", len(got), call.stdout.String())
	}
	c := got[0]
	// A guest of an emulated host loses ticks: 25 of 54 s were seen (docs/verified.md).
	low, high := 0.5, 2.0
	if inside() {
		low, high = 0.1, 10
	}
	if c.Status == results.ClaimUnknown || c.Stamps < 50 || c.Rate == nil || *c.Rate < low || *c.Rate > high || c.LagMedianNS == nil {
		t.Errorf("%+v: want a series of many stamps with a rate near one", c)
	}
	want := []string{"VMM, firmware, image before the clock"}
	if f.Cells[0].Accel == "kvm" {
		want = []string{"VMM", "firmware"}
	} else if !strings.Contains(c.NotApart, "not under KVM") {
		t.Errorf("why the phases are one is %q", c.NotApart)
	}
	for i, name := range want {
		if i >= len(c.LeavesOut) || c.LeavesOut[i].Name != name || c.LeavesOut[i].NS <= 0 {
			t.Fatalf("leaves out %+v, want %v first", c.LeavesOut, want)
		}
	}
}

// TestValidatePattern: a pattern of the matrix is a claim like the built-in ones, and
// one that finds nothing says so.
func TestValidatePattern(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	m := matrix(t, "system: process, app: hello, platform: process, experiment: timing-validation, "+
		"ready: hello, claims: [{name: nothing, pattern: 'there are (?P<value>[0-9]+) of these', unit: ms}]")
	call := validate(t, "--matrix", m, "--samples", "1").run().want(0)
	if f := call.file(); len(f.Cells[0].Samples[0].Claims) != 1 || f.Cells[0].Samples[0].Claims[0].Reason != "no line matched" || len(f.Cells[0].Settings.Claims) != 1 {
		t.Errorf("%+v", f.Cells[0])
	}
	if text := call.stdout.String(); !strings.Contains(text, "nothing cannot be told: no line matched (0/1)") || strings.Contains(text, "Proven") {
		t.Errorf("%s", text)
	}
}
