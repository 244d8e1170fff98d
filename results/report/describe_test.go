// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// What a host runs on is told in words: what doctor calls none is not "under none".
func TestHostWords(t *testing.T) {
	for hypervisor, want := range map[string]string{
		"":                                "2 CPUs, Linux 6.12",
		"none":                            "2 CPUs, Linux 6.12",
		"KVM":                             "2 CPUs, Linux 6.12, under KVM",
		"yes, on a machine by QEMU":       "2 CPUs, Linux 6.12, in a virtual machine, on a machine by QEMU",
		"yes, unnamed (no /dev/cpu, DMI)": "2 CPUs, Linux 6.12, in a virtual machine, unnamed (no /dev/cpu, DMI)",
	} {
		if got := hostWords(&results.Host{CPUs: 2, Kernel: "6.12", Hypervisor: hypervisor}); got != want {
			t.Errorf("%q: %s, want %s", hypervisor, got, want)
		}
	}
	if got := hostWords(&results.Host{CPUs: 1}); got != "1 CPU" {
		t.Errorf("one CPU: %s", got)
	}
}

// A cell whose guest claimed nothing is named, where others did; and one point has no
// correlation.
func TestWhatIsNotDrawn(t *testing.T) {
	f := claimsFile()
	all := allCells([]Source{{File: f}})
	const words = "No claim was found in what these printed: nginx, Linux microVM, QEMU."
	if got := claimSection(all).Intro; !strings.Contains(got, words) {
		t.Errorf("%s\nwant it to hold %q", got, words)
	}
	if got := claimSection(all[:1]).Intro; strings.Contains(got, "No claim was found") {
		t.Errorf("the first claims something: %s", got)
	}
	if got := correlation(make([]pair, 1)); got != "One cell only: there is nothing to hold it against." {
		t.Error(got)
	}
}
