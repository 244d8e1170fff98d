// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestField(t *testing.T) {
	const cpuinfo = "processor\t: 0\nmodel name\t: A CPU: fast\nvmx flags\t: vnmi\nflags\t\t: fpu vmx\nempty\t:\n\nprocessor\t: 1\nflags\t\t: other\n"
	for key, want := range map[string]string{
		"processor": "0", "model name": "A CPU: fast", "flags": "fpu vmx", "empty": "", "model": "", "A CPU": "", "": "",
	} {
		if got := Field(cpuinfo, key); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
	if got := Field("no end: of line", "no end"); got != "of line" {
		t.Errorf("%q", got)
	}
}

// FuzzField: a value is part of one line, and has no space around it.
func FuzzField(f *testing.F) {
	f.Add("flags\t\t: fpu vmx\n", "flags")
	f.Add("a:b:c\r\n:\n", "")
	f.Fuzz(func(t *testing.T, text, key string) {
		got := Field(text, key)
		if !strings.Contains(text, got) || strings.Contains(got, "\n") || strings.TrimSpace(got) != got {
			t.Fatalf("%q of %q: %q", key, text, got)
		}
	})
}

func TestNotRead(t *testing.T) {
	for want, err := range map[string]error{
		"no /proc/x":                    fmt.Errorf("open: %w", fs.ErrNotExist),
		"no permission to read /proc/x": fs.ErrPermission,
		"/proc/x: broken":               errors.New("broken"),
	} {
		if got := NotRead("proc/x", err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
