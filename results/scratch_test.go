// SPDX-License-Identifier: Apache-2.0

package results

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestAbandon: a process that ends while it writes a file leaves none behind, and what was
// there before as it was. The writer is a process of its own: nothing can be begun after it.
func TestAbandon(t *testing.T) {
	if path := os.Getenv("UKPROBE_TEST_ABANDON"); path != "" {
		t.Error(WriteFile(path, func(w io.Writer) error {
			if _, err := io.WriteString(w, "half"); err != nil {
				return err
			}
			if temp, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*.tmp")); len(temp) != 1 {
				t.Fatalf("temporary files: %q", temp)
			}
			Abandon()
			os.Exit(7)
			return nil
		}))
		return
	}
	for _, before := range []string{"", "before"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "report.html")
		if before != "" {
			if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestAbandon$")
		cmd.Env = append(os.Environ(), "UKPROBE_TEST_ABANDON="+path)
		out, _ := cmd.CombinedOutput() // its status says more
		if code := cmd.ProcessState.ExitCode(); code != 7 {
			t.Fatalf("the writer: status %d: %s", code, out)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != filepath.Base(path) || before == "" {
				t.Errorf("left behind: %s", e.Name())
			}
		}
		if text, _ := os.ReadFile(path); string(text) != before {
			t.Errorf("%q, was %q", text, before)
		}
	}
}
