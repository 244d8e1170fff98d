// SPDX-License-Identifier: Apache-2.0

package askprogram

import (
	"context"
	"os/exec"
	"testing"
	"time"
)

func TestVersion(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	for script, want := range map[string]string{
		"echo; echo hello; echo '  v1.2 '; echo v3": "v1.2",
		"echo wrk 4.1 >&2; exit 1":                  "wrk 4.1",
		"echo no number":                            "",
		"exit 3":                                    "",
	} {
		got, err := Version(t.Context(), sh, "-c", script)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", script, got, err, want)
		}
	}
	if got, err := Version(t.Context(), "/no/such/program"); err == nil {
		t.Errorf("a program that is not there is of version %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if got, err := Version(ctx, sh, "-c", "sleep 30"); err == nil || time.Since(begun) > 10*time.Second {
		t.Errorf("%q, %v after %v", got, err, time.Since(begun))
	}
}
