// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/characteristics"
)

// catalogueDir has a catalogue of two images, one with a checksum that is wrong.
func catalogueDir(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, "c.yaml")
	text := "version: 1\nimages:\n  - {name: one, system: next, app: hello, platform: [qemu, qemu1nic], path: k.elf}\n" +
		"  - {name: two, system: next, app: http, platform: qemu1nic, path: k.elf, sha256: '" + strings.Repeat("0", 64) + "'}\n"
	for name, content := range map[string][]byte{"k.elf": reference.Image(), "c.yaml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, file
}

func TestImageCommands(t *testing.T) {
	dir, file := catalogueDir(t)
	tests := []struct {
		args   []string
		status int
		words  []string // in the output, or in the error's text
	}{
		{[]string{"list"}, 0, []string{"one", "next", "qemu,qemu1nic"}},
		{[]string{"inspect", "one"}, 0, []string{"multiboot header", "qemumicrovm", "yes", "no Solo5 image"}},
		{[]string{"inspect", filepath.Join(dir, "k.elf")}, 0, []string{"load segments"}},
		{[]string{"inspect", "two"}, exitFailed, []string{"checksum mismatch", strings.Repeat("0", 64)}},
		{[]string{"inspect", "onee"}, exitUsage, []string{"did you mean one?"}},
		{[]string{"inspect", "./nosuch"}, exitFailed, []string{"no such file"}},
		{[]string{"inspect"}, exitUsage, []string{"inspect takes one file"}},
		{[]string{"verify", "one"}, 0, []string{"there; the catalogue has no checksum"}},
		{[]string{"verify"}, exitFailed, []string{"1 of 2 images are not what they should be"}},
		{[]string{"verify", "oci://example.org/x:1"}, exitFailed, []string{"oci://example.org/x:1: not in the cache: `ukprobe image pull` gets it", "1 of 1 images"}},
		{[]string{"verify", "--platform", "docker", "oci://example.org/x:1"}, exitFailed, []string{"not in the cache"}},
		{[]string{"pull"}, 0, nil},
		{[]string{"pull", "oci://"}, exitFailed, []string{"write registry/repository:tag"}},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			args := append([]string{"image", tt.args[0], "--catalogue", file, "--cache", t.TempDir()}, tt.args[1:]...)
			out, errText, status := ukprobe(t, args...)
			if status != tt.status {
				t.Fatalf("exit status %d: %s", status, errText)
			}
			for _, w := range tt.words {
				if !strings.Contains(out+errText, w) {
					t.Errorf("lacks %q:\n%s%s", w, out, errText)
				}
			}
		})
	}
}

// TestPullGoesOn: an image that cannot be had does not keep the others from being got.
func TestPullGoesOn(t *testing.T) {
	_, file := catalogueDir(t)
	cmd := []string{"image", "pull", "--catalogue", file, "--cache", t.TempDir()}
	out, errText, status := ukprobe(t, append(cmd, "oci://127.0.0.1:1/none:1", "two", "one")...)
	if status != exitFailed || errText != "pull: 2 of 3 images could not be had: the reasons are above" {
		t.Errorf("exit status %d: %s", status, errText)
	}
	if !strings.HasPrefix(out, "one\tqemu\t") || strings.Count(out, "\n") != 2 {
		t.Errorf("the one that is there: %q", out)
	}
}

func TestNoCatalogue(t *testing.T) {
	if _, errText, status := ukprobe(t, "image", "verify", "--cache", t.TempDir()); status != exitUsage || !strings.Contains(errText, "there is no catalogue") {
		t.Errorf("exit status %d: %s", status, errText)
	}
	out, errText, status := ukprobe(t, "image", "list", "--cache", t.TempDir())
	if status != 0 || !strings.Contains(out, "no catalogue: name one") || !strings.Contains(out, "none built in") {
		t.Errorf("exit status %d, %s%s", status, out, errText)
	}
	if _, errText, status := ukprobe(t, "run", "--dry-run", "--catalogue", "/nosuch.yaml"); status != exitUsage || !strings.Contains(errText, "/nosuch.yaml") {
		t.Errorf("exit status %d: %s", status, errText)
	}
}

func TestSystems(t *testing.T) {
	_, file := catalogueDir(t)
	out, errText, status := ukprobe(t, "systems", "--catalogue", file, "--cache", t.TempDir(), "--json")
	if status != 0 {
		t.Fatal(errText)
	}
	var r systemsReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, s := range r.Runnable {
		found[s.System+" "+s.Platform] = len(s.Apps) > 0
		if len(s.Apps) == 0 && s.Reason == "" {
			t.Errorf("%s on %s: neither apps nor a reason", s.System, s.Platform)
		}
	}
	if _, ok := found["next qemu1nic"]; !ok || len(r.Characteristics) != len(characteristics.Systems) {
		t.Errorf("%d characteristics, runnable %v", len(r.Characteristics), found)
	}
	out, _, status = ukprobe(t, "systems", "--cache", t.TempDir(), "--sources", "osv")
	for _, w := range []string{"binary compatibility", "what this machine can run now", "cloudius-systems/osv"} {
		if status != 0 || !strings.Contains(out, w) {
			t.Errorf("exit status %d, the text lacks %q:\n%s", status, w, out)
		}
	}
	if strings.Contains(out, "hermitux  ") {
		t.Errorf("other systems than asked for:\n%s", out)
	}
	if _, errText, status := ukprobe(t, "systems", "--cache", t.TempDir(), "osw"); status != exitUsage || !strings.Contains(errText, "did you mean osv?") {
		t.Errorf("exit status %d: %s", status, errText)
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", ""}, {"a b", "a b"}, {"aaaa bbbb cc", "aaaa|bbbb cc"}, {"aaaaaaaaaaaa b", "aaaaaaaaaaaa|b"},
	} {
		if got := strings.Join(wrap(tt.text, 8), "|"); got != tt.want {
			t.Errorf("wrap(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}
