// SPDX-License-Identifier: Apache-2.0

package report

import (
	"regexp"
	"testing"

	"github.com/ukprobe/ukprobe/internal/methodpage"
)

// TestColumnsAreDocumented: what a table shows of an experiment is on the experiment's
// page, whose names package experiment's tests hold against what is yielded.
func TestColumnsAreDocumented(t *testing.T) {
	for experiment, columns := range experimentColumns {
		promised := methodpage.Values(t, experiment)
		for _, c := range columns {
			name := c.metric
			if experiment == "memory-use" { // each of its values is WHAT_MOMENT_bytes there
				name = moment.ReplaceAllString(name, "")
			}
			if !promised[name] {
				t.Errorf("%s shows %s as %q, which its page does not name", experiment, c.metric, c.title)
			}
		}
	}
	boot := methodpage.Values(t, "boot")
	for _, c := range phases {
		if !boot[c.metric] {
			t.Errorf("boot shows %s as %q, which its page does not name", c.metric, c.title)
		}
	}
}

var moment = regexp.MustCompile(`_(ready|idle|load)_bytes$`)
