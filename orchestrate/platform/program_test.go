// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestLearnt: a program is asked once, another in its place again, and one that did not
// answer again.
func TestLearnt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vmm")
	var l learnt[string]
	asked := 0
	ask := func() (string, error) {
		asked++
		raw, err := os.ReadFile(path)
		if len(raw) == 0 {
			err = errors.New("it says nothing")
		}
		return string(raw), err
	}
	if _, err := l.get(path, ask); !errors.Is(err, os.ErrNotExist) || asked != 0 {
		t.Errorf("without a program: %v, asked %d times", err, asked)
	}
	for _, step := range []struct {
		text  string // of the program; "-": nothing is changed
		asked int    // in all
		fails bool
	}{{"", 1, true}, {"-", 2, true}, {"1.0", 3, false}, {"-", 3, false}, {"1.10", 4, false}, {"-", 4, false}} {
		if step.text != "-" {
			// Another file, even if size and time are the same.
			if err := errors.Join(os.WriteFile(path+".new", []byte(step.text), 0o755), os.Rename(path+".new", path)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := l.get(path, ask)
		raw, _ := os.ReadFile(path)
		if (err != nil) != step.fails || got != string(raw) || asked != step.asked {
			t.Errorf("%q: %q, %v, asked %d times, want %d", step.text, got, err, asked, step.asked)
		}
	}
}
