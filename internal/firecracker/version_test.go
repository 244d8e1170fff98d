// SPDX-License-Identifier: Apache-2.0

package firecracker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// versionOutputs are what real binaries print.
var versionOutputs = map[string]Version{
	"firecracker 0.18.0\n":    {0, 18, 0},
	"Firecracker v0.23.3\n\n": {0, 23, 3},
	"Firecracker v1.4.0\n\nSupported snapshot data format versions: v0.23.0, v0.24.0, v1.0.0\n":                                      {1, 4, 0},
	"Firecracker v1.14.2\n\n2026-11-23T12:18:34.515454501 [anonymous-instance:main] Firecracker exiting successfully. exit_code=0\n": {1, 14, 2},
	"Firecracker v1.0.0-44-gc73a27cb-dirty\n\n": {1, 0, 0},
	"1.7.0": {1, 7, 0}, // vmm_version
}

func TestParseVersion(t *testing.T) {
	for text, want := range versionOutputs {
		if got, err := ParseVersion(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Firecracker", "v1.2", "0.0.0", "QEMU emulator version 7.2.22", "1.2.3.4", "v9999999.1.1", "\nFirecracker v1.0.0", "Firecracker v1.0.0x"} {
		if got, err := ParseVersion(text); err == nil || !got.Unknown() {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestBefore(t *testing.T) {
	order := []Version{{0, 18, 0}, {0, 18, 1}, {0, 21, 0}, {1, 0, 0}, {1, 0, 1}, {1, 9, 0}, {1, 10, 0}, {2, 0, 0}}
	for i, a := range order {
		for j, b := range order {
			if a.Before(b) != (i < j) {
				t.Errorf("%s before %s: %v", a, b, a.Before(b))
			}
		}
	}
	if !(Version{}).Unknown() || (Version{}).String() != "of unknown version" || (Version{1, 14, 2}).String() != "1.14.2" {
		t.Error("names of versions")
	}
}

// script makes a program that does what a shell script says.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "firecracker")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAskVersion(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   Version
		err    string
	}{
		{"[ $# = 1 ] && [ $1 = --version ] && echo Firecracker v1.14.2", Version{1, 14, 2}, ""},
		{"sleep 60 & echo Firecracker v1.14.2", Version{1, 14, 2}, ""}, // a child that holds stdout
		{"echo unknown option >&2; exit 1", Version{}, ""},             // 0.21 has no such option: its API tells
		{"echo hello", Version{}, "is it Firecracker?"},
		{"echo firecracker 0.17.0", Version{}, "is version 0.17.0: use 0.18.0 or newer"},
		{"kill -9 $$", Version{}, "is it a Firecracker for this machine?"},
	} {
		got, err := AskVersion(t.Context(), script(t, tt.script))
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, %v", tt.script, got, err)
		}
	}
	if _, err := AskVersion(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := AskVersion(ctx, script(t, "sleep 60")); err == nil {
		t.Error("a cancelled question is answered")
	}
}

func FuzzParseVersion(f *testing.F) {
	for text := range versionOutputs {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseVersion(text)
		if (err == nil) == v.Unknown() {
			t.Errorf("%q: %v, %v", text, v, err)
		}
		if err != nil {
			return
		}
		if again, err := ParseVersion(v.String()); again != v || err != nil {
			t.Errorf("%q: %v, read again %v, %v", text, v, again, err)
		}
	})
}
