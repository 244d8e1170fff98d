// SPDX-License-Identifier: Apache-2.0

package characteristics

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// TestEveryFactHasASource, every source is used once at least, and what names a file
// of this repository names one that is there.
func TestEveryFactHasASource(t *testing.T) {
	known := map[string]bool{}
	for _, s := range Sources {
		if s.Title == "" || s.Where == "" {
			t.Errorf("%s says nothing", s.Key)
		}
		if !strings.Contains(s.Where, ".org") && !strings.HasPrefix(s.Where, "github.com/") {
			if _, err := os.Stat(filepath.Join("../..", s.Where)); err != nil {
				t.Error(err)
			}
		}
		known[s.Key] = false
	}
	for _, s := range Systems {
		for _, r := range s.Rows() {
			if r.Fact.Text == "" || r.Fact.Missing() != strings.HasPrefix(r.Fact.Text, "not stated (") {
				t.Errorf("%s, %s: %+v", s.Name, r.Name, r.Fact)
			}
			for _, key := range r.Fact.Sources {
				if _, ok := known[key]; !ok {
					t.Errorf("%s, %s: no source %q", s.Name, r.Name, key)
				}
				known[key] = true
			}
		}
	}
	for key, used := range known {
		if !used {
			t.Errorf("source %s is not used", key)
		}
	}
}

// TestEverySystem: each system of the matrix has its row, but for the yardstick.
func TestEverySystem(t *testing.T) {
	for _, s := range system.All(system.Env{}) {
		if s.Name() != "reference" && !slices.ContainsFunc(Systems, func(c System) bool { return c.Name == s.Name() }) {
			t.Errorf("%s has no row", s.Name())
		}
	}
}
