// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJoinIsTheShells: what is printed, pasted into a shell, is the same argv.
func TestJoinIsTheShells(t *testing.T) {
	argv := []string{"plain", "", "two words", "it's", `"double"`, `back\slash`, "$HOME", "`id`", "$(id)", "a;b", "a|b&c", "a>b<c", "*", "?", "[a]", "~", "#no",
		"{a,b}", "!x", "new\nline", "tab\t", "(sub)", "-append", "x=y", "host,-arch-capabilities", "été", "日本", "esc\x1b[2J", "\u009b", "\u202e", "\xff", "a^b", "a%b", "bell\a", "del\x7f", "cr\r", "<built at the first run>", "'", "''"}
	for _, shell := range []string{"/bin/sh", "/bin/bash"} {
		if _, err := os.Stat(shell); err != nil {
			t.Logf("no %s here", shell)
			continue
		}
		text, err := exec.Command(shell, "-c", `printf '%s\0' `+Join(argv)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(argv, strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")); diff != "" {
			t.Errorf("%s understands (-want +got):\n%s", shell, diff)
		}
	}
	if got := Join([]string{"/bin/qemu", "-m", "64", "a b"}); got != "/bin/qemu -m 64 'a b'" {
		t.Errorf("%s: words that need no quotes have none", got)
	}
}
