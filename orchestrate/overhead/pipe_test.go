// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStateThatIsAPipe: nobody waits for somebody to write into it.
func TestStateThatIsAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), fileName)
	if err := unix.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if o, err := load(path, Host{}, "v"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%+v, %v", o, err)
	}
}
