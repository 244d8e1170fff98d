// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

// TestTaps: the taps that are kept are the same ones in the same order for all samples,
// also where guests of one start at once, and others have new ones.
func TestTaps(t *testing.T) {
	b, _ := roundBoot(t, 3, "echo ready; exec sleep 60")
	p := b.Platform.(program)
	p.wire = platform.TapWire
	b.Platform = p
	devices := func() string {
		var all []string
		for _, g := range sampled(t, &Parallel{Boot: b}).Guests {
			all = append(all, g.Outputs["device"])
		}
		return strings.Join(all, "")
	}
	b.Taps = &Taps{}
	first := devices()
	if first == "" || devices() != first {
		t.Errorf("kept taps are first\n%sthen\n%s", first, devices())
	}
	other, err := b.Lab.Tap(network.TapOptions{}) // in between
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if again := devices(); again != first || strings.Contains(again, other.IP.String()) {
		t.Errorf("kept taps are first\n%sthen\n%s", first, again)
	}
	if err := b.Taps.Close(); err != nil {
		t.Fatal(err)
	}
	if after := devices(); after == first {
		t.Errorf("after Close the same taps:\n%s", after)
	}
	if err := b.Taps.Close(); err != nil {
		t.Error(err)
	}
	b.Taps = nil
	if first = devices(); devices() == first {
		t.Errorf("taps that are not kept are the same:\n%s", first)
	}
}
