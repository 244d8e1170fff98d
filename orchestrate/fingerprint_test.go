// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

// TestVersions: a run neither waits for what a VMM leaves behind, nor for one that hangs
// once it is interrupted.
func TestVersions(t *testing.T) {
	qemu, err := platform.Find("qemu")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "qemu")
	t.Setenv(platform.EnvQEMU, path)
	for name, tt := range map[string]struct{ script, want string }{
		"plain":              {"echo QEMU 7.2; echo more", "QEMU 7.2"},
		"child holds stdout": {"sleep 60 & echo QEMU 7.2", "QEMU 7.2"},
		"long":               {"head -c 100000 /dev/zero | tr '\\0' x", strings.Repeat("x", maxVersion)},
		"fails":              {"exit 3", "unknown: exit status 3"},
		"hangs":              {"sleep 60 & sleep 60", "unknown: Ctrl-C"},
		"not there":          {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(path)
			want := map[string]string{}
			if tt.script != "" {
				want[path] = tt.want
				if err := os.WriteFile(path, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			if name == "hangs" {
				time.AfterFunc(100*time.Millisecond, func() { cancel(errors.New("Ctrl-C")) })
			}
			begun := time.Now()
			got := versions(ctx, []*cell{{platform: qemu}})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if took := time.Since(begun); took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
			cancel(nil)
		})
	}
}
