// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/results"
)

// claimsFile is a run with every kind of verdict.
func claimsFile() *results.File {
	rate := 1.0041
	sample := func(claims ...results.Claim) results.Sample {
		return results.Sample{Status: results.SampleOK, Claims: claims}
	}
	tsc := func(off, control int64) results.Claim {
		status := results.ClaimAgrees
		if off > 100_000 || off < -100_000 {
			status = results.ClaimOff
		}
		return results.Claim{Name: "reference_ready", Kind: "tsc", Text: "ukprobe-reference: ready tsc=5", Status: status,
			ClaimNS: ns(40_000_000 + off), HostNS: ns(40_000_000), OffNS: &off, ErrNS: ns(55_300),
			Terms: map[string]int64{"mapping": 300, "output": 55_000}, Mapping: "offset by kvm_write_tsc_offset, 3 seen; ratio 1", ControlNS: control}
	}
	ref := results.Cell{System: "reference", App: "hello", Platform: "qemumicrovm", Experiment: "timing-validation", Accel: "kvm", Status: results.CellOK}
	for i := range int64(3) {
		ref.Samples = append(ref.Samples, sample(tsc(10_000*i, 0), tsc(-1_000_000+i, -1_000_000), tsc(1_000_000, 1_000_000)))
	}
	ref.Samples = append(ref.Samples, results.Sample{Status: results.SampleFailed, Claims: []results.Claim{tsc(9e9, 0)}})

	linux := results.Cell{System: "linux", App: "hello", Platform: "qemu", Experiment: "timing-validation", Accel: "tcg", Status: results.CellOK}
	linux.Samples = []results.Sample{sample(
		results.Claim{Name: "linux_printk", Kind: "stamp", Text: "[    1.817602] Run /init as init process", Status: results.ClaimOff,
			ClaimNS: ns(1_817_000_000), HostNS: ns(1_824_400_000), OffNS: ns(-7_400_000), ErrNS: ns(86_000), Terms: map[string]int64{"resolution": 1000, "output": 85_000},
			LeavesOut: []results.Span{{Name: "VMM, firmware, image before the clock", NS: 310_000_000}},
			NotApart:  "guest_entry is missing: not under KVM: the host kernel does not see it",
			Stamps:    238, Earlier: 5, Rate: &rate, LagMedianNS: ns(85_000), LagMaxNS: ns(11_300_000)},
		results.Claim{Name: "never", Kind: "duration", Status: results.ClaimUnknown, Reason: "no line matched"},
		results.Claim{Name: "fromexec", Kind: "duration", Text: "up after 60 ms", Status: results.ClaimAgrees, ClaimNS: ns(60e6), HostNS: ns(60_040_000),
			OffNS: ns(-40_000), ErrNS: ns(55_100), Terms: map[string]int64{"output": 55_100}, Against: "the time from vmm_exec to its line's first byte"},
		results.Claim{Name: "mine", Kind: "duration", Text: "up after 5\x1b[31m", Status: results.ClaimUnknown, Reason: "vmm_exec, from which it counts, is missing: it was not seen", ClaimNS: ns(5)},
	)}
	silent := results.Cell{System: "linux", App: "nginx", Platform: "qemu", Experiment: "timing-validation", Accel: "tcg", Status: results.CellOK, Samples: []results.Sample{sample()}}
	booted := results.Cell{System: "process", App: "hello", Platform: "process", Experiment: "boot", Accel: "none", Status: results.CellOK, Samples: []results.Sample{sample()}}
	failed := results.Cell{System: "osv", App: "hello", Platform: "qemu", Experiment: "timing-validation", Accel: "kvm", Status: results.CellFailed, Reason: "no image"}
	return &results.File{Cells: []results.Cell{ref, linux, silent, booted, failed}}
}

func TestClaims(t *testing.T) {
	for name, o := range variants {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Claims(&b, claimsFile(), o); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "claims_"+name+".txt", b.String())
			checkOutput(t, b.String(), o)
		})
	}
}

// TestClaimsOfOneBoot: all rows of a guest are of the same boot, the one nearest to
// the medians, so that what came first is not said to have come last.
func TestClaimsOfOneBoot(t *testing.T) {
	claim := func(name string, at, off int64) results.Claim {
		return results.Claim{Name: name, Kind: "tsc", Text: name, Status: results.ClaimAgrees, ClaimNS: ns(at), HostNS: ns(at - off), OffNS: &off, ErrNS: ns(1000)}
	}
	c := results.Cell{Status: results.CellOK, Experiment: "timing-validation"}
	// Of start boot 2 has the middle deviation, of ready boot 0: by value boot 1 is in
	// the middle of both, and next to it by deviation.
	for _, b := range [][4]int64{{10e6, 1, 20e6, 30}, {15e6, 20, 25e6, 20}, {392e6, 10, 400e6, 50}, {90e6, 40, 213e6, 40}, {5e6, 5, 9e6, 10}} {
		c.Samples = append(c.Samples, results.Sample{Status: results.SampleOK, Claims: []results.Claim{claim("start", b[0], b[1]), claim("ready", b[2], b[3])}})
	}
	groups, boot := claimGroups(&c)
	if boot != 1 {
		t.Errorf("boot %d is shown", boot)
	}
	for i, g := range groups {
		if diff := cmp.Diff(c.Samples[boot].Claims[i], g.shown); diff != "" || g.elsewhere {
			t.Errorf("%s is not boot %d's (-want +got):\n%s", g.name, boot, diff)
		}
	}
	// A boot that lacks a claim is no choice as long as another has all.
	c.Samples[boot].Claims = c.Samples[boot].Claims[:1]
	if _, other := claimGroups(&c); other == boot {
		t.Errorf("boot %d is shown, which has no ready", other)
	}
	c.Samples = []results.Sample{{Status: results.SampleOK, Claims: []results.Claim{claim("start", 1, 1)}}, {Status: results.SampleOK, Claims: []results.Claim{claim("ready", 5, 1)}}}
	if groups, _ := claimGroups(&c); groups[0].elsewhere == groups[1].elsewhere {
		t.Errorf("one of two claims is of another boot, and that is not told: %+v", groups)
	}
}
