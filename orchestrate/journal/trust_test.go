// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUntrustedJournals: clean runs as root and believes what a journal says, so
// it believes only what root or its caller has written, and waits for nobody.
func TestUntrustedJournals(t *testing.T) {
	owner := `{"op":"owner","owner":{"pid":999999999,"start":1}}` + "\n" + `{"op":"add","kind":"test","name":"x"}` + "\n"
	tests := map[string]struct {
		make func(path string) error
		want string
	}{
		"a FIFO":    {func(p string) error { return unix.Mkfifo(p, 0o600) }, "not a regular file"},
		"a link":    {func(p string) error { return os.Symlink("/dev/zero", p) }, "symbolic link"},
		"too large": {func(p string) error { return firstErr(os.WriteFile(p, nil, 0o600), os.Truncate(p, maxJournal+1)) }, "more than any run writes"},
		"anybody's": {func(p string) error { return firstErr(os.WriteFile(p, []byte(owner), 0o600), os.Chmod(p, 0o666)) }, "can be written by others"},
		"another's": {func(p string) error {
			return firstErr(os.WriteFile(p, []byte(owner), 0o600), os.Chown(p, 65534, 65534))
		}, "another user"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if name == "another's" && os.Geteuid() != 0 {
				t.Skip("needs root to give a file away")
			}
			dir := t.TempDir()
			if err := tt.make(filepath.Join(dir, "run"+suffix)); err != nil {
				t.Fatal(err)
			}
			var undone []string
			done := make(chan error, 1)
			go func() {
				_, err := Clean(context.Background(), dir, recorder(&undone, ""))
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("clean waits")
			}
			if len(undone) != 0 {
				t.Errorf("undone on its word: %v", undone)
			}
		})
	}
}

func firstErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
